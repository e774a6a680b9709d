"""Time that does not jump: what is planned stays planned when somebody sets the clock."""

import time

# Below this many seconds it is the slewing of a clock that is kept right.
_JUMP = 30.0
# Time that goes on while the machine sleeps, where the system has it.
_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SteadyClock:
    """Seconds since the epoch, as the wall clock said at the start, plus what has really passed."""

    def __init__(self) -> None:
        self._offset = time.time() - time.clock_gettime(_BOOT_TIME)

    def now(self) -> float:
        """Seconds since the epoch, by the clock as it was last looked at."""
        return time.clock_gettime(_BOOT_TIME) + self._offset

    def take_jump(self) -> float:
        """By how many seconds the wall clock has been set since the last look; 0 when it has not."""
        jump = time.time() - self.now()
        if abs(jump) < _JUMP:
            return 0.0
        self._offset += jump
        return jump
