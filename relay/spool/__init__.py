"""The durable middle: where the door and the courier meet. The contract, and its words.

A message's states, who changes them, and what a crash leaves:

    queued   put; its turn comes by rank            a crash leaves it queued
    sending  an attempt has started, durably        a crash leaves it sending: the next owner asks for
                                                    what was `interrupted` and decides
    delayed  an attempt ended; next_attempt is set  stays
    held     waits for a person                     stays
    failed   given up or refused after its 250; kept with its content for a while
    relayed, discarded                              the content is gone, the row is history for a while

What is put is on stable storage when `put` returns: content (file and directory flushed) first, the
row after it. A claim is a lease: one engine keeps it in memory because one process owns its spool,
another would keep it in the row, fenced by the attempt's number. Only `start` makes an attempt real.

When there is no room the spool first refuses to `put`, then to `claim` and `start`; `record` and
`settle` have a reserve of their own and are tried until they are written, because what happened
cannot be undone by failing to write it down.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from relay.envelope import Content, ContentWriter, Envelope, Submission
from relay.mail import Loss
from relay.outcome import Outcome


class SpoolError(Exception):
    """The spool cannot do it now; nothing was changed. 451 at the door, patience in the courier."""


class SpoolFull(SpoolError):  # noqa: N818 - the words of the field
    """No room: disk full, quota, read-only file system. 452 4.3.1 at the door."""


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
    DISCARDED = "discarded"


WAITING = (State.QUEUED, State.SENDING, State.DELAYED, State.HELD)


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
    reason: str = ""  # of the last attempt, a sentence of ours
    losses: tuple[Loss, ...] = ()
    relayed: frozenset[str] = field(default_factory=frozenset)  # recipients whose request Works took
    refused: frozenset[str] = field(default_factory=frozenset)  # recipients whose request failed for good
    since: float = 0.0  # giving up is counted from here: the arrival, or when a person said `retry`
    ended: float = 0.0  # when it was relayed, failed or discarded; 0: not yet


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to attempt one message, until it is settled."""

    entry: Entry
    content: Content
    attempt: int  # the number of this attempt; fences a late settle


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
    event: str  # a word or two of ours: "held", "repeated submission", …
    detail: Mapping[str, object]  # JSON values; no content, no secret


@dataclass(frozen=True, slots=True)
class Past:
    """One request of the last day, for what a start has to know about it."""

    started: float  # seconds since the epoch
    ended: float | None  # None: the process died before it was
    account: str
    recipients: int
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Room:
    """What the storage has left."""

    free: int  # octets
    accepting: bool  # new messages are kept
    sending: bool  # claims are given: their end can be written down


