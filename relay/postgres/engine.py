"""The spool of several nodes: PostgreSQL.

The courier's half runs only on the node that has the lease. What a crash must not forget is in the table when
`put`, `start`, `record` and `settle` return. A commit in doubt is resolved by a write to its row whose own
commit is waited for, because the server's log is in order: what this write finds is kept.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from typing_extensions import override

from relay.envelope import Submission
from relay.host.clock import Clock
from relay.host.content import ContentWriter
from relay.outcome import Outcome
from relay.postgres import schema, statements
from relay.postgres.board import PostgresBoard
from relay.postgres.database import Database, opened
from relay.postgres.incoming import Incoming
from relay.postgres.maintenance import Maintenance, purge
from relay.postgres.node import Node, Times
from relay.postgres.queries import OperatorHalf
from relay.postgres.room import LocalRoom
from relay.postgres.server import Address, InDoubt
from relay.postgres.words import Words
from relay.postgres.writer import Put
from relay.reply import Reply
from relay.spool import (
    Claim,
    Interrupted,
    Notice,
    Room,
    Settlement,
    SpoolError,
    SpoolFull,
    State,
    Topic,
    Word,
)
from relay.spool.rows.arrival import make_entry
from relay.spool.rows.codecs import (
    Damaged,
    dump_json,
    dump_outcome,
    make_fingerprint,
    read_entry,
)
from relay.spool.rows.interrupted import outcome_of

log = structlog.get_logger("spool")
_LOOK_EVERY = 1.0  # seconds between looks at what waits
_STAND_EVERY = 1.0  # seconds between looks for whether somebody sends
_STOP_PATIENCE = 5.0  # seconds for what must be written, when the relay stops
_CLAIMED = (
    f"SELECT claim, {statements.COLUMNS} FROM relay.message"
    " WHERE queue_id = %s AND state IN ('queued', 'sending')"
)
_ENDED = "SELECT recipients, outcome, started FROM relay.request WHERE queue_id = %s AND outcome IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Options:
    """How a node uses its database."""

    state_dir: Path  # a lock, this node's id and content on its way are kept there
    name: str  # the machine's, for people
    address: Address
    listen: Address | None = None  # the server itself, where `address` is a pooler's
    keep_free: int = 0  # octets; with less on the local disk nothing new is accepted
    most: int = 0  # octets of the contents that wait; 0: no limit
    patience: float = 20.0  # seconds for a put whose commit is in doubt
    longest_request: float = 240.0  # seconds from the start of a request to its certain end
    times: Times = field(default_factory=Times)


class PostgresSpool(OperatorHalf):
    """The contract of `relay.spool`, on PostgreSQL.

    Args:
        options: which database, and how it is used.
        report: told of a message that was set aside: its queue id, and a sentence.
        clock: the clocks.
    """

    def __init__(
        self,
        options: Options,
        *,
        report: Callable[[str, str], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or Clock()
        database = Database(options.address)
        node = Node(database, options.name, clock, options.times)
        words = Words(database, options.listen or options.address, node.token)
        incoming = Incoming(database, node, words, options.patience)
        super().__init__(database, node, incoming, words)
        words.subscribe(self._hear)
        self._options = options
        self._board = PostgresBoard(database, node)
        self._local = LocalRoom(options.state_dir, options.keep_free, options.most)
        self._report = report or (lambda *_: None)
        self._beating: asyncio.Task[None] | None = None
        self._standing: asyncio.Task[None] | None = None

    @property
    def database(self) -> Database:
        """Its connections, for whatever else is kept there."""
        return self._database

    @property
    def node(self) -> Node:
        """This process among the others."""
        return self._node

    @property
    def words(self) -> Words:
        """What the nodes tell each other."""
        return self._words

    @override
    def exists(self) -> bool:
        return True  # the owner of the database made it, or `open` says that nobody did

    @override
    async def open(self, *, stands: bool = True) -> None:
        await asyncio.to_thread(self._local.take)
        try:
            await self._open(stands=stands)
        except BaseException:
            await self._database.close()
            self._local.release()
            raise

    async def _open(self, *, stands: bool) -> None:
        async with opened(self._options.address) as connection:
            await schema.require(connection)
        await self._database.open()
        await self._node.join(self._local.home)
        if stands:
            await self._node.stand()
        await self._local.look(self._database)
        self._incoming.writer.start()
        self._words.start()
        self._beating = asyncio.create_task(self._beat(), name="spool beat")
        self._standing = asyncio.create_task(self._stand(), name="spool election") if stands else None

    async def _beat(self) -> None:
        await asyncio.gather(
            self._node.run(self._on_node_change),
            self._local.watch(self._database),
            self._incoming.waiters.watch(),
            self._watch_new(),
            self._watch_others(),
        )

    async def _watch_others(self) -> None:
        """Know whether words need be said, for ever."""
        while True:
            with contextlib.suppress(SpoolError):
                self._words.alone = not any(
                    one.is_alive and not one.is_self for one in await self._board.nodes()
                )
            await asyncio.sleep(self._options.times.beat)

    async def _stand(self) -> None:
        """Become the sender whenever there is none, for ever."""
        while True:
            await asyncio.sleep(min(_STAND_EVERY, self._options.times.beat))
            if self._node.term or not self._node.answers:
                continue
            with contextlib.suppress(SpoolError):
                if await self._node.stand():
                    self._words.tell(Word(Topic.SENDER), self._node.token)

    async def _watch_new(self) -> None:
        """Find what waits and is not known here, for ever."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            if not self._node.is_sender:
                continue
            with contextlib.suppress(SpoolError):
                if await self._turns.look():
                    self._words.tell(Word(Topic.NEW), self._node.token)

    def _on_node_change(self) -> None:
        """The database answers again, or does not; or the lease is lost."""
        if self._node.answers:
            self._database.look_after_all()
        self._words.tell(Word(Topic.SENDER), self._node.token)
        if self._node.is_sender:
            self._turns.is_new = True
            self._words.tell(Word(Topic.NEW), self._node.token)

    def _hear(self, word: Word) -> None:
        """Another node's words come here, too."""
        if word.topic is Topic.NEW:
            self._turns.is_new = True

    @property
    @override
    def term(self) -> int:
        return self._node.term

    @property
    @override
    def board(self) -> PostgresBoard:
        return self._board

    @override
    async def hand_over(self) -> None:
        if self._standing is not None:
            self._standing.cancel()
            await asyncio.gather(self._standing, return_exceptions=True)
            self._standing = None
        await self._node.hand_over()

    @override
    async def close(self) -> None:
        await self.hand_over()
        if self._beating is not None:
            await self._incoming.writer.stop(_STOP_PATIENCE)
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
            await self._words.stop()
            await self._node.leave()
            self._beating = None
        await self._database.close()
        self._local.release()

    @override
    def writer(self) -> ContentWriter:
        return self._local.writer()

    @override
    def room(self) -> Room:
        return self._local.room(answers=self._node.answers, sends=self._node.is_sender)

    # The door's half.

    @override
    async def put(self, submission: Submission, account: str, *, waits: bool = False) -> str:
        room = self.room()
        if not room.accepting:
            raise SpoolError(room.trouble) if room.trouble else SpoolFull("there is no room for it")
        queue_id = await self._incoming.put(submission, account, waits=waits)
        submission.content.discard()
        if not submission.hold:
            self._tell_new(Word(Topic.NEW, queue_id, account, submission.envelope.line))
        return queue_id

    @override
    async def _find_submitted(self, submission: Submission) -> str | None:
        return await self._incoming.recall.find(make_fingerprint(submission))

    @override
    def replied(self, queue_id: str, answer: Reply) -> None:
        self._incoming.replied(queue_id, answer)

    @override
    def unheard(self, queue_id: str) -> None:
        self._incoming.forget_session(queue_id)

    @override
    async def start_waiting(self, queue_id: str) -> bool:
        if await self._incoming.waiters.start(queue_id):
            return True
        await self.show(queue_id)
        return False

    @override
    async def stop_waiting(self, queue_id: str) -> Settlement | None:
        return await self._incoming.stop_waiting(queue_id)

    # The courier's half.

    @override
    async def interrupted(self) -> Sequence[Interrupted]:
        # What another machine has under way ends with its read time-out at the latest.
        everything = self._node.sends_for > self._options.longest_request
        known = {"claimed": [*self._turns.claimed], "all": everything, "home": self._node.home}
        found: list[Interrupted] = []
        for queue_id, account in await self._database.read(statements.INTERRUPTED, known):
            if queue_id in self._turns.claimed:
                continue
            token = self._turns.claim(queue_id, account).token
            values = {**self._node.fence, "queue_id": queue_id, "claim": token}
            await self._database.write(statements.TAKE_OVER, values)
            if (claim := await self._lease(queue_id)) is not None:
                attempts = await self.attempts(queue_id)
                found.append(Interrupted(claim, outcome_of(claim.entry, attempts)))
        return found

    @override
    async def claim(self, accounts: Collection[str], now: float) -> Claim | None:
        if not self.room().sending:
            return None
        while (queue_id := await self._turns.next(accounts, now)) is not None:
            if (claim := await self._lease(queue_id)) is not None:
                return claim
        return None

    async def _lease(self, queue_id: str) -> Claim | None:
        """The claim of a claimed message; None if it is damaged and now set aside, or not there any more."""
        try:
            return await self._load(queue_id)
        except Damaged as damage:
            await self._set_aside(queue_id, str(damage))
        except BaseException:
            self._turns.claimed.pop(queue_id, None)
            raise
        return None

    async def _load(self, queue_id: str) -> Claim | None:
        claimed = self._turns.claimed[queue_id]
        rows = await self._database.read(_CLAIMED, (queue_id,))
        if not rows:
            self._turns.claimed.pop(queue_id, None)
            return None
        claimed.before, row = rows[0][0], rows[0][1:]
        entry = read_entry(row, await self._database.read(_ENDED, (queue_id,)))
        content = await self._fetch(entry)
        return Claim(entry, content, entry.attempts + 1, claimed.token, content.discard)

    async def _set_aside(self, queue_id: str, reason: str) -> None:
        values = {
            "queue_id": queue_id,
            "reason": f"damaged: {reason}",
            "detail": dump_json({"reason": reason}),
        }
        try:
            await self._database.write(statements.SET_ASIDE, values)
        except SpoolError as error:
            # It stays claimed, so nobody waits behind it, and the next start finds it again.
            log.error("damaged message cannot be marked", queue_id=queue_id, reason=str(error))
        else:
            self._turns.claimed.pop(queue_id, None)
        log.error("message set aside: it is damaged", queue_id=queue_id, reason=reason)
        self._report(queue_id, reason)

    @override
    async def next_due(self, accounts: Collection[str]) -> float | None:
        del accounts  # due is made queued, and only then the accounts matter
        return self._turns.due

    @override
    async def start(self, claim: Claim, request: int, recipients: Sequence[str]) -> None:
        queue_id = claim.entry.queue_id
        claimed = self._turns.find(queue_id, claim.token)
        if claimed is None:
            raise SpoolError(f"{queue_id} is not there to be sent any more")
        values = {
            **self._node.fence,
            **statements.claim_values(claim, claimed.before),
            "number": request,
            "attempt": claim.attempt,
            "recipients": dump_json(list(recipients)),
            "how_many": len(recipients),
        }
        try:
            begun = await self._database.write(statements.START, values)
        except InDoubt:
            claimed.doubtful.append(request)
            raise
        if not begun:
            raise SpoolError(f"{queue_id} is not there to be sent any more")
        claimed.started.append(request)
        if not self._node.is_sender:
            # The commit took longer than the lease: another node may have judged it already.
            claimed.doubtful.append(request)
            raise SpoolError("this node is not the sender any more")

    @override
    async def record(self, claim: Claim, request: int, outcome: Outcome) -> None:
        values = {
            **statements.claim_values(claim, ""),
            "number": request,
            "outcome": dump_outcome(outcome),
        }
        work = self._database.insist(lambda: self._database.write(statements.RECORD, values))
        await self._database.finish(work)

    @override
    async def settle(
        self, claim: Claim, settlement: Settlement, ended: tuple[int, Outcome] | None = None
    ) -> bool:
        return await self._end(claim, settlement, ended=ended)

    @override
    async def settle_heard(self, claim: Claim, settlement: Settlement) -> bool:
        return await self._end(claim, settlement, heard=True)

    @override
    async def settle_and_tell(self, claim: Claim, settlement: Settlement, notice: Notice) -> str:
        entry = make_entry(self._incoming.ids.make(), notice.submission, notice.account)
        put = Put(entry, notice.submission.content, self._node.token)
        with notice.submission.content.map() as mapped:
            octets = bytes(mapped)  # small: the configuration limits what is attached to a notice
        told = statements.notice_values(put, octets, notice.to)
        written = await self._end(claim, settlement, notice=told)
        notice.submission.content.discard()
        if not written:
            return ""
        self._tell_new(Word(Topic.NEW, entry.queue_id, notice.account, entry.envelope.line))
        return entry.queue_id

    async def _end(
        self,
        claim: Claim,
        settlement: Settlement,
        *,
        ended: tuple[int, Outcome] | None = None,
        heard: bool = False,
        notice: dict[str, object] | None = None,
    ) -> bool:
        """Write how a claim ends, even if whoever asks is cancelled; whether it was still the message's."""
        claimed = self._turns.find(claim.entry.queue_id, claim.token)
        if claimed is None:
            return False
        query = statements.settle(settlement, ended=ended is not None, heard=heard, notice=notice is not None)
        values = {
            **statements.claim_values(claim, claimed.before),
            **statements.settle_values(settlement, ended),
            "node": self._node.token,
            **(notice or {}),
        }
        return await self._database.finish(self._settle(claim, settlement, query, values))

    async def _settle(
        self, claim: Claim, settlement: Settlement, query: str, values: dict[str, object]
    ) -> bool:
        await self._undo_doubtful_starts(claim)
        queue_id, doubtful = claim.entry.queue_id, False

        async def write() -> list[tuple[int | None]] | None:
            nonlocal doubtful
            if doubtful:
                found = await self._database.write(statements.CONFIRM, (queue_id,))
                doubtful = False
                if found and found[0][2] == claim.token and found[0][1] != State.SENDING:
                    return [(self._node.token,)]  # it was written; whoever waits finds it by looking
            try:
                return await self._database.write(query, values)
            except InDoubt:
                doubtful = True
                raise

        written = await self._database.insist(write)
        if not written:
            return False
        self._over(claim, settlement)
        if (waiter := written[0][0]) is not None:
            self._incoming.waiters.tell(queue_id, waiter)
        return True

    async def _undo_doubtful_starts(self, claim: Claim) -> None:
        """What was never sent was never started, also where nobody knows what the table says."""
        claimed = self._turns.find(claim.entry.queue_id, claim.token)
        if claimed is None or not claimed.doubtful:
            return
        values = {
            **statements.claim_values(claim, claimed.before),
            "numbers": claimed.doubtful,
            "reset": not set(claimed.started) - set(claimed.doubtful),
        }
        await self._database.insist(lambda: self._database.write(statements.UNDO_START, values))
        claimed.doubtful, claimed.before = [], claim.token

    def _over(self, claim: Claim, settlement: Settlement) -> None:
        if settlement.state is State.DELAYED:
            self._turns.plan(settlement.next_attempt)
        self._turns.claimed.pop(claim.entry.queue_id, None)

    @override
    async def abandon(self, claim: Claim) -> None:
        await self._database.finish(self._abandon(claim))

    async def _abandon(self, claim: Claim) -> None:
        await self._undo_doubtful_starts(claim)
        if self._turns.find(claim.entry.queue_id, claim.token) is not None:
            self._turns.claimed.pop(claim.entry.queue_id, None)

    # Looking after it.

    @override
    async def tend(self, keep_failed: float, keep_history: float) -> None:
        await Maintenance(self._database, self._node).run(keep_failed, keep_history)

    @override
    async def purge(self, relayed_before: float, failed_before: float) -> int:
        return await purge(self._database, self._node, relayed_before, failed_before)
