"""Guesses at passwords: counted by address and by user, slowed down, and at last not heard.

Only failures count. An attempt counts as failed from its beginning until it has succeeded, so a
thousand at once are no way round. A pair of address and user that has logged in before is judged
by its own failures: a stranger's guesses lock no device out, and neither does its neighbour's wrong
password behind one address.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

_HOUR = 3600.0
# Failures an hour that are heard: from an address by strangers, for a user from strangers, from an
# address in all (so that no mixture passes 60).
_MOST_OF_USER, _MOST_OF_ADDRESS = 100, 60
_MOST_KEYS = 10_000
_LONGEST_DELAY = 16.0  # seconds


class _Failures:
    """When each key failed within the hour; bounded."""

    def __init__(self) -> None:
        self._times: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def count(self, key: Hashable, now: float) -> int:
        times = self._times.get(key)
        while times and times[0] <= now - _HOUR:
            times.popleft()
        return len(times) if times else 0

    def add(self, key: Hashable, now: float) -> None:
        self._times.setdefault(key, deque(maxlen=_MOST_OF_USER)).append(now)
        self._times.move_to_end(key)
        while len(self._times) > _MOST_KEYS:
            self._times.popitem(last=False)

    def take_back(self, key: Hashable) -> None:
        times = self._times.get(key)
        if times:
            times.pop()


class Logins:
    """Who may try a password now, and how long the answer is delayed.

    Args:
        most: Failures an hour that strangers at one address are granted.
        delay: Seconds that the first refusal takes; each further one takes twice as long.
        now: The clock, in seconds.
    """

    def __init__(self, most: int, delay: float, now: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self.delay = delay
        self._now = now
        self._failures = _Failures()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def _keys(self, address: str, user: str) -> list[Hashable]:
        if (address, user) in self._known:
            return [("all", address), (address, user)]
        return [("all", address), ("address", address), ("user", user)]

    def begin(self, address: str, user: str) -> bool:
        """Whether this attempt is heard; then it counts as failed until `succeed`."""
        now, keys = self._now(), self._keys(address, user)
        most = {"all": _MOST_OF_ADDRESS, "user": _MOST_OF_USER}
        for key in keys:
            kind = key[0] if isinstance(key, tuple) else ""
            if self._failures.count(key, now) >= most.get(kind, self.most):
                return False
        for key in keys:
            self._failures.add(key, now)
        return True

    def take_back(self, address: str, user: str) -> None:
        """The attempt does not count."""
        for key in self._keys(address, user):
            self._failures.take_back(key)

    def succeed(self, address: str, user: str) -> None:
        """The password was right."""
        self.take_back(address, user)
        self._known[address, user] = None
        self._known.move_to_end((address, user))
        while len(self._known) > _MOST_KEYS:
            self._known.popitem(last=False)

    def wait(self, address: str, user: str) -> float:
        """Seconds to wait before the refusal is said: growing with the failures."""
        now = self._now()
        failures = max(self._failures.count(key, now) for key in self._keys(address, user))
        return min(self.delay * 2.0 ** min(failures - 1, 10), _LONGEST_DELAY) if failures else 0.0
