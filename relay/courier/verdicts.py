"""SMTP sessions of this node that wait for a verdict, each for at most a few seconds."""

import asyncio
from dataclasses import dataclass, field

from relay.spool import Settlement, Spool, Topic, Word


@dataclass(slots=True)
class _Wait:
    """One message that is waited for.

    Two sessions may wait for it: one whose client has hung up, and the one that the client opened to
    submit the message again. Both hear the same.
    """

    account: str
    sessions: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)  # settled, or not worth waiting for
    verdict: "asyncio.Task[Settlement | None] | None" = None  # one question to the spool, for both


class Verdicts:
    """The sessions that wait, by message."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._waits: dict[str, _Wait] = {}
        spool.subscribe(self._hear)

    async def wait_for_verdict(
        self, queue_id: str, account: str, seconds: float, *, again: bool = False
    ) -> Settlement | None:
        """How the message was settled; None when it was not in time, or there is nothing to wait for.

        Args:
            queue_id: the message's.
            account: that sends it.
            seconds: to wait for at most.
            again: the message was put before; otherwise it has just been put with `waits`.

        Raises:
            SpoolError: it was put before and is not there now.
        """
        wait = self._waits.setdefault(queue_id, _Wait(account))
        wait.sessions += 1
        try:
            if again and not await self._spool.start_waiting(queue_id):
                wait.over.set()
            async with asyncio.timeout(seconds):
                await wait.over.wait()
        except TimeoutError:
            # For both: a message of which one session said `queued` must not be refused to the other.
            wait.over.set()
        finally:
            wait.sessions -= 1
            if not wait.sessions:
                self._waits.pop(queue_id, None)
            if wait.over.is_set() or not wait.sessions:
                # Also for a session that was cut off: whoever settles the message finds nobody waiting.
                self._stop(queue_id, wait)
        return await asyncio.shield(self._stop(queue_id, wait))

    def _stop(self, queue_id: str, wait: _Wait) -> "asyncio.Task[Settlement | None]":
        if wait.verdict is None:
            wait.verdict = asyncio.create_task(self._spool.stop_waiting(queue_id))
        return wait.verdict

    def _hear(self, word: Word) -> None:
        if word.topic is Topic.VERDICT and (wait := self._waits.get(word.queue_id)) is not None:
            wait.over.set()

    def dismiss(self, account: str | None = None) -> None:
        """End the waiting for messages of this account, or for all of them."""
        for wait in self._waits.values():
            if account in (None, wait.account):
                wait.over.set()

    def dismiss_message(self, queue_id: str) -> None:
        """End the waiting for one message."""
        if (wait := self._waits.get(queue_id)) is not None:
            wait.over.set()
