"""The spool's words: a message's states, and what is known of it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from relay.envelope import Content, Envelope, Submission
from relay.mail import Loss
from relay.outcome import Cause, Hold, Outcome


class SpoolError(Exception):
    """The spool cannot do it now; nothing was changed. 451 at the door, patience in the courier."""


class SpoolFull(SpoolError):  # noqa: N818 - the words of the field
    """No room: disk full, quota, read-only file system. 452 4.3.1 at the door."""


class SpoolInDoubt(SpoolError):  # noqa: N818
    """Nobody knows whether the message is kept: neither 250 nor 4yz would be true.

    The session ends without a reply; when the message comes again, it is recognised if it was kept.
    """

    def __init__(self, queue_id: str) -> None:
        super().__init__(f"nobody knows yet whether {queue_id} is kept: the database does not answer")
        self.queue_id = queue_id


class TakenElsewhere(SpoolError):  # noqa: N818
    """An equal message has come to another node since the client may have sent this one there.

    If the client has left without a reply, that was most likely its next try: this one is not to be kept.
    Else look again whether this one repeats the other; if not, it is another message.
    """


class SpoolDamaged(SpoolError):  # noqa: N818
    """Its database cannot be read as what it is."""


class SpoolLocked(SpoolError):  # noqa: N818
    """Another process owns this spool."""


class NoSuchMessage(SpoolError):  # noqa: N818
    """No message has this queue id, or it is not in a state that allows this."""


class State(StrEnum):
    """Where a message is in its life."""

    QUEUED = "queued"
    SENDING = "sending"
    DELAYED = "delayed"
    HELD = "held"
    FAILED = "failed"
    RELAYED = "relayed"
    REFUSED = "refused"
    DISCARDED = "discarded"


WAITING = (State.QUEUED, State.SENDING, State.DELAYED, State.HELD)
GONE = (State.RELAYED, State.REFUSED, State.DISCARDED)  # no content is kept of these


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which messages are looked for; what is empty, or 0, is not asked."""

    states: Collection[State] = ()
    held: Collection[str] = ()  # accounts whose queued and delayed mail counts as held
    account: str = ""
    source: str = ""  # the client's address, or the user that logged in
    sender: str = ""  # a part of the reverse-path, in any case
    recipient: str = ""  # a part of a forward-path, in any case
    queue_id: str = ""  # a part of it
    since: float = 0.0  # of the arrival, seconds since the epoch
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as the spool knows it, without its content."""

    queue_id: str
    state: State
    account: str
    envelope: Envelope
    size: int  # octets of the content
    sha256: str  # of the content, hex
    arrival: float  # seconds since the epoch
    next_attempt: float  # seconds since the epoch; 0 when none is planned
    attempts: int
    unknowns: int  # attempts whose outcome nobody knows
    status: str = ""  # of the last attempt, RFC 3463
    reason: str = ""  # of the last attempt, or of the hold, a sentence of ours
    cause: Cause = Cause.OTHER  # of the last attempt
    hold: Hold = Hold.NONE  # what it waits for, if it is held
    losses: tuple[Loss, ...] = ()
    relayed: frozenset[str] = field(default_factory=frozenset)  # recipients whose request Works took
    refused: frozenset[str] = field(default_factory=frozenset)  # recipients whose request failed for good
    since: float = 0.0  # giving up is counted from here: the arrival, or when a person said `retry`
    ended: float = 0.0  # when it was relayed, failed or discarded; 0: not yet


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to attempt one message, until it is settled.

    A context: whoever leaves it gives back what was fetched for the claim alone.
    """

    entry: Entry
    content: Content
    attempt: int  # the number of this attempt
    token: str  # no other claim has it: what is written under a claim that is over changes nothing
    on_release: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.on_release()


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An attempt that the last owner started and did not settle."""

    claim: Claim
    outcome: Outcome  # recorded, or unknown where the request was under way


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a claim ends."""

    state: State
    outcome: Outcome
    losses: tuple[Loss, ...] = ()
    next_attempt: float = 0.0  # seconds since the epoch, for delayed
    spent: bool = True  # whether it counts as an attempt
    hold: Hold = Hold.NONE  # what it waits for, for held


class Topic(StrEnum):
    """What a word is about."""

    NEW = "new"  # a message may be claimed: it was put, or a person let it go
    VERDICT = "verdict"  # what a session waits for is settled
    CHANGED = "changed"  # a person held, released, retried or discarded a message
    SENDER = "sender"  # this process sends from now on, or does no longer: `term` tells
    DOCUMENT = "document"  # a small text that every node goes by was changed


@dataclass(frozen=True, slots=True)
class Word:
    """Something that happened in the spool. A shortcut: whoever misses it finds out by looking."""

    topic: Topic
    queue_id: str = ""
    account: str = ""
    flow: str = ""  # of the message, for NEW


@dataclass(frozen=True, slots=True)
class Notice:
    """A message of our own about a failure."""

    submission: Submission
    account: str  # that sends it
    to: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request of one attempt, as it was recorded."""

    attempt: int
    request: int
    recipients: tuple[str, ...]
    started: float  # seconds since the epoch
    ended: float | None  # None: it is under way
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something else that happened to a message, for the trace."""

    at: float  # seconds since the epoch
    event: str  # a word or two of ours: "held", REPLIED, …
    detail: Mapping[str, object]  # JSON values; no content, no secret


# Two events: the reply, with code, status and text, was written; or the client was gone before it was.
REPLIED, NOT_HEARD = "replied", "reply not heard"
# It came again after that, and got the reply of the first time.
SUBMITTED_AGAIN = "submitted again"
# Events of a message of which another node kept an equal one at the same time: it may be sent twice.
KEPT_TWICE = "kept twice"


@dataclass(frozen=True, slots=True)
class Past:
    """One request of the last day, for what a start has to know about it."""

    started: float  # seconds since the epoch
    ended: float | None  # None: the process died before it was
    account: str
    recipients: int
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Published:
    """What the sender has said of itself, for the others and for the one after it."""

    term: int  # in which it was said
    age: float  # seconds since then
    state: str  # JSON
    is_led: bool  # its lease has not run out
    is_promoted: bool  # another server is the primary since: what was written last may be lost


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node, as all of them see it. Times are seconds since the epoch."""

    name: str
    version: str
    started: float
    seen: float  # its last beat
    is_alive: bool
    is_self: bool
    sends: bool
    sends_since: float | None  # None: it does not send
    sessions: int
    accepting: bool | None  # None: it has not said
    trouble: str  # why it accepts nothing, a sentence; "": nothing is wrong
    fingerprint: str  # of its configuration; "": not said


@dataclass(frozen=True, slots=True)
class Room:
    """What the storage has left."""

    free: int  # octets
    accepting: bool  # new messages are kept
    sending: bool  # claims are given: their end can be written down
    trouble: str = ""  # why nothing is accepted, where that is no lack of room; a sentence
    reached: bool = False  # what is kept has reached its limit, whatever the disk has left
