"""Sends whenever this node is the sender, and ceases when it is not any more."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from relay.courier import SPOOL_PATIENCE
from relay.spool import Spool, SpoolError, Topic, Word

log = structlog.get_logger("service")
Step = Callable[[], Awaitable[None]]


class Leading:
    """Follows the spool's word on who sends."""

    def __init__(self, spool: Spool, begin: Step, pause: Step) -> None:
        """Args:
        spool: knows whether this node is the sender.
        begin: has mail sent. Raises SpoolError.
        pause: has nothing new sent.
        """
        self._spool = spool
        self._begin = begin
        self._pause = pause
        self._take_over: Step | None = None
        self._term = 0  # in which it sends
        self.is_broken = False  # a fault of ours keeps it from that; a database that is away does not
        self._changed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        spool.subscribe(self._hear)

    async def start(self, take_over: Step | None = None) -> None:
        """Send, if this node is the sender; else as soon as it is.

        Args:
            take_over: makes known what the node knew that sent before; None: there are no others.

        Raises:
            SpoolError: sending cannot begin.
        """
        self._take_over = take_over
        await self._adjust()
        self._following = asyncio.create_task(self._follow(), name="sender")

    @property
    def has_begun(self) -> bool:
        """Whether this node is the sender and has begun to send."""
        return self._term != 0

    def _hear(self, word: Word) -> None:
        if word.topic is Topic.SENDER:
            self._changed.set()

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._adjust()
                self.is_broken = False
            except Exception as error:
                self.is_broken = not isinstance(error, SpoolError)
                if isinstance(error, SpoolError):
                    log.warning("sending cannot begin now", reason=str(error))
                else:
                    # Whoever holds the lease and does not send keeps every other node from it.
                    log.exception("sending cannot begin now")
                await asyncio.sleep(SPOOL_PATIENCE)
                self._changed.set()

    async def _adjust(self) -> None:
        term = self._spool.term
        if term == self._term:
            return
        if self._term:
            self._term = 0
            await self._pause()
        if term:
            if self._take_over is not None:
                await self._take_over()
            await self._begin()
            self._term = term

    async def stop(self) -> None:
        """Send nothing more, and let another node begin."""
        if self._following is not None:
            self._following.cancel()
        await self._pause()
        await self._spool.hand_over()
