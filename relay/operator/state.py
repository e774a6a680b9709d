"""How the relay is, as one record: whatever shows a state shows this one, or a part of it, and nothing else.

`reading` makes it, of a service that runs or of what a stopped one has left.
"""

from dataclasses import dataclass, fields, is_dataclass
from enum import Enum, StrEnum
from typing import Any

from pydantic_core.core_schema import CoreSchema, float_schema, no_info_after_validator_function

from relay.host.clock import to_iso
from relay.operator.trouble import Health
from relay.spool import State


class Moment(float):
    """Seconds since the epoch; in JSON a time of RFC 3339, in UTC."""

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> CoreSchema:
        """How one node reads it of another: as a number."""
        return no_info_after_validator_function(cls, float_schema())


class GrantHealth(StrEnum):
    """How an account's grant is."""

    ALIVE = "alive"
    DUE = "consent due"  # it dies within 30 days unless a person consents again
    UNVERIFIED = "unverified"  # nobody knows whose mailbox consented
    DEAD = "dead"  # the authorization server, or the API, does not take it any more
    MISSING = "missing"  # nobody has consented
    UNREADABLE = "unreadable"  # its file cannot be read
    UNKNOWN = "unknown"  # the database that has it does not answer


@dataclass(frozen=True, slots=True)
class Grant:
    """An account's grant."""

    health: GrantHealth
    problem: str = ""  # a sentence; "" where there is none
    whose: str = ""  # the mailbox's address, where it was asked
    verified: bool = False  # whether it is known whose mailbox it is
    consented_at: Moment | None = None
    dies_at: Moment | None = None  # when a person must have consented again
    days_left: int | None = None  # whole ones until then, never below 0; None: it renews itself, or is dead
    sends_until: Moment | None = None  # how long the access token of a dead grant goes on
    rotation: bool | None = None  # None: not seen yet
    last_used: Moment | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an account's mail waits."""

    reason: str
    status: str  # RFC 3463
    since: Moment
    person: bool  # whether a person must act; otherwise it passes by itself
    next_probe: Moment | None  # when Works is asked whether it is over; None: that is being tried


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a budget is used."""

    used: int
    limit: int  # 0: there is none

    @property
    def left(self) -> int | None:
        """What may go still; None: there is no limit."""
        return max(0, self.limit - self.used) if self.limit else None


@dataclass(frozen=True, slots=True)
class Account:
    """A Works mailbox that sends."""

    name: str
    address: str  # "": it is not in the configuration, and mail waits for it
    default: bool
    grant: Grant
    hold: Hold | None = None
    minute: Use | None = None  # mails; None where nothing is sent
    day: Use | None = None  # recipients


@dataclass(frozen=True, slots=True)
class Node:
    """One node of several."""

    name: str
    version: str
    started: Moment
    seen: Moment  # its last beat
    alive: bool
    this: bool  # it is the one that tells
    sends_since: Moment | None  # None: another one sends
    sessions: int
    accepting: bool | None  # new mail is taken; None: it has not said
    reason: str  # why not
    differs: bool  # its configuration is another one than that of the node that tells
    different: tuple[str, ...] = ()  # in these keys


@dataclass(frozen=True, slots=True)
class Sent:
    """What only the node that sends knows, as it says it to the others."""

    accounts: tuple[Account, ...]
    requests: Use


@dataclass(frozen=True, slots=True)
class Outage:
    """Works is down."""

    reason: str
    since: Moment
    next_try: Moment


@dataclass(frozen=True, slots=True)
class Listener:
    """Where clients may speak SMTP."""

    address: str  # as it listens
    tls: str
    auth: str
    networks: tuple[str, ...]
    sessions: int | None = None  # open now; None: nothing listens
    remarks: tuple[str, ...] = ()  # what an administrator should know
    certificate_file: str = ""
    certificate_expires: Moment | None = None  # None: no TLS, or the file cannot be read
    certificate_days: int | None = None  # whole ones left, below 0 when it has expired
    certificate_problem: str = ""  # why what is in the files now is not used, and an older one is


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a listener, or the console, shows to whoever connects by TLS."""

    place: str  # the listener's address, or "console ADDRESS"
    file: str
    expires: Moment | None  # of the one in use; None: it cannot be read
    problem: str = ""  # why what is in the files now is not used


@dataclass(frozen=True, slots=True)
class Queue:
    """What is in the spool. Mail that waits for its account to be put in order is held."""

    states: dict[State, int]  # in the order of a message's life
    waiting: int  # queued, sending, delayed, held
    oldest: Moment | None  # arrival of the oldest of these


@dataclass(frozen=True, slots=True)
class Disk:
    """What the spool's disk has left."""

    free: int  # octets
    keep_free: int  # octets
    accepting: bool  # new mail is taken
    reason: str = ""  # why not


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody was told."""

    to: str
    at: Moment


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that a person should know of, and what to do."""

    kind: str  # of outcome.TroubleKind
    name: str  # of the account, message, listener …; "" where there is only one
    health: Health
    reason: str
    remedy: str  # "": it passes by itself
    since: Moment
    person: bool
    deadline: Moment | None = None  # when it gets worse by itself
    told: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class Headline:
    """What matters most, in one sentence; the times in it are said as whoever shows it says times."""

    text: str
    since: Moment | None = None
    next_try: Moment | None = None
    waiting: int = 0  # messages


@dataclass(frozen=True, slots=True)
class RelayState:
    """Everything, at one moment."""

    health: Health
    headline: Headline
    hostname: str
    version: str
    now: Moment
    started: Moment | None  # None: it does not run
    sending: bool  # here or by another node, or as soon as a lease has run out
    outage: Outage | None  # Works is down
    requests: Use | None  # of the domain, in this minute
    disk: Disk | None  # None: there is no spool yet, or it cannot be opened
    queue: Queue | None
    accounts: tuple[Account, ...]
    listeners: tuple[Listener, ...]
    concerns: tuple[Concern, ...]  # the worst first
    certificates: tuple[Certificate, ...] = ()  # of the listeners and the console
    archive: tuple[str, ...] = ()  # who gets an unseen copy of every message
    nodes: tuple[Node, ...] = ()  # where there are several


def as_json(value: Any) -> Any:
    """A state, or a part of it, as plain values for JSON; times in UTC."""
    if isinstance(value, Moment):
        return to_iso(value)
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {one.name: as_json(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, dict):
        return {as_json(key): as_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    return value
