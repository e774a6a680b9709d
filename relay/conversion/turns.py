"""Who is converted next: sources take turns at the processes, as they do in the spool.

Nobody knows what a message costs before it was converted, so that counts afterwards: whose message took as
long as ten scans has had ten turns. And a source has one process at most, so what it sends holds up its own
mail; others wait for one message of it, and for that not long.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.spool.fairness import Shares, Turn

# A scan takes some 20 ms, twenty of them half a second; who has waited for so long behind other sources
# waits for a message that is no scan.
_SOON = 1.0  # seconds
_TURN = 0.02  # seconds of a process that count as one turn

_Future = asyncio.Future[None]


class Turns:
    """Places at the converting processes: one, and another when somebody has waited for long."""

    def __init__(self) -> None:
        self._shares = Shares()
        self._waiting: dict[str, deque[_Future]] = {}  # by line, in the order of asking
        self._served: set[str] = set()  # lines that have a place
        self._places = 1

    @asynccontextmanager
    async def turn(self, line: str) -> AsyncIterator[None]:
        """Wait for a place, and have it within.

        Args:
            line: whose message it is (Envelope.line).
        """
        await self._take(line)
        began = time.monotonic()
        try:
            yield
        finally:
            self._give_back(line, time.monotonic() - began)

    def close_others(self) -> None:
        """One place is enough from now on."""
        self._places = 1

    async def _take(self, line: str) -> None:
        loop = asyncio.get_running_loop()
        given: _Future = loop.create_future()
        self._waiting.setdefault(line, deque()).append(given)
        self._serve()
        opening = loop.call_later(_SOON, self._open_another, line)
        try:
            await given
        except asyncio.CancelledError:
            if not given.cancelled():  # given in the same moment
                self._give_back(line, 0.0)
            raise
        finally:
            opening.cancel()

    def _give_back(self, line: str, seconds: float) -> None:
        self._served.discard(line)
        self._shares.charge(line, max(0.0, seconds / _TURN - 1))  # one was counted when it was given
        self._serve()

    def _open_another(self, line: str) -> None:
        # Behind its own line's message a second place would be of no use to it.
        if line not in self._served:
            self._places = 2
            self._serve()

    def _serve(self) -> None:
        while len(self._served) < self._places:
            self._forget_cancelled()
            heads: list[Turn] = [(0.0, "", "", line) for line in self._waiting if line not in self._served]
            turn = self._shares.choose(heads)
            if turn is None:
                return
            line = turn[3]
            self._served.add(line)
            self._waiting[line].popleft().set_result(None)

    def _forget_cancelled(self) -> None:
        for line, waiting in list(self._waiting.items()):
            while waiting and waiting[0].cancelled():
                waiting.popleft()
            if not waiting:
                del self._waiting[line]
