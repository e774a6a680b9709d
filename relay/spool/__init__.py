"""The durable middle: where the door and the courier meet. The contract; its words are in `model`.

A message's states, who changes them, and what a crash leaves:

    queued   put; its turn comes by rank            a crash leaves it queued
    sending  an attempt has started, durably        a crash leaves it sending: the next owner asks for
                                                    what was `interrupted` and decides
    delayed  an attempt ended; next_attempt is set  stays
    held     waits for a person                     stays
    failed   given up or refused after its 250; kept with its content for a while
    relayed, discarded                              the content is gone, the row is history for a while

What is put is on stable storage when `put` returns: content (file and directory flushed) first, the
row after it. Every node keeps what its sessions take; one node, the *sender*, claims and sends. Where there
is one node only, it is always the sender. A claim is kept in the sender's memory: only `start` makes an
attempt real, and it fails on a node that is not the sender any more. What has begun may always be ended:
`record` and `settle` are bound to their claim alone.

When there is no room the spool first refuses to `put`, then to `claim` and `start`; `record` and
`settle` have a reserve of their own and are tried until they are written, because what happened
cannot be undone by failing to write it down.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from relay.envelope import Content, Submission
from relay.host.content import ContentWriter
from relay.outcome import Outcome
from relay.reply import Reply
from relay.spool.model import (
    GONE,
    KEPT_TWICE,
    NOT_HEARD,
    REPLIED,
    SUBMITTED_AGAIN,
    WAITING,
    Attempt,
    Claim,
    Criteria,
    Entry,
    Event,
    Interrupted,
    NodeFacts,
    NoSuchMessage,
    Notice,
    Past,
    Published,
    Room,
    Settlement,
    SpoolDamaged,
    SpoolError,
    SpoolFull,
    SpoolInDoubt,
    SpoolLocked,
    State,
    TakenElsewhere,
    Topic,
    Word,
)

__all__ = [
    "GONE",
    "KEPT_TWICE",
    "NOT_HEARD",
    "REPLIED",
    "SUBMITTED_AGAIN",
    "WAITING",
    "Attempt",
    "Board",
    "Claim",
    "Criteria",
    "Entry",
    "Event",
    "Interrupted",
    "NoSuchMessage",
    "NodeFacts",
    "Notice",
    "Past",
    "Published",
    "Room",
    "Settlement",
    "Spool",
    "SpoolDamaged",
    "SpoolError",
    "SpoolFull",
    "SpoolInDoubt",
    "SpoolLocked",
    "State",
    "TakenElsewhere",
    "Topic",
    "Word",
]


class Board(Protocol):
    """What nodes tell each other of themselves. All of it raises SpoolError when the storage will not."""

    async def publish(self, state: str) -> None:
        """The sender says how it stands, for the others and for the one after it. A crash may lose it."""

    async def read(self) -> Published | None:
        """What the sender said last; None: there was none yet."""

    async def nodes(self) -> Sequence[NodeFacts]:
        """Who takes part, or has ceased to without a word within the last day."""

    async def say(self, sessions: int, *, accepting: bool, trouble: str, fingerprint: str) -> None:
        """This node says how it is.

        Args:
            sessions: of clients, open now.
            accepting: whether new mail is taken.
            trouble: why not, or, where it is, why another node should send; a sentence.
            fingerprint: of its configuration.
        """

    async def release(self, account: str) -> None:
        """A person has dealt with an account: the sender is to try its mail again."""

    async def take_released(self) -> Sequence[str]:
        """The sender's: which accounts these are."""