class Spool(Protocol):
    """What every engine can do. All of it raises SpoolError when the storage will not."""

    async def open(self) -> None:
        """Take the spool. Raises SpoolLocked."""

    async def close(self) -> None:
        """Finish what was asked for and let go."""

    def writer(self) -> ContentWriter:
        """Where a session's content flows, on the spool's own file system."""

    def room(self) -> Room:
        """What is left, as known at this moment; never blocks."""

    # The door's half.

    async def put(self, submission: Submission, account: str) -> str:
        """Keep a message; its queue id is given when it is on stable storage. Raises SpoolFull."""

    async def put_started(self, submission: Submission, account: str, recipients: Sequence[str]) -> Claim:
        """`put`, `claim` and `start` of the first request in one commit, for a small message.

        Raises SpoolFull; the submission's content stays the caller's. If it is cancelled, and kept all
        the same, the next start finds it among the `interrupted`.
        """

    async def recall(self, submission: Submission) -> Entry | None:
        """The message that this submission repeats: equal, of the last 24 h, its reply never written.

        Whoever asks answers for it from now on, with `replied` or `unheard`.
        """

    def replied(self, queue_id: str) -> None:
        """Our reply was written to the socket: an equal submission is new mail from now on."""

    def unheard(self, queue_id: str) -> None:
        """The session ended before our reply was written: an equal submission repeats this one."""

    # The courier's half.

    async def interrupted(self) -> Sequence[Interrupted]:
        """What the last owner left in the state `sending`. Each is claimed: settle it. Ask once, first."""

    async def claim(self, accounts: Collection[str], now: float) -> Claim | None:
        """Lease the next message of these accounts, fair among their sources.

        None also while there is no room to write down how it ends.
        """

    def is_clear(self, accounts: Collection[str]) -> bool:
        """Whether nothing of these accounts waits for its turn; False where that would need a look."""

    async def next_due(self, accounts: Collection[str]) -> float | None:
        """When a delayed message of these accounts is due; seconds since the epoch."""

    async def start(self, claim: Claim, request: int, recipients: Sequence[str]) -> None:
        """Record durably that this request is about to be sent; SpoolError: then do not send it."""

    async def record(self, claim: Claim, request: int, outcome: Outcome) -> None:
        """Record durably how this request ended; waits for room rather than fail."""

    async def settle(
        self, claim: Claim, settlement: Settlement, ended: tuple[int, Outcome] | None = None
    ) -> None:
        """End the claim; waits for room rather than fail.

        `ended` records a request's end in the same commit, as `record` does. Durable when it returns, but
        for `relayed` without `ended`, which follows from what was recorded.
        """

    async def settle_and_tell(self, claim: Claim, settlement: Settlement, notice: Notice) -> str:
        """End the claim and put a notice about it, both or neither; the notice's queue id.

        Durable when it returns. SpoolError: the notice's file cannot be kept; nothing was changed.
        """

    async def abandon(self, claim: Claim) -> None:
        """End a claim under which nothing was started; the message is as before."""

    def note(self, queue_id: str, event: str, **detail: object) -> None:
        """Add to a message's trace, soon."""

    async def history(self, since: float) -> Sequence[Past]:
        """The requests that were started after `since`, oldest first."""

    async def backlog(self, most: int) -> Mapping[tuple[str, str], int]:
        """How many messages are queued, by account and source; `most` are looked at."""

    async def accounts(self) -> Collection[str]:
        """The accounts of all that waits, in the configuration or not."""

    async def tend(self, keep_failed: float, keep_history: float) -> None:
        """Look after the spool until cancelled; begun after listening.

        Checks content against rows once, then removes what is older than these seconds: the content
        of what failed, and the rows of what ended.
        """

    async def purge(self, relayed_before: float, failed_before: float) -> int:
        """Forget some messages that ended before: history, and failed ones with their content."""

    # The operator's half.

    async def touch(self) -> None:
        """Write nothing, as far as the storage; raises SpoolError when a message could not be kept."""

    async def counts(self) -> dict[State, int]:
        """How many messages are in each state."""

    async def list(self, states: Collection[State], limit: int, *, newest: bool = False) -> list[Entry]:
        """Messages in these states, oldest first or newest first."""

    async def show(self, queue_id: str) -> Entry:
        """One message. Raises NoSuchMessage."""

    async def attempts(self, queue_id: str) -> Sequence[Attempt]:
        """Every request that was made for a message, oldest first."""

    async def events(self, queue_id: str) -> Sequence[Event]:
        """What else happened to a message, oldest first."""

    async def content(self, queue_id: str) -> Content:
        """A message's content, while it is kept. Raises NoSuchMessage."""

    async def retry(self, queue_id: str) -> None:
        """Make a delayed, held or failed message queued again, its patience new. Raises NoSuchMessage."""

    async def hold(self, queue_id: str) -> None:
        """Keep a queued or delayed message back until `release`. Raises NoSuchMessage."""

    async def release(self, queue_id: str) -> None:
        """Make a held message queued. Raises NoSuchMessage."""

    async def discard(self, queue_id: str) -> None:
        """Throw a waiting or failed message away. Raises NoSuchMessage."""
