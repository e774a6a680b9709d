"""Queue ids."""

import random
import time

# Crockford's alphabet: no I, L, O, U to misread over the telephone.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Nodes that share a database give the same id once in 10^12 pairs of one millisecond.
_RANDOM_BITS = 40


class Ids:
    """Queue ids: the milliseconds of the arrival and some chance, never one twice, in rising order."""

    def __init__(self) -> None:
        self._last = 0
        # Two relays should not give the same ids; nobody need be kept from guessing one.
        self._random = random.Random()  # noqa: S311

    def make(self) -> str:
        """The next one."""
        number = (int(time.time() * 1000) << _RANDOM_BITS) | self._random.getrandbits(_RANDOM_BITS)
        # Two of one millisecond, or a clock that was set back: chance alone would repeat itself.
        self._last = number = max(number, self._last + 1)
        text = ""
        while number:
            number, digit = divmod(number, 32)
            text = _ALPHABET[digit] + text
        return text
