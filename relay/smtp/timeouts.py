"""How long a session may take: for its next step, and for the content it sends.

A client has `limits.idle` (RFC 5321 §4.5.3.2.7: five minutes at least) for each step forward; a NOOP is
none. Content may take as long as it likes while it comes at 500 octets a second: each octet pays for a five
hundredth of a second, at most up to now, and a client that has not been square for almost `limits.idle` has
to go. So neither a pause of a slow scanner nor a long way costs a message, and 499 octets a second do.
One sweep a second looks at every session; no session has a timer of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Octets a second. A GSM line of 1995 had twice as much.
SLOWEST = 500
# Parts of `limits.idle`: a stall; from when a small debt is forgiven, because the network shakes what
# comes evenly; until when a debt must be paid, less the second that the sweep may take.
_STALL, _FORGIVEN, _PAYABLE = 0.8, 0.8, 0.99
# That small debt: so much of `limits.idle`, and no more than so many seconds.
_SHAKING, _MOST_SHAKING = 0.01, 0.3
# When sessions are scarce, those that do nothing have so many seconds.
_WHEN_SCARCE = 30.0


@dataclass(slots=True)
class Pace:
    """One session's progress."""

    idle: float  # seconds
    since: float = 0.0  # of the last step; loop time
    waits: bool = True  # for the client; the relay's own work is not the client's delay
    _in_content: bool = False
    _paid: float = 0.0  # until when the octets that came would do
    _square: float = 0.0  # when that was last all the time until then
    _last: float = 0.0  # of the arrivals

    def step(self, now: float) -> None:
        """The client got on with its business."""
        self.since = now

    @contextmanager
    def working(self) -> Iterator[None]:
        """While this lasts it is the client that waits."""
        self.waits = False
        try:
            yield
        finally:
            self.waits = True

    def begin_content(self, now: float) -> None:
        """Content is expected, or more of it: chunks of one message are one content."""
        if not self._in_content:
            self._in_content, self._paid = True, 0.0
            self._square = self._last = now

    def end_content(self, now: float) -> None:
        """It is all there, or is not wanted any more."""
        if self._in_content:
            self._in_content, self.since = False, now

    def count(self, now: float, octets: int) -> None:
        """Content arrived."""
        self._last = now
        if not self._paid:
            # Time to think before the first octet is nobody's rate; it still counts for `_PAYABLE`.
            earned = octets >= SLOWEST * (now - self._square)
            self._paid, self._square = now, now if earned else self._square
            return
        self._paid = min(self._paid + octets / SLOWEST, now)
        forgiven = now - self._square >= self.idle * _FORGIVEN and self._debt <= self._shaking
        if self._paid >= now or forgiven:
            self._paid = self._square = now

    def stalls(self, now: float, seconds: float) -> bool:
        """Whether the client owes content, and none of it has come for so long."""
        return self.waits and self._in_content and now - self._last >= seconds

    @property
    def _debt(self) -> float:
        return self._last - self._paid

    @property
    def _shaking(self) -> float:
        return min(self.idle * _SHAKING, _MOST_SHAKING)

    def is_over(self, now: float, *, scarce: bool = False) -> bool:
        """Whether the session has had its time."""
        if not self.waits:
            return False
        if self._in_content:
            in_debt = self._debt > self._shaking and now - self._square >= self.idle * _PAYABLE
            return in_debt or now - self._last >= self.idle * _STALL
        return now - self.since >= (min(self.idle, _WHEN_SCARCE) if scarce else self.idle)
