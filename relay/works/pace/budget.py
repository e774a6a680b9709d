"""One budget: so much in any window of so many seconds, as the peer counts it.

The peer counts a request at some moment between its start and its answer. So a request is in the
window from its start until the window's length after its *answer*: then no window of the peer's can
hold more than the limit, however long requests take on the way. Every operation takes constant time,
averaged over the requests.
"""

import math
from collections import deque
from dataclasses import dataclass, field

MINUTE, DAY = 60.0, 86400.0
# Beyond this share of the window a burst is spread evenly: a person's one scan then waits for a slot
# and not for a minute.
_AT_ONCE = 0.5
_SOON = 0.05  # seconds; everything is under way, and only an answer makes room
_STRETCH = 29 * MINUTE  # half an hour (Works API §3) and the window that ends it
_REST = 5 * MINUTE
_QUARTER = 0.25
_MOST_ENTRIES = 1440  # of a window: a minute's of a day, and 42 ms' of a minute
# So long holds what the API said of its limit, unless it says it again: one odd answer is not for ever.
_LEARNED_FOR = 10 * MINUTE


@dataclass(slots=True)
class Window:
    """What was taken in the last `length` seconds."""

    length: float  # seconds
    under_way: int = 0
    ended: int = 0
    _ends: deque[tuple[float, int]] = field(default_factory=deque)  # when answered, how many

    def used(self, now: float) -> int:
        """How much of the window is used."""
        self._forget(now)
        return self.under_way + self.ended

    def _forget(self, now: float) -> None:
        while self._ends and self._ends[0][0] + self.length <= now:
            self.ended -= self._ends.popleft()[1]

    def take(self, amount: int = 1) -> None:
        """A request starts."""
        self.under_way += amount

    def give_back(self, amount: int = 1) -> None:
        """It was never made."""
        self.under_way -= amount

    def end(self, now: float, amount: int = 1) -> None:
        """It was answered, or given up."""
        self.under_way -= amount
        self.add(now, amount)

    def add(self, when: float, amount: int) -> None:
        """Something was used at `when`, which is never earlier than what was added before."""
        when = max(when, self._ends[-1][0]) if self._ends else when
        self._forget(when)  # here too: where there is no limit nobody asks
        self.ended += amount
        # What ended within the same grain is one entry, which counts until its last would. So a window holds
        # 1,440 entries at most, however much goes through it.
        grain = self.length / _MOST_ENTRIES
        if self._ends and self._ends[-1][0] // grain == when // grain:
            amount += self._ends.pop()[1]
        self._ends.append((when, amount))

    def forget(self) -> None:
        """Forget what was answered; what is under way stays."""
        self._ends.clear()
        self.ended = 0

    def room_in(self, now: float, amount: int, limit: int) -> float:
        """Seconds until `amount` more fit under `limit`; 0 when they do."""
        excess = self.used(now) + min(amount, limit) - limit  # more than the limit goes alone
        if excess <= 0:
            return 0.0
        for when, count in self._ends:
            excess -= count
            if excess <= 0:
                return when + self.length - now
        return _SOON


