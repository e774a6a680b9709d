"""How long a session may take: for its next step, and for the content it sends.

A client has `limits.idle` (RFC 5321 §4.5.3.2.7: five minutes at least) for each step forward; a NOOP is
none. Content may take as long as it likes while it comes at 500 octets a second: judged between two
arrivals, over a window, so that neither a pause of a slow scanner nor a long way costs a message.
One sweep a second looks at every session; no session has a timer of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Octets a second. A GSM line of 1995 had twice as much.
SLOWEST = 500
# Parts of `limits.idle`: a stall, and the window over which the rate is judged.
_WINDOW = 0.8
# When sessions are scarce, those that do nothing have so many seconds.
_WHEN_SCARCE = 30.0


@dataclass(slots=True)
class Pace:
    """One session's progress."""

    idle: float  # seconds
    since: float = 0.0  # of the last step; loop time
    waits: bool = True  # for the client; the relay's own work is not the client's delay
    _start: float = 0.0  # of the window; 0: no content is arriving
    _last: float = 0.0
    _octets: int = 0

    def step(self, now: float) -> None:
        """The client got on with its business."""
        self.since, self._start = now, 0.0

    @contextmanager
    def working(self) -> Iterator[None]:
        """While this lasts it is the client that waits."""
        self.waits = False
        try:
            yield
        finally:
            self.waits = True

    def begin_content(self, now: float) -> None:
        """Content is expected."""
        self._start = self._last = now
        self._octets = 0

    def count(self, now: float, octets: int) -> None:
        """Content arrived."""
        self._last = now
        self._octets += octets
        if now - self._start >= self.idle * _WINDOW and not self._is_slow():
            # The block that ends one window begins the next: it came for both.
            self._start, self._octets = now, octets

    def _is_slow(self) -> bool:
        return self._octets < SLOWEST * (self._last - self._start)

    def is_over(self, now: float, *, scarce: bool = False) -> bool:
        """Whether the session has had its time."""
        if not self.waits:
            return False
        window = self.idle * _WINDOW
        if self._start:
            return now - self._last >= window or (now - self._start >= window and self._is_slow())
        return now - self.since >= (min(self.idle, _WHEN_SCARCE) if scarce else self.idle)
