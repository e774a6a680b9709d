"""Guesses at passwords: counted by address and by user, slowed down, and at last not heard.

Only failures count. Attempts that would pass a limit if all of them failed wait for each other's
outcome, so a thousand at once are no way round, and a thousand right ones are all heard. A pair of
address and user that has logged in before is judged by its own failures: a stranger's guesses lock no
device out, and neither does its neighbour's wrong password behind one address.
"""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Self

from relay import reply
from relay.reply import Rejected

_HOUR = 3600.0
# Failures an hour that are heard: from an address by strangers, for a user from strangers, from an
# address in all (so that no mixture passes 60).
_MOST_OF_USER, _MOST_OF_ADDRESS = 100, 60
_MOST_KEYS = 10_000
_LONGEST_DELAY = 16.0  # seconds
# Attempts that wait for others; whoever comes then is asked to come again.
_MOST_WAITING = 200


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
        self._open: Counter[Hashable] = Counter()  # attempts whose outcome is not known yet
        self._waiting = 0
        self._settled = asyncio.Event()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def _keys(self, address: str, user: str) -> list[Hashable]:
        if (address, user) in self._known:
            return [("all", address), (address, user)]
        return [("all", address), ("address", address), ("user", user)]

    def _room(self, keys: list[Hashable]) -> tuple[int, int]:
        """How many failures the keys are granted yet, and how many if all open attempts fail."""
        now, most = self._now(), {"all": _MOST_OF_ADDRESS, "user": _MOST_OF_USER}
        left = {k: most.get(k[0] if isinstance(k, tuple) else "", self.most) for k in keys}
        left = {key: number - self._failures.count(key, now) for key, number in left.items()}
        return min(left.values()), min(number - self._open[key] for key, number in left.items())

    async def begin(self, address: str, user: str) -> "Attempt | None":
        """An attempt that is heard, its outcome to be told; None if this one is not heard.

        Raises:
            Rejected: 454 4.7.0, too many wait already.
        """
        while True:
            keys = self._keys(address, user)
            left, sure = self._room(keys)
            if left <= 0:
                return None
            if sure > 0:
                self._open.update(keys)
                return Attempt(self, address, user, keys)
            if self._waiting >= _MOST_WAITING:
                raise Rejected(reply.LOGIN_UNAVAILABLE)
            self._waiting += 1
            try:
                await self._settled.wait()
            finally:
                self._waiting -= 1

    def settle(self, keys: list[Hashable]) -> None:
        """An attempt has its outcome; those that waited look again."""
        self._open.subtract(keys)
        for key in keys:
            if not self._open[key]:
                del self._open[key]
        self._settled.set()
        self._settled = asyncio.Event()

    def know(self, address: str, user: str) -> None:
        """This user logs in from this address."""
        self._known[address, user] = None
        self._known.move_to_end((address, user))
        while len(self._known) > _MOST_KEYS:
            self._known.popitem(last=False)

    def add(self, keys: list[Hashable]) -> None:
        """Count a failure."""
        for key in keys:
            self._failures.add(key, self._now())

    def wait(self, address: str, user: str) -> float:
        """Seconds to wait before the refusal is said: growing with the failures."""
        now = self._now()
        failures = max(self._failures.count(key, now) for key in self._keys(address, user))
        return min(self.delay * 2.0 ** min(failures - 1, 10), _LONGEST_DELAY) if failures else 0.0


class Attempt:
    """A password that is looked at while this context lasts; unless it is said otherwise, it was wrong."""

    def __init__(self, logins: Logins, address: str, user: str, keys: list[Hashable]) -> None:
        self._logins = logins
        self._address, self._user = address, user
        self._keys = keys  # of its beginning: by its end the pair may be known
        self._counts = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._counts:
            self._logins.add(self._keys)
        self._logins.settle(self._keys)

    def take_back(self) -> None:
        """Nobody looked at it."""
        self._counts = False

    def succeed(self) -> None:
        """The password was right."""
        self._counts = False
        self._logins.know(self._address, self._user)
