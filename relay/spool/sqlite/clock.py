"""Time that does not jump: what is planned stays planned when somebody sets the clock."""

from relay.host.clock import Clock

# Below this many seconds it is the slewing of a clock that is kept right.
_JUMP = 30.0


class SteadyClock:
    """Seconds since the epoch, as the wall clock said at the start, plus what has really passed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.wall() - clock.boot()

    def now(self) -> float:
        """Seconds since the epoch, by the clock as it was last looked at."""
        return self._clock.boot() + self._offset

    def take_jump(self) -> float:
        """By how many seconds the wall clock has been set since the last look; 0 when it has not."""
        jump = self._clock.wall() - self.now()
        if abs(jump) < _JUMP:
            return 0.0
        self._offset += jump
        return jump
