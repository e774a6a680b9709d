"""The clocks: wall time for what is kept and shown, steady time for what is waited for.

A wall clock can be set back or forth at any moment; what it decides may come early or late, but may
never lose mail or make a storm. All can be replaced, so that days pass at once in a simulation.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

# Below so many seconds it is the slewing of a clock that is kept right.
_JUMP = 30.0
# Time that goes on while the machine sleeps, where the system has it.
_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def time_since_boot() -> float:
    """Seconds, with those in which the machine slept."""
    return time.clock_gettime(_BOOT_TIME)


def to_iso(seconds: float, precision: str = "seconds") -> str:
    """A time in the form of RFC 3339, in UTC, for JSON.

    Args:
        seconds: since the epoch.
        precision: as `datetime.isoformat` names it: "seconds" or "milliseconds".
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=precision)


def to_local(seconds: float, precision: str = "minutes", *, dated: bool = False) -> str:
    """A time for people: by the machine's time zone, which is named; the date only where it is another day.

    Args:
        seconds: since the epoch.
        precision: "minutes" or "seconds".
        dated: whether the date stands there in any case, as in mail, which is read on another day.
    """
    moment = datetime.fromtimestamp(seconds).astimezone()
    today = datetime.now().astimezone().date()
    time_of_day = "%H:%M:%S %Z" if precision == "seconds" else "%H:%M %Z"
    return moment.strftime(time_of_day if moment.date() == today and not dated else f"%Y-%m-%d {time_of_day}")


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds since the epoch, and seconds that only ever grow: while the machine is awake, and in all."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    boot: Callable[[], float] = time_since_boot

    @classmethod
    def of(cls, now: Callable[[], float]) -> Self:
        """One time for everything; seconds since the epoch."""
        return cls(now, now, now)


class SteadyClock:
    """Seconds since the epoch, as the wall clock said at the start, plus what has really passed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.wall() - clock.boot()

    def now(self) -> float:
        """Seconds since the epoch, by the clock as it was last looked at."""
        return self._clock.boot() + self._offset

    def wall(self) -> float:
        """Seconds since the epoch, as the wall clock says now."""
        return self._clock.wall()

    def take_jump(self) -> float:
        """By how many seconds the wall clock has been set since the last look; 0 when it has not."""
        jump = self._clock.wall() - self.now()
        if abs(jump) < _JUMP:
            return 0.0
        self._offset += jump
        return jump
