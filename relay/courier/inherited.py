"""Requests that an earlier sender has under way: each counts in the budgets until its end is known.

It may live, and end them in its own time; or it does not, and they are judged when they have certainly ended.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import structlog

from relay.spool import Past, Spool, SpoolError
from relay.works.pace.pacing import Pacing, Sent

log = structlog.get_logger("courier")
_LOOK_EVERY = 1.0  # seconds
_Key = tuple[float, str, int]  # its start, its account, its recipients


class Inherited:
    """Follows them."""

    def __init__(self, spool: Spool, pacing: Pacing) -> None:
        """Args:
        spool: tells when they end.
        pacing: in which they count.
        """
        self._spool = spool
        self._pacing = pacing
        self._open: list[tuple[_Key, Callable[[], None]]] = []

    def learn(self, history: Sequence[Past], now: float) -> None:
        """Learn what was sent by whoever sent before.

        Args:
            history: the requests of the last day, oldest first.
            now: seconds since the epoch.
        """
        ended = [Sent(one.ended, one.account, one.recipients) for one in history if one.ended is not None]
        self._pacing.forget()
        # Works counts a request at some moment until its answer: here it counts from the last of them.
        self._pacing.seed(sorted(ended, key=lambda one: one.at), now)
        for key in _count_open(history).elements():
            self._open.append((key, self._pacing.inherit(*key[1:])))

    async def follow(self) -> None:
        """Look until all of them have ended, or another node sends."""
        try:
            while self._open:
                await asyncio.sleep(_LOOK_EVERY)
                await self._look()
        finally:
            self._keep(Counter())

    async def _look(self) -> None:
        first = min(key[0] for key, _ in self._open)
        try:
            self._keep(_count_open(await self._spool.history(first - _LOOK_EVERY)))
        except SpoolError as error:
            log.debug("what is under way cannot be looked up now", reason=str(error))

    def _keep(self, still: Counter[_Key]) -> None:
        """End what is not in this; a request that began since is not among those that are followed."""
        followed, self._open = self._open, []
        for key, end in followed:
            if still[key] > 0:
                still[key] -= 1
                self._open.append((key, end))
            else:
                end()


def _count_open(history: Iterable[Past]) -> Counter[_Key]:
    return Counter((one.started, one.account, one.recipients) for one in history if one.ended is None)
