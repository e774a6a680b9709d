"""Turns that need no look at the table: what was just put, while nothing else of its account waits.

A claim by the table is a trip through the writer's thread, one after the other, and each waits for the
commit that is on its way. Where the table is known to hold no other queued message of an account, its
next one is known without it. Every doubt sends the next claim back to the table, which is the truth.
"""

import threading
from collections.abc import Callable, Collection, Iterable
from heapq import heappop, heappush

from relay.spool.fairness import Turn

# More than this waiting, and a trip to the table for each is the smaller cost.
_MOST = 1_000


class ReadyQueue:
    """The latest turns by account; the event loop and the writer's thread both come here."""

    def __init__(self, choose: Callable[[Iterable[Turn]], Turn | None]) -> None:
        """`choose` decides among the accounts' next messages, and counts the chosen one as served."""
        self._choose = choose
        self._lock = threading.Lock()
        self._heaps: dict[str, list[Turn]] = {}  # only accounts that are known to have no others
        self.doubts = 0  # so often something was doubted: taken before a look at the table, given to `trust`

    def doubt(self, account: str) -> None:
        """The table may hold a queued message of this account that is not here."""
        with self._lock:
            self.doubts += 1
            self._heaps.pop(account, None)

    def doubt_all(self) -> None:
        """The same, whosever it is."""
        with self._lock:
            self.doubts += 1
            self._heaps.clear()

    def trust(self, account: str, doubts: int) -> None:
        """The table held none, but what is claimed; unless something was doubted since."""
        with self._lock:
            if doubts == self.doubts:
                self._heaps.setdefault(account, [])

    def add(self, turn: Turn) -> None:
        """A message was put, and nobody has claimed it yet."""
        account = turn[2]
        with self._lock:
            heap = self._heaps.get(account)
            if heap is None:
                return
            if len(heap) < _MOST:
                heappush(heap, turn)
                return
        self.doubt(account)

    def pop(self, accounts: Collection[str]) -> tuple[bool, Turn | None]:
        """Whether the table need not be asked; and if so the turn that is next, if there is one."""
        with self._lock:
            heaps = [self._heaps.get(account) for account in accounts]
            if None in heaps:
                return False, None
            best = self._choose(heap[0] for heap in heaps if heap)
            return True, None if best is None else heappop(self._heaps[best[2]])
