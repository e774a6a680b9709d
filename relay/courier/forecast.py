"""How long a message is likely to wait for its turn, so that no session waits in vain.

Counted in memory: what was put and what was claimed since, by account and flow. It is a guess (what an
operator releases, or what comes back after a delay, is not in it) and is right again as soon as an
account's queue is empty.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from relay.courier.handover import Chance
from relay.courier.standing import Standing
from relay.works.pace.pacing import Pacing

_MOST_FLOWS = 1000  # busy flows of one account; with more, nobody waits anyway
_NEVER = float("inf")


class Backlog:
    """What is queued, by account and flow."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, int]] = {}

    def clear(self) -> None:
        """Begin anew."""
        self._waiting.clear()

    def seed(self, found: Mapping[tuple[str, str], int]) -> None:
        """What was queued at the start."""
        self.clear()
        for (account, flow), count in found.items():
            self._waiting.setdefault(account, {})[flow] = count

    def add(self, account: str, flow: str) -> None:
        """A message was put."""
        flows = self._waiting.setdefault(account, {})
        flows[flow] = flows.get(flow, 0) + 1

    def count_ahead(self, account: str, flow: str) -> int:
        """How many others are likely to go before the next message of this flow."""
        flows = self._waiting.get(account, {})
        own = flows.get(flow, 0)
        if len(flows) > _MOST_FLOWS:
            return own + len(flows)
        # Flows take turns: each other one goes at most once before each message of this one.
        return own + sum(min(count, own + 1) for other, count in flows.items() if other != flow)

    def take(self, account: str, flow: str) -> None:
        """A message was claimed."""
        flows = self._waiting.get(account)
        if flows is None or flow not in flows:
            return
        flows[flow] -= 1
        if flows[flow] <= 0:
            del flows[flow]

    def empty(self, account: str) -> None:
        """Nothing of this account is queued."""
        self._waiting.pop(account, None)


class Forecast:
    """Tells a session whether it is worth waiting."""

    def __init__(self, standing: Standing, pacing: Pacing, most: int) -> None:
        """Args:
        standing: how the API and the accounts stand.
        pacing: the budgets.
        most: attempts that may be under way at once.
        """
        self._standing = standing
        self._pacing = pacing
        self._most = most
        self.backlog = Backlog()
        self._coming: Counter[str] = Counter()  # messages on their way to the spool, by account
        self._usual = 0.0  # seconds that an attempt takes, on average of late
        # The chances that another node says, which sends; the backlog counts what was put here since.
        self._chances: Mapping[str, Chance] | None = MappingProxyType({})

    def lead(self) -> None:
        """Go by what this node knows: it sends."""
        self._chances = None

    def follow(self, chances: Mapping[str, Chance]) -> None:
        """Go by what another node says, which sends."""
        self._chances = chances
        self.backlog.clear()

    def chance(self, account: str) -> Chance:
        """How likely it is that a message of this account goes at once, for sessions of other nodes."""
        ahead = self.backlog.count_ahead(account, "") + self._coming[account]
        return Chance(self._pacing.room(account), ahead)

    @contextmanager
    def expecting(self, account: str) -> Iterator[None]:
        """A message of this account is on its way to the spool, where the backlog begins to count it."""
        self._coming[account] += 1
        try:
            yield
        finally:
            self._coming[account] -= 1

    def learn(self, seconds: float) -> None:
        """An attempt took so many seconds."""
        self._usual += (seconds - self._usual) / 8

    def seconds(self, account: str, flow: str) -> float:
        """Seconds until the next message of this account and flow has its turn.

        Infinite where no session should wait: nobody knows when, or only a budget stands in the way. A
        program with 5,000 messages would wait for a turn of the budget with each of them.
        """
        if self._standing.api_is_down or account in self._standing.holds:
            return _NEVER
        ahead = self.backlog.count_ahead(account, flow) + self._coming[account]
        if self._chances is None:
            room = self._pacing.room(account)
        else:
            chance = self._chances.get(account, Chance(0, 0))
            room, ahead = chance.room, ahead + chance.ahead
        return ahead * self._usual / self._most if room > ahead else _NEVER
