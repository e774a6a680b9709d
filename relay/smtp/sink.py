"""Content on its way to the disk, off the event loop.

While one piece is written and hashed in a thread, the next one arrives; a session holds two pieces at most.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import structlog

from relay import reply
from relay.envelope import Content
from relay.host.content import ContentWriter
from relay.host.safeio import DISK_FULL
from relay.reply import Rejected, Reply

log = structlog.get_logger("smtp")
_DISK = ThreadPoolExecutor(4, thread_name_prefix="content")
# So much is gathered for one trip to the disk.
_PIECE = 512 * 1024


class Sink:
    """Takes one message's content as it comes, and gives it to the spool's writer in pieces."""

    def __init__(self, writer: ContentWriter) -> None:
        """Args:
        writer: where it goes; `finish` or `discard` ends it.
        """
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._pending: list[bytes] = []
        self._pending_octets = 0
        self._writing: asyncio.Future[None] | None = None
        self.is_finished = False  # `finish` has given the content away
        self.failure: Reply | None = None  # why it could not be written

    def keeps_in_memory(self, octets: int) -> bool:
        """Whether so many more stay in memory."""
        return self._writing is None and self._writer.size + octets <= self._writer.threshold

    async def put(self, content: bytes) -> None:
        """Take some of it. Waits while two pieces are full."""
        if self.keeps_in_memory(len(content)):
            self._write([content])
            return
        self._pending.append(content)
        self._pending_octets += len(content)
        if self._writing is None or self._writing.done() or self._pending_octets >= _PIECE:
            await self._flush()

    async def _flush(self) -> None:
        await self._settle()
        if self._pending and self.failure is None:
            pieces, self._pending, self._pending_octets = self._pending, [], 0
            self._writing = self._loop.run_in_executor(_DISK, self._write, pieces)

    async def _settle(self) -> None:
        if self._writing is not None:
            await asyncio.shield(self._writing)

    def _write(self, pieces: list[bytes]) -> None:
        try:
            for piece in pieces:
                self._writer.write(piece)
        except OSError as error:
            log.error("content cannot be written", reason=error.strerror)
            self.failure = reply.SPOOL_FULL if error.errno in DISK_FULL else reply.SPOOL_UNAVAILABLE
            self._writer.discard()  # now: the client may take its time to the end

    def drop(self) -> None:
        """What waits to be written is not wanted any more."""
        self._pending.clear()
        self._pending_octets = 0

    async def drain(self) -> None:
        """Wait until all of it is written, or `failure` says why not."""
        await self._flush()
        await self._settle()

    def finish(self) -> Content:
        """The content, whole.

        Raises:
            Rejected: it cannot be kept.
        """
        try:
            content = self._writer.finish()
        except OSError as error:
            log.error("content cannot be written", reason=error.strerror)
            raise Rejected(reply.SPOOL_UNAVAILABLE) from None
        self.is_finished = True
        return content

    async def discard(self) -> None:
        """Throw away what was written, if `finish` has not given it away."""
        self.drop()
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        if self._writer.size > self._writer.threshold:
            with suppress(RuntimeError):  # no thread is to be had
                await self._loop.run_in_executor(_DISK, self._writer.discard)
                return
        self._writer.discard()
