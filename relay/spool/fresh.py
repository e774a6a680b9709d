"""The next turns of each account, known without a look at the table.

A claim by the table is a trip through the writer's thread, one after the other, and each waits for the
commit that is on its way. So each trip brings the next few turns along, and what is put since then and
comes before the last of them joins them: the lowest rank is then known here, exactly as the table would give
it. Every doubt sends the next claim back to the table, which is the truth.
"""

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

# More than this waiting, and a trip to the table is the smaller cost.
_MOST = 1_000
Turn = tuple[float, str]  # rank, queue id
NO_OTHERS: Turn = (float("inf"), "")


@dataclass(slots=True)
class _Known:
    heap: list[Turn]
    bound: Turn  # up to this turn the table holds no others
    ids: set[str] = field(default_factory=set)


class Fresh:
    """The next turns by account; the event loop and the writer's thread both come here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._doubts = 0

    @property
    def doubts(self) -> int:
        """How often something was doubted: taken before a look at the table, and given to `trust`."""
        return self._doubts

    def doubt(self, account: str) -> None:
        """The table may hold a queued message of this account that is not here and should be."""
        with self._lock:
            self._doubts += 1
            self._known.pop(account, None)

    def doubt_all(self) -> None:
        """The same, whosever it is."""
        with self._lock:
            self._doubts += 1
            self._known.clear()

    def trust(self, account: str, doubts: int, turns: Sequence[Turn], bound: Turn) -> None:
        """What the table holds up to `bound`, but for what is claimed; unless something was doubted since."""
        with self._lock:
            if doubts != self._doubts:
                return
            before = self._known.get(account)
            # What was put meanwhile may be here already, and not in the table's answer.
            found = {turn for turn in before.heap if turn <= bound} if before else set()
            heap = list(found.union(turns))
            heapify(heap)
            self._known[account] = _Known(heap, bound, {queue_id for _, queue_id in heap})

    def add(self, account: str, rank: float, queue_id: str) -> None:
        """A message was put, and nobody has claimed it yet."""
        with self._lock:
            known = self._known.get(account)
            if known is None or queue_id in known.ids or (rank, queue_id) > known.bound:
                return
            if len(known.heap) < _MOST:
                heappush(known.heap, (rank, queue_id))
                known.ids.add(queue_id)
                return
        self.doubt(account)

    def pop(self, accounts: Collection[str]) -> tuple[bool, Turn | None]:
        """Whether the table need not be asked; and if so these accounts' next turn, if there is one."""
        with self._lock:
            all_known = [self._known.get(account) for account in accounts]
            waiting: list[_Known] = []
            for known in all_known:
                if known is None or (not known.heap and known.bound != NO_OTHERS):
                    return False, None
                if known.heap:
                    waiting.append(known)
            if not waiting:
                return True, None
            first = min(waiting, key=lambda known: known.heap[0])
            turn = heappop(first.heap)
            first.ids.discard(turn[1])
            return True, turn
