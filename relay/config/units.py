"""Durations, sizes and the retry schedule, as people write them in relay.toml."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_OCTETS = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?B?)", re.ASCII | re.IGNORECASE)
_STEP = re.compile(r"(.+?)(\*(\d*))?", re.ASCII)
_STEPS_EXPECTED = 'expected a list of steps such as ["1m", "5m*2", "4h*"]'
# Two messages that failed together should not come back together.
_JITTER = 0.1


def parse_duration(text: object) -> float:
    """Seconds of "10s", "5m", "4h", "5d", or of a bare 0.

    Raises:
        ValueError: it is none of these.
    """
    if text in (0, "0"):
        return 0.0
    found = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError('expected a duration such as "10s", "5m", "4h" or "5d"')
    return float(found[1]) * _SECONDS[found[2]]


def parse_size(text: object) -> int:
    """Octets of "20MB", "64KB", "1GB" (1 MB is 1,048,576 octets) or of a whole number.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    found = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError('expected a size such as "20MB", "64KB" or a number of octets')
    unit = found[2].upper()
    return int(float(found[1]) * _OCTETS[unit if unit.endswith("B") or not unit else unit + "B"])


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to try again: "5m*2" is five minutes twice, "4h*" is every four hours without end."""

    steps: tuple[tuple[float, int], ...]  # seconds, times; -1 times is without end

    @classmethod
    def parse(cls, words: object) -> "Schedule":
        """Read the list of steps as relay.toml gives it.

        Raises:
            ValueError: a step is not one, or something follows a step without end.
        """
        if isinstance(words, Schedule):
            return words
        if isinstance(words, str):
            words = [word.strip() for word in words.split(",")]
        if not isinstance(words, list) or not words:
            raise ValueError(_STEPS_EXPECTED)
        steps = tuple(_parse_step(word) for word in words)
        if any(times < 0 for _, times in steps[:-1]):
            raise ValueError("only the last step can be without end (a * with no number)")
        return cls(steps)

    def waits(self) -> Iterator[float]:
        """The wait before each further attempt, in seconds; the last step repeats."""
        for seconds, times in self.steps:
            for _ in range(times):
                yield seconds
        while True:
            yield self.steps[-1][0]

    def wait(self, attempts: int) -> float:
        """Seconds to wait after so many attempts (1 or more), with jitter."""
        bare = next(islice(self.waits(), max(attempts, 1) - 1, None))
        return bare * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - not a secret


def _parse_step(word: object) -> tuple[float, int]:
    found = _STEP.fullmatch(word) if isinstance(word, str) else None
    if found is None:
        raise ValueError(_STEPS_EXPECTED)
    try:
        seconds = parse_duration(found[1])
    except ValueError:
        raise ValueError(_STEPS_EXPECTED) from None
    if seconds <= 0:
        raise ValueError(f"{word!r}: a wait has to be longer than nothing")
    times = 1 if found[2] is None else int(found[3]) if found[3] else -1
    if times == 0:
        raise ValueError(f"{word!r}: zero times is never")
    return seconds, times
