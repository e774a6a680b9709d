"""SMTP sessions that wait for a verdict, each for at most a few seconds."""

import asyncio
from dataclasses import dataclass

from relay.outcome import Outcome


@dataclass(slots=True)
class _Waiter:
    account: str
    verdict: asyncio.Future[Outcome | None]
    bound: bool = False  # the courier has taken on to answer; the session waits until it does


class Sessions:
    """Who waits for which message."""

    def __init__(self) -> None:
        self._waiters: dict[str, _Waiter] = {}

    async def wait(self, queue_id: str, account: str, seconds: float) -> Outcome | None:
        """The verdict; None when there is none in time, or nothing to wait for any more."""
        waiter = self._waiters[queue_id] = _Waiter(account, asyncio.get_running_loop().create_future())
        try:
            await asyncio.wait({waiter.verdict}, timeout=seconds)
            if waiter.bound or waiter.verdict.done():
                return await waiter.verdict
            return None
        finally:
            self._waiters.pop(queue_id, None)

    def bind(self, queue_id: str) -> bool:
        """Whether a session waits for this message; from now on it does so until it hears our word."""
        waiter = self._waiters.get(queue_id)
        if waiter is None or waiter.verdict.done():
            return False
        waiter.bound = True
        return True

    def answer(self, queue_id: str, outcome: Outcome | None) -> None:
        """Tell the session, if one waits; None: the message stays with us."""
        waiter = self._waiters.get(queue_id)
        if waiter is not None and not waiter.verdict.done():
            waiter.verdict.set_result(outcome)

    def dismiss(self, account: str | None = None) -> None:
        """There is nothing to wait for any more, of this account or at all."""
        for waiter in self._waiters.values():
            if account in (None, waiter.account) and not waiter.bound and not waiter.verdict.done():
                waiter.verdict.set_result(None)
