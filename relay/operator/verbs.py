"""What an operator can ask for, of a running relay or of its spool alone."""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from relay.envelope import Envelope, Origin, Submission
from relay.operator.audit import Audit
from relay.operator.calling import Answer, Refused
from relay.operator.trace import count_states, describe, describe_life, describe_reply
from relay.outcome import Hold, Outcome
from relay.reply import Rejected, Unanswered
from relay.spool import WAITING, Criteria, Entry, NoSuchMessage, Spool, SpoolError, State

if TYPE_CHECKING:  # a command beside no relay has neither, and begins without importing them
    from relay.courier.standing import Standing
    from relay.intake import Intake

_BLOCK = 256 * 1024
# One verb does so many messages; what is asked for `all` is done in one go up to here.
_MOST_AT_ONCE = 100_000
_TOGETHER = 200  # share their commits
# Who asks, where that is known: the process and the user on the other side of the control socket, or the
# console's user.
ASKER: ContextVar[Mapping[str, int | str]] = ContextVar("asker", default=MappingProxyType({}))
Verb = Callable[..., Awaitable[Answer]]


def find_verbs(part: object) -> dict[str, Verb]:
    """What a part of the service can be asked: its public coroutine methods, by their names."""
    methods = inspect.getmembers(part, inspect.iscoroutinefunction)
    return {name: method for name, method in methods if not name.startswith("_")}


class Octets(Protocol):
    """Where a message's octets come from (asyncio.StreamReader is one)."""

    async def readexactly(self, n: int, /) -> bytes:
        """The next `n` octets."""


def _waits_for_adoption(entry: Entry) -> bool:
    """Whether an unknown device has sent it: to let it go is to trust that device."""
    return entry.state is State.HELD and entry.hold is Hold.DEVICE


def _check_envelope(reverse_path: str, forward_paths: Sequence[str]) -> tuple[str, list[str]]:
    """The addresses as a session would take them.

    Raises:
        Refused: it would not.
    """
    # Here, since only `send` needs the grammar, and with it the reading of fields.
    from relay.smtp.address import check_forward_path, check_reverse_path

    if not forward_paths:
        raise Refused("no recipient was given")
    path = reverse_path
    try:
        reverse_path = check_reverse_path(path, "")  # the command has qualified it
        checked = [check_forward_path(path := one) for one in forward_paths]
    except Rejected as refused:
        raise Refused(f"{path}: {refused.reply.text}") from None
    return reverse_path, checked


def _may_have_been_taken(entry: Entry) -> bool:
    """Whether Works may have taken it, and nothing tries it any more: sent again, it may arrive twice."""
    return entry.unknowns > 0 and entry.state in (State.HELD, State.FAILED)


@dataclass(frozen=True, slots=True)
class _Meant:
    """Which messages are to be sent again."""

    queue_ids: Sequence[str]  # that are named
    states: Collection[State]  # of all or an account's; none: only those that are named
    account: str
    every: bool
    unknown_devices: bool  # also those that wait for their device to be adopted, when they are not named
    unknown: bool  # also those that may have been taken already


