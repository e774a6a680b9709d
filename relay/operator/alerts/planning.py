"""What is to be told one way now: a pure function of the troubles and of what was told."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from relay.host.documents import CLAIM
from relay.outcome import Trouble, TroubleKind

# A trouble that passes by itself is told of when it has lasted so long, in seconds.
_PATIENCE = {TroubleKind.API: 900.0}
# Events and not states: after a restart nobody finds them again, and yet they are not over.
_NEWS = frozenset(kind.value for kind in (TroubleKind.DAMAGE, TroubleKind.NOT_TOLD))
# A trouble that comes and goes, or becomes another sort, is told of again at most once in so many seconds.
QUIET = 300.0
# After a start everything that still holds is found again within so many seconds.
SETTLED = 120.0
Key = tuple[str, str]  # kind and name


class Event(StrEnum):
    """Why something is told."""

    BEGUN = "begun"
    CHANGED = "changed"  # it is so for another reason, or has come farther
    AGAIN = "again"  # it lasts
    OVER = "over"
    TRIAL = "trial"


@dataclass(frozen=True, slots=True)
class Said:
    """What was told last of one trouble, one way."""

    at: float  # seconds since the epoch
    sort: str | None  # of the trouble; None: told by an older release, which did not write it down
    over: bool = False  # what was told is that the trouble is over
    claimed: float = 0.0  # until when a node is about to tell of it, in seconds since the epoch

    def is_forgotten(self, now: float) -> bool:
        """Whether it need not be remembered any more: over, and old."""
        return self.over and not 0 <= now - self.at < QUIET and not self.is_claimed(now)

    def is_claimed(self, now: float) -> bool:
        """Whether a node is about to tell of it; a time far in the future was a wrong clock."""
        return 0 < self.claimed - now <= CLAIM


NEVER = Said(0.0, None, over=True)  # nothing was told


@dataclass(frozen=True, slots=True)
class Due:
    """Something to tell."""

    event: Event
    key: Key
    trouble: Trouble | None  # None: it ended, and nothing more is known of it
    at: float  # when, in seconds since the epoch


def plan(
    troubles: Iterable[Trouble],
    ended: Container[Key],
    said: Mapping[Key, Said],
    *,
    now: float,
    every: float,
    settled_at: float,
    way: str,
) -> Sequence[Due]:
    """What is to be told, and when, the first first.

    Args:
        troubles: what is wrong now.
        ended: what was wrong and is over, as far as it is remembered.
        said: what was told this way.
        now: seconds since the epoch.
        every: seconds after which a trouble that lasts is told of again; 0: never.
        settled_at: from then on what is not wrong any more is over; before, it may not have been found yet.
        way: the way's name: that it does not work itself cannot be told by it.
    """
    current = {(one.kind.value, one.name): one for one in troubles}
    found = [
        _plan_one(key, one, said.get(key), now, every)
        for key, one in current.items()
        if is_told(one) and key != (TroubleKind.ALERT.value, way)
    ]
    found += [
        Due(Event.OVER, key, None, now if key in ended else max(now, settled_at))
        for key, one in said.items()
        if not one.over and not _goes_on(key, current) and (key[0] not in _NEWS or _is_over(key, ended))
    ]
    due = [_wait_for_others(one, said.get(one.key, NEVER), now) for one in found if one is not None]
    return sorted(due, key=lambda one: one.at)


def _wait_for_others(due: Due, said: Said, now: float) -> Due:
    """Put it off while a node is about to tell of it."""
    return replace(due, at=max(due.at, said.claimed)) if said.is_claimed(now) else due


def _is_over(key: Key, ended: Container[Key]) -> bool:
    """Whether the end of an event is to be told. NOT_TOLD ends when somebody is told, which is no news."""
    return key in ended and key[0] != TroubleKind.NOT_TOLD.value


def is_told(trouble: Trouble) -> bool:
    """Whether anybody is told of it: what passes by itself is not, but for an outage that lasts."""
    return trouble.person or trouble.kind in _PATIENCE


def _goes_on(key: Key, current: Mapping[Key, Trouble]) -> bool:
    return key in current and is_told(current[key])


def _plan_one(key: Key, trouble: Trouble, said: Said | None, now: float, every: float) -> Due | None:
    if said is None or said.over:
        quiet = now if said is None else _after(said.at, QUIET, now)
        begins = trouble.since + _PATIENCE.get(trouble.kind, 0.0)
        return Due(Event.BEGUN, key, trouble, max(begins, quiet))
    if said.sort not in (None, trouble.sort):
        return Due(Event.CHANGED, key, trouble, _after(said.at, QUIET, now))
    return Due(Event.AGAIN, key, trouble, _after(said.at, every, now)) if every else None


def _after(at: float, seconds: float, now: float) -> float:
    """So many seconds after `at`; now, if a wrong clock wrote a time in the future."""
    return at + seconds if at <= now else now
