"""Whose turn it is: start-time fair queueing (Goyal, Vin, Cheng, 1996), one slot for each message.

Every message gets a rank when it is put: a step more than its line's last rank, or than the rank that
is being served when its line has nothing waiting. The lowest rank goes first, so a source that puts
one message waits for about one slot of each busy source, however long their queues are, and a put or
a claim costs the same with ten messages waiting as with a million. An urgent message counts for an
eighth of one, a bulk message for eight: the one overtakes, the other yields, and none waits for ever.

A message that comes back after a delay gets a new rank, as one that arrives: with its old one a
backlog that was delayed would stand before everybody who came since.
"""

from collections import OrderedDict
from collections.abc import Callable

# Lines remembered; one that is forgotten is looked up in the table again.
_MOST_LINES = 10_000
# How many slots a priority's message takes of its line's share.
_COSTS = {"urgent": 0.125, "bulk": 8.0}


class Ranks:
    """Hands out ranks; the table keeps them."""

    def __init__(self) -> None:
        self._served = 0.0
        self._last: OrderedDict[str, float] = OrderedDict()

    def rank(self, line: str, priority: str, look_up: Callable[[], float]) -> float:
        """The rank of this line's next message.

        Args:
            line: a source, or a source's urgent or bulk mail.
            priority: of the message.
            look_up: finds the line's last rank in the table; 0 if nothing of it waits.
        """
        last = self._last.get(line)
        rank = max(self._served, look_up() if last is None else last) + _COSTS.get(priority, 1.0)
        self._last[line] = rank
        self._last.move_to_end(line)
        while len(self._last) > _MOST_LINES:
            self._last.popitem(last=False)
        return rank

    def serve(self, rank: float) -> None:
        """Note the rank that is being served: time, as fairness counts it."""
        self._served = max(self._served, rank)
