"""What is known of the API and of each account; values, replaced by each judgement.

All times are steady seconds (`Clock.steady`) unless they say otherwise: a wall clock that is set changes
nothing here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar

from relay.outcome import Action, Outcome


@dataclass(frozen=True, slots=True)
class Now:
    """One moment, by both clocks."""

    steady: float
    wall: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Spell:
    """A time in which nothing could be sent."""

    since: float | None = None  # None: it is over
    ended: float | None = None  # when the last long one ended


@dataclass(frozen=True, slots=True)
class Suspect:
    """A message that was refused as if it were not the message's fault."""

    refusals: int = 0  # each after others of its account had passed
    others_passed: bool = True  # since the last refusal


@dataclass(frozen=True, slots=True)
class AccountHold:
    """Why an account's mail waits."""

    account: str
    outcome: Outcome
    since: float  # wall
    probe_at: float  # when to ask Works whether it is over
    pause: float  # seconds from one probe to the next
    ready: bool = False  # a probe got through: one message may be tried
    trying: bool = False  # that message is under way

    @property
    def held(self) -> bool:
        """Whether a person must act; otherwise it passes by itself."""
        return self.outcome.action is Action.HELD


@dataclass(frozen=True, slots=True)
class AccountState:
    """What is known of one account."""

    hold: AccountHold | None = None
    doubted: str = ""  # the message that met the API's trouble last, with none of the account answered since
    forbidden: str | None = None  # the message that was not permitted; "": several were
    foreign: tuple[str, ...] = ()  # different messages in a row that were refused in words not Works' own
    suspects: Mapping[str, Suspect] = field(default_factory=lambda: MappingProxyType({}))  # by queue id
    spell: Spell = Spell()


@dataclass(frozen=True, slots=True)
class ApiState:
    """What is known of the API."""

    began: float  # since when this is watched
    down_since: float | None = None  # None: it is up, as far as is known
    doubted: tuple[str, str] | None = None  # account and message that met trouble last, none answered since
    doubted_at: float = 0.0  # when the first of these did
    unknowns: int = 0  # outcomes that nobody knows, while it was down
    answered: bool = False  # since `began`
    spell: Spell = Spell()


@dataclass(frozen=True, slots=True)
class State:
    """What a judgement knows, and what it leaves: the API, and the account of the message."""

    api: ApiState
    account: AccountState = AccountState()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a judgement has to know of the message and of its account."""

    account: str
    message: str  # its queue id
    alone: bool  # no other account is configured: what holds for this one holds for the API


T = TypeVar("T", AccountState, ApiState, State)


def update(known: T, **news: Any) -> T:
    """What is known now; the same value if it was known before, as it is after nearly every message."""
    return (
        known
        if all(getattr(known, name) == value for name, value in news.items())
        else replace(known, **news)
    )