@dataclass(frozen=True, slots=True)
class Verbs:
    """What can be asked: each public coroutine method is a verb of its name."""

    spool: Spool
    _standing: "Standing | None" = None  # how the accounts stand; None where nothing is sent
    _intake: "Intake | None" = None  # takes what a command sends; None where nothing is taken
    _more: Mapping[str, Verb] = field(default_factory=dict)  # of other parts of the service, by name
    journal: Audit | None = None  # the record of who asked for what; None where nothing is recorded
    node: str = ""  # at which node it is asked for; "": there are no others

    def find(self, name: str) -> Verb | None:
        """The verb of that name, here or in another part of the service."""
        own: Verb | None = getattr(self, name, None)
        return self._more.get(name) or own

    async def audit(self, limit: int) -> Answer:
        """Who asked for what that changed something, newest first."""
        records = await asyncio.to_thread(self.journal.latest, limit) if self.journal else []
        return {"records": records, "node": self.node}

    @property
    def _held(self) -> Mapping[str, Outcome]:
        """Accounts whose mail waits for a person, and why."""
        return self._standing.held if self._standing is not None else {}

    async def queue_list(
        self, states: list[str], limit: int, *, counted: bool = True, **criteria: Any
    ) -> Answer:
        """Messages in these states, newest first, how many there are of them, and how many in each state.

        Args:
            states: which; none: every one.
            limit: at most so many; 0: all.
            counted: whether it is told how many there are in each state.
            criteria: more fields of `spool.Criteria`.
        """
        held = self._held
        # What waits for its account is held in the operator's eyes, and queued in the spool's.
        wanted = Criteria(frozenset(map(State, states)), frozenset(held), **criteria)
        entries, total = await self.spool.find(wanted, min(limit, _MOST_AT_ONCE) or _MOST_AT_ONCE)
        counts = await count_states(self.spool, held) if counted else {}
        return {
            "messages": [describe(entry, held) for entry in entries],
            "total": total,
            "counts": {state.value: count for state, count in counts.items()},
            "held_accounts": {name: outcome.reason for name, outcome in held.items()},
        }

    async def queue_show(self, queue_id: str) -> Answer:
        """One message."""
        entry = await self.spool.show(queue_id)
        reply = describe_reply(entry, await self.spool.events(queue_id))
        return describe(entry, self._held) | {"reply": reply}

    async def queue_retry(
        self,
        queue_ids: Sequence[str] = (),
        *,
        every: bool = False,
        account: str = "",
        unknown_devices: bool = False,
        states: Sequence[str] = (),
        unknown: bool = False,
    ) -> Answer:
        """Try these messages now: delayed, held or failed ones.

        Args:
            queue_ids: which.
            every: all of them.
            account: all of this account.
            unknown_devices: also those that wait for their device to be adopted, when they are not named.
            states: with `every` or `account` only those in these; by default what waits, and not what failed:
                the senders of that were told that it was not sent.
            unknown: also those that may have been taken already.
        """
        asked = tuple(State(state) for state in states) or (State.DELAYED, State.HELD)
        meant = _Meant(queue_ids, asked if every or account else (), account, every, unknown_devices, unknown)
        answer = await self._send_again(self.spool.retry, meant)
        left = [] if queue_ids or State.FAILED in asked else await self._find((State.FAILED,), account)
        return answer | {"left_failed": len(left)}

    async def _send_again(self, verb: Callable[[str], Awaitable[None]], meant: _Meant) -> Answer:
        """Let messages go, but for those that may have been taken: a second mail is a person's decision."""
        found = await self._find(meant.states, meant.account) if meant.states else []
        found = [entry for entry in found if meant.unknown_devices or not _waits_for_adoption(entry)]
        known = [] if meant.unknown else [*found, *await self._show_all(meant.queue_ids)]
        doubtful = [entry.queue_id for entry in known if _may_have_been_taken(entry)]
        chosen = dict.fromkeys([*meant.queue_ids, *(entry.queue_id for entry in found)])
        left_out = set(doubtful)
        sure = [queue_id for queue_id in chosen if queue_id not in left_out]
        answer = await self._let_go(verb, sure, meant.account, every=meant.every)
        return answer | {"left_unknown": list(dict.fromkeys(doubtful))}

    async def _show_all(self, queue_ids: Sequence[str]) -> list[Entry]:
        """Those of these messages that there are."""
        found = []
        for queue_id in queue_ids:
            with contextlib.suppress(NoSuchMessage):
                found.append(await self.spool.show(queue_id))
        return found

    async def queue_release(
        self,
        queue_ids: Sequence[str] = (),
        *,
        every: bool = False,
        account: str = "",
        unknown_devices: bool = False,
        unknown: bool = False,
    ) -> Answer:
        """Let these held messages go; the arguments are those of `queue_retry`."""
        states = (State.HELD,) if every or account else ()
        meant = _Meant(queue_ids, states, account, every, unknown_devices, unknown)
        return await self._send_again(self.spool.release, meant)

    async def queue_hold(
        self, queue_ids: Sequence[str] = (), *, every: bool = False, account: str = ""
    ) -> Answer:
        """Let these messages wait for a person: queued or delayed ones."""
        states = (State.QUEUED, State.DELAYED)
        return await self._each(
            self.spool.hold, await self._choose(queue_ids, states, every=every, account=account)
        )

    async def queue_discard(
        self, queue_ids: Sequence[str] = (), *, every: bool = False, account: str = ""
    ) -> Answer:
        """Throw these messages away."""
        states = tuple(state for state in (*WAITING, State.FAILED) if state is not State.SENDING)
        return await self._each(
            self.spool.discard, await self._choose(queue_ids, states, every=every, account=account)
        )

    async def trace(self, queue_id: str) -> Answer:
        """One message's life."""
        entry = await self.spool.show(queue_id)
        attempts = await self.spool.attempts(queue_id)
        events = await self.spool.events(queue_id)
        return describe_life(entry, attempts, events, self._held)

    async def _choose(
        self, queue_ids: Sequence[str], states: Collection[State], *, every: bool, account: str
    ) -> list[str]:
        """The queue ids of the messages that are meant."""
        found = await self._find(states, account) if every or account else []
        return list(dict.fromkeys([*queue_ids, *(entry.queue_id for entry in found)]))

    async def _find(self, states: Collection[State], account: str) -> list[Entry]:
        """The messages in these states, of this account or of all ("")."""
        found = await self.spool.list(states, _MOST_AT_ONCE)
        return [entry for entry in found if account in ("", entry.account)]

    async def _each(self, verb: Callable[[str], Awaitable[None]], chosen: Sequence[str]) -> Answer:
        done, problems = [], []
        for start in range(0, len(chosen), _TOGETHER):
            some = chosen[start : start + _TOGETHER]
            ends = await asyncio.gather(*[self._one(verb, queue_id) for queue_id in some])
            done += [queue_id for queue_id, problem in ends if not problem]
            problems += [problem for _, problem in ends if problem]
        return {"done": done, "problems": problems}

    async def _one(self, verb: Callable[[str], Awaitable[None]], queue_id: str) -> tuple[str, str]:
        try:
            await verb(queue_id)
            if asker := ASKER.get():
                self.spool.note(queue_id, "asked", verb=verb.__name__, **asker)
        except SpoolError as error:
            if verb in (self.spool.retry, self.spool.release) and await self._is_released(queue_id):
                return queue_id, ""
            return queue_id, f"{queue_id}: {error}"
        return queue_id, ""

    async def _is_released(self, queue_id: str) -> bool:
        """Whether a message is queued: it waited for its account only, which `_let_go` has released."""
        try:
            entry = await self.spool.show(queue_id)
        except NoSuchMessage:
            return False
        return entry.state is State.QUEUED

    async def _let_go(
        self, verb: Callable[[str], Awaitable[None]], chosen: Sequence[str], account: str, *, every: bool
    ) -> Answer:
        """Apply the verb to these messages, and have their accounts in trouble tried again."""
        released = []
        for name in self._held:
            if self._standing is not None and (every or name == account or await self._any_of(chosen, name)):
                await self._release(name)
                released.append(name)
        return await self._each(verb, chosen) | {"accounts": released}

    async def _release(self, account: str) -> None:
        """Have an account in trouble tried again, by whichever node sends."""
        board = self.spool.board
        if board is not None and not self.spool.term:
            await board.release(account)
        elif self._standing is not None:
            self._standing.release(account)

    async def _any_of(self, queue_ids: Sequence[str], account: str) -> bool:
        for queue_id in queue_ids:
            try:
                entry: Entry = await self.spool.show(queue_id)
            except NoSuchMessage:
                continue
            if entry.account == account:
                return True
        return False

    async def send(self, content: Octets, size: int, reverse_path: str, forward_paths: list[str]) -> Answer:
        """Take a message of `size` octets, as a session would."""
        if self._intake is None:
            raise Refused("this command cannot send")
        reverse_path, forward_paths = _check_envelope(reverse_path, forward_paths)
        writer = self._intake.writer()
        try:
            left = size
            while left:
                block = await content.readexactly(min(left, _BLOCK))
                await asyncio.to_thread(writer.write, block)
                left -= len(block)
            envelope = Envelope(reverse_path, tuple(forward_paths), datetime.now(UTC), origin=Origin.COMMAND)
            reply = await self._intake.accept(Submission(envelope, writer.finish()))
        except Unanswered as error:
            raise Refused(f"{error}; see `relay queue list` before it is sent again") from error
        finally:
            writer.discard()
        return {
            "code": reply.code,
            "status": reply.enhanced,
            "text": reply.text,
            "verdict": reply.verdict.value if reply.verdict else None,
            "queue_id": reply.queue_id,
        }
