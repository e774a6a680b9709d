"""glibc's allocator, told that this process has many threads and one interpreter lock.

It gives each thread an arena of its own, up to eight for each core, so that they need not wait for each
other; here they wait for the interpreter's lock anyway, and what one arena has free no other can use.
Measured with 20 scans of 18 MB at once: 110 to 120 MB with its own choice, 90 to 105 MB with two arenas.
"""

import ctypes

_M_ARENA_MAX = -8  # mallopt(3)
_ARENAS = 2


def limit_arenas() -> None:
    """Keep to two arenas; does nothing where the C library has no such setting."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_ARENA_MAX, _ARENAS)
