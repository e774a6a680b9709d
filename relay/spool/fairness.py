"""Whose turn it is: start-time fair queueing (Goyal, Vin, Cheng, 1996), one slot for each message.

Every message gets a rank among its account's when it is put: a step more than its line's last rank, or
half a step more than the rank that is being served when its line has nothing waiting. The lowest rank goes
first, so a source that puts one message waits for about one slot however long the others' queues are, and
a put or a claim costs the same with ten messages waiting as with a million. An urgent message counts for an
eighth of one, a bulk message for eight: the one overtakes, the other yields, and none waits for ever.

The accounts share the budget of the domain, and each has one of its own. Whose message goes first among
the accounts that may send is found in the same way, by source, and among one source's accounts it is the one
that was served longest ago: so mail of one source over several accounts uses all of their budgets from the
first to the last message, and still counts as one source.

A message that comes back after a delay gets a new rank, as one that arrives: with its old one a
backlog that was delayed would stand before everybody who came since.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable

# Lines remembered; one that is forgotten is looked up in the table again.
_MOST_LINES = 10_000
# How many slots a priority's message takes of its line's share.
_COSTS = {"urgent": 0.125, "bulk": 8.0}
# A newcomer stands before the next message of each busy line, but not before every one to come.
_HEAD_START = 0.5

Turn = tuple[float, str, str, str]  # rank, queue id, account, line


def cost(line: str) -> float:
    """How many slots one message of a line takes: its name tells the priority (Envelope.line)."""
    priority, tab, _ = line.partition("\t")
    return _COSTS.get(priority, 1.0) if tab else 1.0


class Ranks:
    """Hands out ranks; the table keeps them."""

    def __init__(self) -> None:
        self._served: dict[str, float] = {}
        self._last: OrderedDict[tuple[str, str], float] = OrderedDict()

    def rank(self, account: str, line: str, look_up: Callable[[], float]) -> float:
        """The rank of this line's next message of this account.

        Args:
            account: whose messages it stands among.
            line: a source, or a source's urgent or bulk mail.
            look_up: finds the line's last rank in the table; 0 if nothing of it waits.
        """
        last = self._last.get((account, line))
        begin = self._served.get(account, 0.0) - _HEAD_START
        rank = max(begin, look_up() if last is None else last) + cost(line)
        self._last[account, line] = rank
        self._last.move_to_end((account, line))
        while len(self._last) > _MOST_LINES:
            self._last.popitem(last=False)
        return rank

    def knows(self, account: str, line: str) -> bool:
        """Whether the line's last rank need not be looked up."""
        return (account, line) in self._last

    def learn(self, account: str, line: str, rank: float) -> None:
        """The line's last rank, as it was looked up before any is given."""
        self._last.setdefault((account, line), rank)

    def serve(self, account: str, rank: float) -> None:
        """Note the rank that is being served: time, as fairness counts it."""
        self._served[account] = max(self._served.get(account, rank), rank)


class Shares:
    """Chooses among the accounts' next messages; the event loop and the writer's thread both ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served = 0.0
        self._last: OrderedDict[str, float] = OrderedDict()  # by line
        self._turn = 0
        self._latest: dict[str, int] = {}  # the turn in which an account was served last

    def choose(self, heads: Iterable[Turn]) -> Turn | None:
        """The one that goes now; None of none. It is counted as served."""
        with self._lock:
            best = min(heads, key=lambda one: (self._tag(one[3]), self._latest.get(one[2], 0)), default=None)
            if best is not None:
                self._count(best[2], best[3])
            return best

    def charge(self, line: str, turns: float) -> None:
        """What a line was given has turned out to be worth so many turns more."""
        with self._lock:
            self._last[line] = self._last.get(line, self._served) + turns * cost(line)

    def _tag(self, line: str) -> float:
        return max(self._served - _HEAD_START, self._last.get(line, 0.0)) + cost(line)

    def _count(self, account: str, line: str) -> None:
        self._last[line] = tag = self._tag(line)
        self._last.move_to_end(line)
        while len(self._last) > _MOST_LINES:
            self._last.popitem(last=False)
        self._served = max(self._served, tag)
        self._turn += 1
        self._latest[account] = self._turn
