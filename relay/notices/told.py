"""What the operator was told, kept on disk."""

import asyncio
import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from relay.host.safeio import write_file

DAMAGE, HELD, SILENCE = "damage", "held", "silence"
KINDS = (DAMAGE, HELD, SILENCE)  # what is told of by name
FORGET = 120 * 86400.0  # seconds; longer than a grant lives
_MOST_UNTOLD = 1000  # names of one kind, remembered for the next mail; the queue has all of them
_UNTOLD = "untold"


class Told:
    """What the operator was told, and when, and what not yet: `state_dir/told.json`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = False
        self._when: dict[str, float] = {}
        self._untold: dict[str, dict[str, str]] = {}  # by key: names, and what is wrong with each
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            found = json.loads(path.read_bytes())
            untold = found.pop(_UNTOLD, {})
            self._when = {str(key): float(when) for key, when in found.items()}
            self._untold = {
                key: {str(name): str(why) for name, why in untold[key].items()}
                for key in KINDS
                if untold.get(key)
            }

    def due_in(self, key: str, now: float, every: float) -> float:
        """Seconds until it is to be told, at most once in `every`; a time in the future was a wrong clock."""
        passed = now - self._when.get(key, -every)
        return every - passed if 0 <= passed < every else 0.0

    def note(self, key: str, now: float) -> None:
        """It is told now."""
        self._when = {one: when for one, when in self._when.items() if 0 <= now - when < FORGET} | {key: now}
        self._changed = True

    def untold(self, key: str) -> dict[str, str]:
        """What the next mail of this kind is to name, and why."""
        return dict(self._untold.get(key, {}))

    def add(self, key: str, name: str, reason: str) -> None:
        """Something is to be named in the next mail of this kind."""
        names = self._untold.setdefault(key, {})
        if len(names) < _MOST_UNTOLD:
            names[name] = reason
            self._changed = True

    def remove(self, key: str, names: Iterable[str]) -> None:
        """These were named, or need not be any more."""
        left = self.untold(key)
        for name in names:
            left.pop(name, None)
        self._untold[key] = left
        self._changed = True

    @property
    def is_changed(self) -> bool:
        """Whether there is something to save."""
        return self._changed

    async def save(self) -> None:
        """Write what changed; at worst, on a disk that will not, something is told twice."""
        while self._changed:
            self._changed = False
            octets = json.dumps({**self._when, _UNTOLD: self._untold}).encode()
            with contextlib.suppress(OSError):
                await asyncio.to_thread(write_file, self._path, octets)
