"""SMTP sessions that wait for a verdict, each for at most a few seconds."""

import asyncio
from dataclasses import dataclass

from relay.outcome import Outcome


@dataclass(slots=True)
class _Waiter:
    account: str
    verdict: asyncio.Future[Outcome | None]
    bound: bool = False  # the courier has taken on to answer; the session waits until it does

    def give_up(self) -> None:
        """The time is over; one that is bound hears the courier's word all the same."""
        if not self.bound and not self.verdict.done():
            self.verdict.set_result(None)


class Sessions:
    """Who waits for which message.

    Two may wait for one: a session whose client has hung up, and the one that the client opened to
    submit it again. What is said to one of them is said to both.
    """

    def __init__(self) -> None:
        self._waiters: dict[str, list[_Waiter]] = {}

    async def wait(self, queue_id: str, account: str, seconds: float) -> Outcome | None:
        """The verdict; None when there is none in time, or nothing to wait for any more."""
        waiters = self._waiters.setdefault(queue_id, [])
        waiter = _Waiter(account, asyncio.get_running_loop().create_future())
        said = next((one.verdict for one in waiters if one.verdict.done()), None)
        if said is not None:  # to one that has not left yet
            return said.result()
        waiter.bound = any(one.bound for one in waiters)
        waiters.append(waiter)
        patience = asyncio.get_running_loop().call_later(seconds, waiter.give_up)
        try:
            return await waiter.verdict
        finally:
            patience.cancel()
            waiters.remove(waiter)
            if not waiters:
                self._waiters.pop(queue_id, None)

    def bind(self, queue_id: str) -> bool:
        """Whether a session waits for this message; from now on it does so until it hears our word."""
        waiting = [one for one in self._waiters.get(queue_id, ()) if not one.verdict.done()]
        for waiter in waiting:
            waiter.bound = True
        return bool(waiting)

    def answer(self, queue_id: str, outcome: Outcome | None) -> None:
        """Tell the session, if one waits; None: the message stays with us."""
        for waiter in self._waiters.get(queue_id, ()):
            if not waiter.verdict.done():
                waiter.verdict.set_result(outcome)

    def dismiss(self, account: str | None = None) -> None:
        """There is nothing to wait for any more, of this account or at all."""
        for waiter in (one for waiters in self._waiters.values() for one in waiters):
            if account in (None, waiter.account) and not waiter.bound and not waiter.verdict.done():
                waiter.verdict.set_result(None)
