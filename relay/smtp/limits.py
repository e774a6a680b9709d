"""What is counted for all sessions together, so that no client can take more than its share.

Every table here is bounded: who floods the relay with addresses cannot fill its memory with them.
"""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Any

import structlog

from relay import metrics
from relay.config.model import Limits
from relay.config.networks import read_address
from relay.smtp.known_logins import KnownLogins
from relay.smtp.logins import Logins
from relay.smtp.reserve_descriptor import ReserveDescriptor

log = structlog.get_logger("smtp")
_HOUR = 3600.0
# Sources whose messages are counted; the one not heard of for the longest time is forgotten first.
_MOST_SOURCES = 10_000
_MOST_DEFERRED = 1_000
# Addresses whose reading is remembered: it takes longer than a command of theirs.
_MOST_ADDRESSES = 1_000
# A listener under attack says so in so many lines of each second of the clock: with those of the next
# second and what was left out, never more than ten within any second.
_LINES_A_SECOND = 3
# New DATA waits so long for others to end, in all and between looks.
_PATIENCE, _LOOK_AGAIN = 5.0, 0.1
# One customer's IPv6 network (RFC 6177): whoever has one has 2^64 addresses.
_IPV6_SITE = 64


@lru_cache(_MOST_ADDRESSES)
def name_source(text: str) -> str:
    """What limits by address count: an IPv4 address, or an IPv6 network of 64 bits."""
    address = read_address(text)
    if isinstance(address, IPv6Address):
        return f"{IPv6Address(int(address) >> _IPV6_SITE << _IPV6_SITE)}/{_IPV6_SITE}"
    return str(address) if address else text


class Sessions:
    """How many sessions are open, in all and from each source."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.most = limits.sessions  # less where file descriptors are few
        self.count = 0
        self._by_source: Counter[str] = Counter()

    def configure(self, limits: Limits, room: int = 0) -> None:
        """Go on by these limits.

        Args:
            limits: the configured ones.
            room: for so many sessions there are file descriptors; 0: for all.
        """
        self.limits = limits
        self.most = min(limits.sessions, room) if limits.sessions and room else limits.sessions or room

    def enter(self, source: str, *, instead: bool = False) -> bool:
        """Count one more, if there is room for it, or if it comes instead of one that is about to leave.

        "" is a source that is not known yet.
        """
        if self.are_all_taken and not instead:
            return False
        each = self.limits.sessions_per_address
        if source and each and self._by_source[source] >= each:
            return False
        self.count += 1
        self._by_source[source] += 1
        return True

    def leave(self, source: str) -> None:
        """Count one less."""
        self.count -= 1
        self._by_source[source] -= 1
        if self._by_source[source] <= 0:
            del self._by_source[source]

    @property
    def are_all_taken(self) -> bool:
        """Whether there is room for nobody."""
        return bool(self.most) and self.count >= self.most

    @property
    def are_scarce(self) -> bool:
        """Whether so few are left that idle ones should go early."""
        return bool(self.most) and self.count >= 0.9 * self.most


class Budget:
    """Octets that all sessions hold together: in memory, and of messages that are arriving."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.memory = 0  # input not yet read, recipients, the beginnings of messages
        self.content = 0  # of messages that arrive and are not yet kept or refused

    def configure(self, limits: Limits) -> None:
        """Go on by these limits."""
        self.limits = limits

    def hold(self, octets: int) -> None:
        """Count memory that was taken, or with a negative number given back."""
        self.memory += octets

    def arrive(self, octets: int) -> None:
        """Count content that arrives, or with a negative number content that is kept or refused."""
        self.content += octets

    @property
    def memory_is_short(self) -> bool:
        """Whether half of the memory is taken: content should go to files at once."""
        return bool(self.limits.memory) and self.memory * 2 > self.limits.memory

    @property
    def memory_is_full(self) -> bool:
        """Whether whoever takes more has to go."""
        return bool(self.limits.memory) and self.memory > self.limits.memory

    async def admit(self, size: int) -> bool:
        """Wait briefly for room for a message of this announced size; False if there is none."""
        until = time.monotonic() + _PATIENCE
        while self.limits.content and self.content and self.content + size > self.limits.content:
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(_LOOK_AGAIN)
        return True