@dataclass(slots=True)
class Rate:
    """So many requests a minute. 0: no limit, but a pause is still kept."""

    limit: int
    halves: bool = False  # after half an hour of continuous use only half (Works API §3)
    window: Window = field(default_factory=lambda: Window(MINUTE))
    paused_until: float = 0.0
    _due: float = 0.0  # when the next one of a spread burst may start
    _last: float = -MINUTE
    _began: float = 0.0  # when use began, after a minute without any
    _learned: int = 0  # the API's own limit
    _learned_until: float = 0.0
    _foreign: int = 0  # used by others of the same domain
    _foreign_until: float = 0.0
    _busy_since: float | None = None
    _busy_at: float = 0.0

    def allowed(self, now: float) -> int:
        """Requests in a minute at this moment; 0 means no limit."""
        limit = self._full(now)
        if limit and self.halves and self._long_busy(now):
            limit = max(1, limit // 2)
        return limit

    def _full(self, now: float) -> int:
        learned = self.learned(now)
        return min(self.limit, learned) if self.limit and learned else self.limit

    def learned(self, now: float) -> int:
        """The API's own limit, if it has named it of late; else 0."""
        return self._learned if now < self._learned_until else 0

    def _long_busy(self, now: float) -> bool:
        return (
            self._busy_since is not None
            and now - self._busy_at <= _REST
            and now - self._busy_since >= _STRETCH
        )

    def free_in(self, now: float) -> float:
        """Seconds until one more request may start; 0 when it may now."""
        pause = max(0.0, self.paused_until - now)
        limit = self.allowed(now)
        if not limit:
            return pause
        others = self._others(now, limit)
        room = self.window.room_in(now, 1, max(1, limit - others))
        used = self.window.used(now) + others
        return max(pause, room, self._due - now if used >= limit * _AT_ONCE else 0.0)

    def at_once(self, now: float) -> float:
        """How many requests may start at this moment, and wait for nothing; infinite: any number."""
        limit = self.allowed(now)
        if self.free_in(now):
            return 0
        if not limit:
            return math.inf
        return max(1, math.ceil(limit * _AT_ONCE) - self.window.used(now) - self._others(now, limit))

    def _others(self, now: float, limit: int) -> int:
        """How much of `limit` others of the domain use: what the API allows beyond it is theirs first."""
        if now >= self._foreign_until:
            return 0
        learned = self.learned(now)
        whole = learned // 2 if self.halves and self._long_busy(now) else learned
        return max(0, self._foreign - max(0, whole - limit))

    def take(self, now: float) -> None:
        """A request starts."""
        if limit := self.allowed(now):
            interval = MINUTE / limit
            spread = self.window.used(now) >= limit * _AT_ONCE
            # A slot that was used a little late does not delay the ones after it.
            self._due = (max(self._due, now - interval) if spread else now) + interval
        self.window.take()
        self._note_use(now)

    def _note_use(self, now: float) -> None:
        # Continuous use: every minute above a quarter of the limit, with no rest of five minutes.
        if now - self._last > MINUTE:
            self._began = now
        self._last = now
        if not self.halves or self.window.used(now) <= self._full(now) * _QUARTER:
            return
        if self._busy_since is None or now - self._busy_at > _REST:
            self._busy_since = max(self._began, now - MINUTE)
        self._busy_at = now

    def give_back(self) -> None:
        """A request was never made."""
        self.window.give_back()

    def end(self, now: float) -> None:
        """A request was answered, or given up."""
        self.window.end(now)

    def forget(self) -> None:
        """Forget what was answered before; what is under way, and what the API has said, stays."""
        self.window.forget()
        self._due, self._last, self._began, self._busy_since = 0.0, -MINUTE, 0.0, None

    def seed(self, when: float) -> None:
        """A request was made at `when`, before this process started; in the order of time."""
        self.window.add(when, 1)
        self._note_use(when)

    @property
    def said(self) -> tuple[int, float]:
        """The API's own limit, and until when it holds; as it was said last."""
        return self._learned, self._learned_until

    def recall(self, limit: int, until: float) -> None:
        """The API has said its own limit to somebody else."""
        self._learned, self._learned_until = limit, until

    def pause(self, until: float) -> None:
        """Nothing may start before `until`."""
        self.paused_until = max(self.paused_until, until)

    def learn(self, limit: int, remaining: int | None, reset: float, now: float) -> None:
        """What the API said of its own counting.

        Args:
            limit: requests a minute; a lower one than ours is obeyed, a higher one ignored.
            remaining: how many are left; what we have not used ourselves, others of the domain have.
            reset: seconds until it counts anew.
            now: the monotonic clock.
        """
        if limit < 1:
            return
        self._learned, self._learned_until = limit, now + _LEARNED_FOR
        if remaining is not None:
            self._foreign = max(0, limit - remaining - self.window.used(now))
            self._foreign_until = now + min(reset, MINUTE)
