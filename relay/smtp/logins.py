"""Guesses at passwords: counted by address and by user, slowed down, and at last not heard.

Only failures count. Attempts that would pass a limit if all of them failed wait for each other's
outcome, so a thousand at once are no way round, and a thousand right ones are all heard. A pair of
address and user that has logged in before is judged by its own failures: a stranger's guesses lock no
device out, and neither does its neighbour's wrong password behind one address. A device that has not
logged in yet is slowed down by strangers' guesses at its user, and not refused.
"""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Self

from relay import reply
from relay.reply import Rejected
from relay.smtp.known_logins import KnownLogins

_HOUR = 3600.0
# Failures an hour that are heard: from an address by strangers, for a user from strangers, from an
# address in all (so that no mixture passes 60).
_MOST_OF_USER, _MOST_OF_ADDRESS = 100, 60
_MOST_KEYS = 10_000  # of addresses, and of users
# The kinds of keys; another first word is an address, whose second is a user.
_ALL, _STRANGERS, _USER = "all", "strangers", "user"
_LONGEST_DELAY = 16.0  # seconds
# Attempts that wait for others; whoever comes then is asked to come again.
_MOST_WAITING = 200


class _Failures:
    """When each key failed within the hour; bounded.

    What is too much goes by age. Users are kept apart, and those that are guessed at most are kept longest:
    who has many addresses makes as many keys of addresses and of invented users as he likes, and must not be
    able to wash out the count of the one user he is after.
    """

    def __init__(self) -> None:
        self._addresses: OrderedDict[Hashable, deque[float]] = OrderedDict()  # the latest failure last
        self._users: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def _table(self, key: tuple[str, str]) -> OrderedDict[Hashable, deque[float]]:
        return self._users if key[0] == _USER else self._addresses

    def count(self, key: tuple[str, str], now: float) -> int:
        times = self._table(key).get(key)
        while times and times[0] <= now - _HOUR:
            times.popleft()
        return len(times) if times else 0

    def add(self, key: tuple[str, str], now: float) -> None:
        table = self._table(key)
        table.setdefault(key, deque(maxlen=_MOST_OF_USER)).append(now)
        table.move_to_end(key)
        if len(table) <= _MOST_KEYS:
            return
        while (oldest := next(iter(table.values()))) and oldest[-1] <= now - _HOUR:
            table.popitem(last=False)
        if len(table) > _MOST_KEYS and table is self._addresses:
            table.popitem(last=False)
        elif len(table) > _MOST_KEYS:
            # A tenth at once: the search costs as much for one.
            for fewest in sorted(table, key=lambda one: len(table[one]))[: _MOST_KEYS // 10]:
                del table[fewest]


class Logins:
    """Who may try a password now, and how long the answer is delayed.

    Args:
        most: Failures an hour that strangers at one address are granted.
        delay: Seconds that the first refusal takes; each further one takes twice as long.
        now: The clock, in seconds.
        known: The pairs that have logged in before.
    """

    def __init__(
        self,
        most: int,
        delay: float,
        now: Callable[[], float] = time.monotonic,
        known: KnownLogins | None = None,
    ) -> None:
        self.most = most
        self.delay = delay
        self._now = now
        self._failures = _Failures()
        self._open: Counter[tuple[str, str]] = Counter()  # attempts whose outcome is not known yet
        self._waiting = 0
        self._settled = asyncio.Event()
        self._known = KnownLogins() if known is None else known

    def configure(self, most: int, delay: float) -> None:
        """Go on by these limits."""
        self.most, self.delay = most, delay

    def _keys(self, address: str, user: str) -> list[tuple[str, str]]:
        if (address, user) in self._known:
            return [(_ALL, address), (address, user)]
        return [(_ALL, address), (_STRANGERS, address), (_USER, user)]

    def _room(self, keys: list[tuple[str, str]]) -> tuple[int, int]:
        """How many failures the keys are granted yet, and how many if all open attempts fail."""
        now, most = self._now(), {_ALL: _MOST_OF_ADDRESS, _USER: _MOST_OF_USER}
        left = {key: most.get(key[0], self.most) - self._failures.count(key, now) for key in keys}
        if self._is_blameless(keys):
            # Strangers guessed at the user, which is nothing that this address has done.
            left = {key: number for key, number in left.items() if key[0] != _USER}
        return min(left.values()), min(number - self._open[key] for key, number in left.items())

    def _is_blameless(self, keys: list[tuple[str, str]]) -> bool:
        return not any(self._failures.count(key, self._now()) for key in keys if key[0] == _STRANGERS)

    async def _slow_down(self, address: str, user: str) -> None:
        """Let strangers wait before they are heard, when a user has been guessed at too often."""
        keys = self._keys(address, user)
        if (_USER, user) in keys and self._failures.count((_USER, user), self._now()) >= _MOST_OF_USER:
            await asyncio.sleep(min(self.delay * _LONGEST_DELAY, _LONGEST_DELAY))

    async def begin(self, address: str, user: str) -> "LoginAttempt | None":
        """An attempt that is heard, its outcome to be told; None if this one is not heard.

        Raises:
            Rejected: 454 4.7.0, too many wait already.
        """
        await self._slow_down(address, user)
        while True:
            keys = self._keys(address, user)
            left, sure = self._room(keys)
            if left <= 0:
                return None
            if sure > 0:
                self._open.update(keys)
                return LoginAttempt(self, address, user, keys)
            if self._waiting >= _MOST_WAITING:
                raise Rejected(reply.LOGIN_UNAVAILABLE)
            self._waiting += 1
            try:
                await self._settled.wait()
            finally:
                self._waiting -= 1

    def settle(self, keys: list[tuple[str, str]]) -> None:
        """An attempt has its outcome; those that waited look again."""
        self._open.subtract(keys)
        for key in keys:
            if not self._open[key]:
                del self._open[key]
        self._settled.set()
        self._settled = asyncio.Event()

    def know(self, address: str, user: str) -> None:
        """This user logs in from this address."""
        self._known.add(address, user)

    def add(self, keys: list[tuple[str, str]]) -> None:
        """Count a failure."""
        for key in keys:
            self._failures.add(key, self._now())

    def wait(self, address: str, user: str) -> float:
        """Seconds to wait before the refusal is said: growing with the failures."""
        now = self._now()
        failures = max(self._failures.count(key, now) for key in self._keys(address, user))
        return min(self.delay * 2.0 ** min(failures - 1, 10), _LONGEST_DELAY) if failures else 0.0


class LoginAttempt:
    """A password that is looked at while this context lasts; unless it is said otherwise, it was wrong."""

    def __init__(self, logins: Logins, address: str, user: str, keys: list[tuple[str, str]]) -> None:
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
