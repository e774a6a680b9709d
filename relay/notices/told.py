"""What the operator was told by mail, and what not yet: the document `told.json`.

Where several nodes find the same trouble, the one that *claims* the telling tells: it writes down that it is
about to, if nobody has told and nobody is about to. Then it tells, and writes that down in place of the
claim. If it dies in between, its claim runs out and another one tells: at worst twice, never not at all.
While the database does not answer each node tells by what it knows.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from relay.host.documents import CLAIM, TOLD, DocumentError, Documents
from relay.host.shared_value import Codec, SharedValue

DAMAGE, HELD, SILENCE = "damage", "held", "silence"
KINDS = (DAMAGE, HELD, SILENCE)  # what is told of by name
FORGET = 120 * 86400.0  # seconds; longer than a grant lives
_MOST_UNTOLD = 1000  # names of one kind, remembered for the next mail; the queue has all of them
_UNTOLD, _CLAIMS = "untold", "claims"


@dataclass(slots=True)
class _Notes:
    """What the document says."""

    when: dict[str, float] = field(default_factory=dict)  # told, by key
    untold: dict[str, dict[str, str]] = field(
        default_factory=dict
    )  # by key: names, and what is wrong with each
    claims: dict[str, float] = field(default_factory=dict)  # by key: until when somebody tells

    def due_in(self, key: str, now: float, every: float) -> float:
        passed = now - self.when.get(key, -every)
        return every - passed if 0 <= passed < every else 0.0

    def claimed_for(self, key: str, now: float) -> float:
        left = self.claims.get(key, now) - now
        return left if 0 < left <= CLAIM else 0.0

    def note(self, key: str, now: float) -> None:
        self.when = {one: when for one, when in self.when.items() if 0 <= now - when < FORGET} | {key: now}
        self.claims.pop(key, None)

    def add(self, key: str, name: str, reason: str) -> None:
        names = self.untold.setdefault(key, {})
        if len(names) < _MOST_UNTOLD:
            names[name] = reason

    def remove(self, key: str, names: Iterable[str]) -> None:
        for name in names:
            self.untold.get(key, {}).pop(name, None)

    def claim(self, key: str, now: float, every: float) -> bool:
        if self.due_in(key, now, every) or self.claimed_for(key, now):
            return False
        self.claims[key] = now + CLAIM
        return True


class Told:
    """What the operator was told, and when, and what not yet.

    Args:
        documents: where that is kept.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._notes = SharedValue(documents, TOLD, Codec(_read, _write))

    def due_in(self, key: str, now: float, every: float) -> float:
        """Seconds until it is to be told, at most once in `every`; a time in the future was a wrong clock."""
        return self._notes.value.due_in(key, now, every)

    def claimed_for(self, key: str, now: float) -> float:
        """Seconds for which another node may be telling it."""
        return self._notes.value.claimed_for(key, now)

    async def claim(self, key: str, now: float, every: float) -> bool:
        """Whether this node is to tell it now, and no other meanwhile."""
        if not self._documents.node:
            return True
        try:
            return await self._notes.decide(lambda notes: notes.claim(key, now, every))
        except DocumentError:
            return True

    def release(self, key: str) -> None:
        """This node tells it no longer, whether it has told it or not."""
        if key in self._notes.value.claims:
            self._notes.change(lambda notes: notes.claims.pop(key, None))

    def note(self, key: str, now: float) -> None:
        """It is told now."""
        self._notes.change(lambda notes: notes.note(key, now))

    def untold(self, key: str) -> dict[str, str]:
        """What the next mail of this kind is to name, and why."""
        return dict(self._notes.value.untold.get(key, {}))

    def add(self, key: str, name: str, reason: str) -> None:
        """Something is to be named in the next mail of this kind."""
        if self.untold(key).get(name) != reason:
            self._notes.change(lambda notes: notes.add(key, name, reason))

    def remove(self, key: str, names: Iterable[str]) -> None:
        """These were named, or need not be any more."""
        gone = [*names]
        if gone:
            self._notes.change(lambda notes: notes.remove(key, gone))


def _read(text: str) -> _Notes:
    notes = _Notes()
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        found = json.loads(text)
        untold, claims = found.pop(_UNTOLD, {}), found.pop(_CLAIMS, {})
        notes.when = {str(key): float(when) for key, when in found.items()}
        notes.untold = {
            key: {str(name): str(why) for name, why in untold[key].items()}
            for key in KINDS
            if untold.get(key)
        }
        notes.claims = {str(key): float(until) for key, until in claims.items()}
    return notes


def _write(notes: _Notes) -> str:
    claims = {_CLAIMS: notes.claims} if notes.claims else {}
    return json.dumps({**notes.when, _UNTOLD: notes.untold, **claims})
