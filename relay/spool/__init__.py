"""The durable middle: where the door and the courier meet. The contract, and its words.

A message's states, who changes them, and what a crash leaves:

    queued   put; its turn comes by rank            a crash leaves it queued
    sending  an attempt has started, durably        a crash leaves it sending: at the next start its
                                                    outcome is unknown
    delayed  an attempt ended; next_attempt is set  stays
    held     waits for a person                     stays
    failed   given up or refused after its 250; kept with its content
    relayed, discarded                              the content is gone, the row is history

What is put is on stable storage when `put` returns: content (file and directory flushed) first, the
row after it. A claim is a lease: one engine keeps it in memory because one process owns its spool,
another would keep it in the row. Only `start` makes an attempt real.
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


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to attempt one message, until it is settled."""

    entry: Entry
    content: Content
    attempt: int  # the number of this attempt; fences a late settle


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a claim ends."""

    state: State
    outcome: Outcome
    losses: tuple[Loss, ...] = ()
    next_attempt: float = 0.0  # seconds since the epoch, for delayed
    spent: bool = True  # whether it counts as an attempt


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
class Past:
    """One request of the last day, for what a start has to know about it."""

    started: float  # seconds since the epoch
    account: str
    recipients: int
    outcome: Outcome | None


class Spool(Protocol):
    """What every engine can do. All of it raises SpoolError when the storage will not."""

    async def open(self) -> None:
        """Take the spool; settle what the last owner left. Raises SpoolLocked."""

    async def close(self) -> None:
        """Finish what was asked for and let go."""

    def writer(self) -> ContentWriter:
        """Where a session's content flows, on the spool's own file system."""

    async def put(self, submission: Submission, account: str) -> str:
        """Keep a message; its queue id is given when it is on stable storage."""

    async def claim(self, accounts: Collection[str], now: float) -> Claim | None:
        """Lease the next message of these accounts, fair among their sources."""

    async def next_due(self, accounts: Collection[str]) -> float | None:
        """When a delayed message of these accounts is due; seconds since the epoch."""

    async def start(self, claim: Claim, request: int, recipients: Sequence[str]) -> None:
        """Record durably that this request is about to be sent."""

    async def record(self, claim: Claim, request: int, outcome: Outcome) -> None:
        """Record durably how this request ended."""

    async def settle(
        self, claim: Claim, settlement: Settlement, ended: tuple[int, Outcome] | None = None
    ) -> None:
        """End the claim; `ended` records a request's end in the same commit, as `record` does."""

    async def abandon(self, claim: Claim) -> None:
        """End a claim under which nothing was started; the message is as before."""

    async def counts(self) -> dict[State, int]:
        """How many messages are in each state."""

    async def list(self, states: Collection[State], limit: int, *, newest: bool = False) -> list[Entry]:
        """Messages in these states, oldest first or newest first."""

    async def show(self, queue_id: str) -> Entry:
        """One message. Raises NoSuchMessage."""

    async def retry(self, queue_id: str) -> None:
        """Make a delayed, held or failed message queued again. Raises NoSuchMessage."""

    async def discard(self, queue_id: str) -> None:
        """Throw a waiting or failed message away. Raises NoSuchMessage."""

    async def hold(self, queue_id: str) -> None:
        """Let a queued or delayed message wait for a person. Raises NoSuchMessage."""

    async def release(self, queue_id: str) -> None:
        """Make a held message queued again. Raises NoSuchMessage."""

    async def attempts(self, queue_id: str) -> Sequence[Attempt]:
        """Every request that was made for a message, oldest first."""

    async def history(self, since: float) -> Sequence[Past]:
        """The requests that were started after `since`, oldest first."""

    async def backlog(self, most: int) -> Mapping[tuple[str, str], int]:
        """How many messages are queued, by account and source; `most` are looked at."""

    async def purge(self, relayed_before: float, failed_before: float) -> int:
        """Forget messages that arrived before: history, and failed ones with their content."""
