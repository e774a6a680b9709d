"""The two clocks: wall time for what is kept and shown, steady time for what is waited for.

A wall clock can be set back or forth at any moment; what it decides may come early or late, but may
never lose mail or make a storm. Both can be replaced, so that days pass at once in a simulation.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds since the epoch, and seconds that only ever grow."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