class Spool(Protocol):
    """What every engine can do. All of it raises SpoolError when the storage will not."""

    def exists(self) -> bool:
        """Whether there is one already."""

    async def open(self, *, stands: bool = True) -> None:
        """Take part, and see that the tables are up to date.

        Args:
            stands: become the sender now, and whenever there is none. `Topic.SENDER` tells of each change.

        Raises:
            SpoolLocked: another process has it.
            SpoolError: it cannot be opened or made.
        """

    @property
    def term(self) -> int:
        """Which term this process is in as the sender, a number that no other term has; 0: it is not."""

    @property
    def ahead(self) -> float:
        """Seconds by which the clock that dates what is kept is ahead of this machine's."""
        return 0.0  # it is this machine's

    @property
    def board(self) -> Board | None:
        """Where nodes tell each other how they are; None: there is one node only."""

    async def hand_over(self) -> None:
        """Be the sender no more, and stand no more: another node may begin at once.

        What was started goes on, and is recorded and settled here.
        """

    async def close(self) -> None:
        """Finish what was asked for and let go."""

    def writer(self) -> ContentWriter:
        """Where a session's content flows, on the spool's own file system."""

    def room(self) -> Room:
        """What is left, as known at this moment; never blocks."""

    # The door's half.

    async def put(self, submission: Submission, account: str, *, waits: bool = False) -> str:
        """Keep a message; its queue id is given when it is on stable storage.

        Args:
            submission: what was handed over.
            account: that sends it.
            waits: a session waits for the verdict, until it says `stop_waiting`.

        Raises:
            SpoolFull: there is no room for it.
            SpoolInDoubt: nobody knows whether it is kept.
            TakenElsewhere: nothing is kept here.
            SpoolError: nothing is kept.
        """

    async def recall(self, submission: Submission) -> Entry | None:
        """The message that this submission repeats: equal, of the last 24 h, its reply never written.

        Whoever asks answers for it from now on, with `replied` or `unheard`.
        """

    def replied(self, queue_id: str, answer: Reply) -> None:
        """This reply was written to the socket: an equal submission is new mail from now on.

        Both this and `unheard` add an event to the message's trace: the last of these says what the client
        heard. A crash before the next commit leaves it out.
        """

    def unheard(self, queue_id: str) -> None:
        """The session ended before our reply was written: an equal submission repeats this one."""

    async def start_waiting(self, queue_id: str) -> bool:
        """A session waits for the verdict on a message that was put before. False: there is none to come.

        Raises:
            NoSuchMessage: there is no such message.
        """

    async def stop_waiting(self, queue_id: str) -> Settlement | None:
        """No session waits for this message any more; what the last one is to say, if it is settled.

        Durable before it returns: whoever settles the message from now on finds nobody waiting.

        Raises:
            SpoolInDoubt: it could not be written, so what is to be said may yet change.
        """

    def subscribe(self, listener: Callable[[Word], None]) -> None:
        """Have words told to this listener, in the event loop."""

    # The courier's half.

    async def interrupted(self) -> Sequence[Interrupted]:
        """What an earlier sender left in the state `sending`, each claimed: settle it.

        Asked before anything is claimed, and then again and again: what another machine may still have under
        way is given when its request has certainly ended.
        """

    async def claim(self, accounts: Collection[str], now: float) -> Claim | None:
        """Lease the next message of these accounts, fair among their sources.

        None also while there is no room to write down how it ends.
        """

    def next_due(self) -> float | None:
        """When the first delayed message is due, or earlier; seconds since the epoch. Never blocks."""

    async def start(
        self, claim: Claim, request: int, recipients: Sequence[str], ended: Outcome | None = None
    ) -> None:
        """Record durably that this request is about to be sent.

        Args:
            claim: under which.
            request: its number within the attempt.
            recipients: whom it serves.
            ended: it came to nothing before it began, and ended so: both in one record.

        Raises:
            SpoolFull: there is no room to write down how it ends; do not send it.
            SpoolError: it is not recorded, or the claim is over; do not send it.
        """

    def check_term(self) -> None:
        """Look whether this process is still the sender, and may end what it sends; at once, from memory.

        Raises:
            SpoolError: it is not.
        """

    async def record(self, claim: Claim, request: int, outcome: Outcome) -> None:
        """Record how this request ended, at once; waits for room rather than fail.

        Durable when it returns, but for what was taken: then all that comes after follows it to the disk.
        Also after another sender has judged it unknown: what is known after all is better.
        """

    async def settle(
        self, claim: Claim, settlement: Settlement, ended: tuple[int, Outcome] | None = None
    ) -> bool:
        """End the claim; waits for room rather than fail. Content that nobody needs any more goes.

        `ended` records a request's end in the same commit, as `record` does. Durable when it returns, but
        for `relayed` without `ended`, which follows from what was recorded. False: the claim is over, and
        nothing was changed.
        """

    async def settle_heard(self, claim: Claim, settlement: Settlement) -> bool:
        """As `settle`, if a session waits for the verdict: it hears this one. False: nothing was changed."""

    async def settle_and_tell(self, claim: Claim, settlement: Settlement, notice: Notice) -> str:
        """End the claim and put a notice about it, both or neither; the notice's queue id.

        Durable when it returns. "": the claim is over, and nothing was changed.

        Raises:
            SpoolError: the notice's file cannot be kept; nothing was changed.
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
        """Forget some messages that ended before: history, and failed ones with their content; how many."""

    # The operator's half.

    async def touch(self) -> None:
        """Write nothing, as far as the storage.

        Raises:
            SpoolError: a message could not be kept now; somebody has the database locked, for instance.
        """

    async def counts(self) -> dict[State, int]:
        """How many messages are in each state."""

    async def count_waiting(self, accounts: Collection[str]) -> dict[State, int]:
        """How many messages of these accounts are queued, and how many delayed."""

    async def list(self, states: Collection[State], limit: int, *, newest: bool = False) -> list[Entry]:
        """Messages in these states, oldest first or newest first."""

    async def find(self, criteria: Criteria, limit: int) -> tuple[Sequence[Entry], int]:
        """The newest of the messages that are looked for, and how many there are in all."""

    async def arrivals(self, since: float, span: float) -> Mapping[tuple[int, State], int]:
        """How many messages arrived in each span of so many seconds after `since`, by their state now.

        Spans are numbered from 0; one without arrivals is left out.
        """

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
        """Throw a waiting or failed message away, with its content. Raises NoSuchMessage."""
