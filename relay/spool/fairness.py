"""Whose turn it is: start-time fair queueing (Goyal, Vin, Cheng, 1996), one slot for each message.

Every message gets a rank when it is put: one more than its source's last rank, or than the rank that is
being served when its source has nothing waiting. The lowest rank goes first, so a source that
puts one message waits for about one slot of each busy source, however long their queues are, and a
put or a claim costs the same with ten messages waiting as with a million. An urgent message counts for
an eighth of one, a bulk message for eight.
"""

from collections import OrderedDict

# Sources remembered; one that is forgotten is looked up in the table again.
_MOST_SOURCES = 10_000
# How many slots a priority's message takes of its line's share.
_COSTS = {"urgent": 0.125, "bulk": 8.0}


class Ranks:
    """Hands out ranks; the table keeps them."""

    def __init__(self) -> None:
        self._served = 0.0
        self._last: OrderedDict[str, float] = OrderedDict()

    def known(self, source: str) -> bool:
        """Whether this source's last rank is remembered."""
        return source in self._last

    def remember(self, source: str, rank: float) -> None:
        """Note the last rank that a source was given."""
        self._last[source] = rank
        self._last.move_to_end(source)
        while len(self._last) > _MOST_SOURCES:
            self._last.popitem(last=False)

    def rank(self, source: str, priority: str = "normal") -> float:
        """The rank of this source's next message."""
        rank = max(self._served, self._last.get(source, 0.0)) + _COSTS.get(priority, 1.0)
        self.remember(source, rank)
        return rank

    def serve(self, rank: float) -> None:
        """Note the rank that is being served: time, as fairness counts it."""
        self._served = max(self._served, rank)