class Holding:
    """What one message takes of the budget, until it is kept or refused."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._octets = 0
        self._in_memory = 0

    def take(self, octets: int, *, in_memory: bool) -> None:
        """Count so many more."""
        self._octets += octets
        self._budget.arrive(octets)
        if in_memory:
            self._in_memory += octets
            self._budget.hold(octets)

    def release(self) -> None:
        """Give all of it back."""
        self._budget.arrive(-self._octets)
        self._budget.hold(-self._in_memory)
        self._octets = self._in_memory = 0


class Rates:
    """How many messages each source sent within the hour, and whose are deferred."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._sent: OrderedDict[str, deque[float]] = OrderedDict()
        self._deferred: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how many, the last one when

    @property
    def deferred(self) -> dict[str, int]:
        """The sources over their limit, and how many of their messages were deferred for it."""
        hour = self._now() - _HOUR
        return {source: count for source, (count, last) in self._deferred.items() if last > hour}

    def take(self, source: str, most: int) -> bool:
        """Count one more message, if the source has one left; 0 is no limit."""
        if not most:
            return True
        sent = self._sent.setdefault(source, deque())
        self._sent.move_to_end(source)
        while len(self._sent) > _MOST_SOURCES:
            self._sent.popitem(last=False)
        now = self._now()
        while sent and sent[0] <= now - _HOUR:
            sent.popleft()
        if len(sent) >= most:
            self._defer(source, most, now)
            return False
        self._deferred.pop(source, None)
        sent.append(now)
        return True

    def _defer(self, source: str, most: int, now: float) -> None:
        metrics.OVER_LIMIT.inc()
        count, _ = self._deferred.pop(source, (0, 0.0))
        if not count:
            log.warning("source over its limit", source=source, messages_per_hour=most)
        self._deferred[source] = count + 1, now
        while len(self._deferred) > _MOST_DEFERRED:
            self._deferred.popitem(last=False)


class Notes:
    """Lines about what strangers do: a few each second, and then how many more there were."""

    def __init__(self, now: Callable[[], float] = time.monotonic, log: Any = log) -> None:
        self._now = now
        self._log = log
        self._second = 0.0
        self._lines = 0
        self._left_out: Counter[str] = Counter()

    def write(self, event: str, **facts: object) -> None:
        """Log this at info, unless this second has had its lines."""
        second = self._now() // 1
        if second != self._second:
            self.settle()
            self._second, self._lines = second, 0
        if self._lines >= _LINES_A_SECOND:
            self._left_out[event] += 1
            return
        self._lines += 1
        self._log.info(event, **facts)

    def settle(self) -> None:
        """Say what was left out."""
        for event, count in self._left_out.items():
            self._log.warning("lines left out", of=event, count=count)
        self._left_out.clear()


class Guard:
    """All that is counted, together; one for the whole relay."""

    def __init__(self, limits: Limits, known_logins: KnownLogins | None = None) -> None:
        self.limits = limits
        self.sessions = Sessions(limits)
        self.budget = Budget(limits)
        self.rates = Rates()
        self.logins = Logins(limits.login_failures, limits.login_delay, known=known_logins)
        self.notes = Notes()
        self.spare = ReserveDescriptor()
        # Connections that are no sessions yet, and since when; the oldest first.
        self.handshakes: dict[asyncio.Task[None], float] = {}

    def apply(self, limits: Limits) -> None:
        """New limits for what is counted already."""
        self.limits = limits
        self.sessions.configure(limits)
        self.budget.configure(limits)
        self.logins.configure(limits.login_failures, limits.login_delay)
