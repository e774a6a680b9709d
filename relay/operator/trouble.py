"""The registry of troubles: what is wrong, since when, told to whom, over when.

Every part of the relay reports here, and nowhere else; whoever tells a person listens. It is in memory: what
still holds after a restart is found again, and what was told is remembered by whoever told it.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import StrEnum
from typing import Any

from relay.host.clock import to_iso
from relay.outcome import SHARED, Cause, Trouble, TroubleKind

_MOST = 1000  # of one kind that are remembered while they go on; the log and the spool have all of them
_MOST_ENDED = 200
Listener = Callable[[Trouble], None]


class Health(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"  # it works, and somebody should look
    BAD = "bad"  # mail does not go, is not taken, or is lost sight of


class Troubles:
    """What is wrong now, and what was."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Args:
        now: seconds since the epoch.
        """
        self._now = now
        self._current: dict[tuple[TroubleKind, str], Trouble] = {}
        self._ended: deque[Trouble] = deque(maxlen=_MOST_ENDED)
        self._listeners: list[Listener] = []
        self._leads = True  # what is wrong with the whole relay is found here, and not by another node

    def subscribe(self, listener: Listener) -> None:
        """Have each beginning, each other sort and each end told."""
        self._listeners.append(listener)

    def begin(
        self,
        kind: TroubleKind,
        name: str,
        reason: str,
        *,
        person: bool = True,
        cause: Cause = Cause.OTHER,
        deadline: float | None = None,
        stage: str = "",
    ) -> None:
        """Something is wrong. No news if the same sort of it was so before: its sentence is kept in step.

        Args:
            kind: what sort of trouble.
            name: of the account or the message; "" where there is only one.
            reason: a sentence for the operator.
            person: whether a person must act.
            cause: of an account's trouble.
            deadline: when it gets worse by itself, seconds since the epoch.
            stage: how far it has come.
        """
        if not self.is_ours(kind):
            return
        before = self._current.get((kind, name))
        since, told = (before.since, before.told) if before else (self._now(), ())
        while before is None and self._count(kind) >= _MOST:
            del self._current[next(key for key in self._current if key[0] is kind)]
        trouble = Trouble(kind, name, reason, since, person, cause, deadline, told=told, stage=stage)
        self._current[kind, name] = trouble
        if before is None or before.sort != trouble.sort:
            self._tell(trouble)

    def recall(self, kind: TroubleKind, name: str, reason: str, cause: Cause) -> None:
        """Something was wrong before the last start, and is still; nobody is told anew."""
        if self.is_ours(kind):
            trouble = Trouble(kind, name, reason, self._now(), cause=cause)
            self._current.setdefault((kind, name), trouble)

    def _count(self, kind: TroubleKind) -> int:
        return sum(key[0] is kind for key in self._current)

    def end(self, kind: TroubleKind, name: str = "") -> None:
        """It is over, if it was wrong."""
        before = self._current.pop((kind, name), None) if self.is_ours(kind) else None
        if before is not None:
            over = replace(before, ended=self._now())
            self._ended.append(over)
            self._tell(over)

    def note_told(self, kind: TroubleKind, name: str, to: str) -> None:
        """Somebody was told."""
        trouble = self._current.get((kind, name))
        if trouble is not None:
            told = (*trouble.told, (to, self._now()))
            self._current[kind, name] = replace(trouble, told=told)

    # Where there are several nodes.

    @property
    def shared(self) -> list[Trouble]:
        """What is wrong with the whole relay, for the nodes that do not send."""
        return [one for one in self.current if one.kind in SHARED]

    def mirror(self, shared: Iterable[Trouble]) -> None:
        """Another node sends, and finds this wrong with the whole relay: it is known here, and told there."""
        self._leads = False
        found = {(one.kind, one.name): one for one in shared}
        for key in [key for key in self._current if key[0] in SHARED and key not in found]:
            self._ended.append(replace(self._current.pop(key), ended=self._now()))
        self._current |= found

    def lead(self) -> None:
        """This node sends from now on: what is wrong with the whole relay is found and told here."""
        if not self._leads:
            self._leads = True
            for one in self.shared:
                self._tell(one)

    @property
    def leads(self) -> bool:
        """Whether this node finds and tells what is wrong with the whole relay."""
        return self._leads

    def is_told_here(self, kind: TroubleKind, name: str) -> bool:
        """Whether this trouble goes on, and people hear of it from this node."""
        return self.is_ours(kind) and (kind, name) in self._current

    def is_ours(self, kind: TroubleKind) -> bool:
        """Whether such a trouble is found here, and people hear of it from this node."""
        return self._leads or kind not in SHARED

    def _tell(self, trouble: Trouble) -> None:
        for listener in self._listeners:
            listener(trouble)

    def find(self, kind: TroubleKind, name: str = "") -> Trouble | None:
        """This trouble, while it goes on."""
        return self._current.get((kind, name))

    @property
    def current(self) -> list[Trouble]:
        """What is wrong now, oldest first."""
        return sorted(self._current.values(), key=lambda one: one.since)

    @property
    def ended(self) -> list[Trouble]:
        """What was wrong and is over, the latest last; a few hundred."""
        return list(self._ended)


def describe(trouble: Trouble) -> dict[str, Any]:
    """A trouble as plain values for JSON."""
    return {
        "kind": trouble.kind.value,
        "name": trouble.name,
        "reason": trouble.reason,
        "person": trouble.person,
        "since": to_iso(trouble.since),
        "ended": None if trouble.ended is None else to_iso(trouble.ended),
        "told": [{"to": to, "at": to_iso(at)} for to, at in trouble.told],
    }
