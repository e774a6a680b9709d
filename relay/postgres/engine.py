"""The spool of several nodes: PostgreSQL.

The courier's half runs only on the node that has the lease. What a crash must not forget is in the table when
`put`, `start`, `record` and `settle` return.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from typing_extensions import override

from relay.envelope import Origin, Submission
from relay.host.clock import Clock
from relay.host.content import ContentWriter
from relay.postgres import schema
from relay.postgres.board import PostgresBoard
from relay.postgres.database import Database, opened
from relay.postgres.incoming import Incoming
from relay.postgres.maintenance import Maintenance, purge
from relay.postgres.node import Node, Times
from relay.postgres.outgoing import CourierHalf, Ends, Report
from relay.postgres.room import LocalRoom
from relay.postgres.server import Address
from relay.postgres.words import Words
from relay.reply import Reply
from relay.spool import (
    Room,
    Settlement,
    SpoolError,
    SpoolFull,
    Topic,
    Word,
)
from relay.spool.rows.codecs import (
    make_fingerprint,
)

log = structlog.get_logger("spool")
_LOOK_EVERY = 1.0  # seconds between looks at what waits
_STAND_EVERY = 1.0  # seconds between looks for whether somebody sends
_STOP_PATIENCE = 5.0  # seconds for what must be written, when the relay stops


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
    ends: Ends = field(default_factory=Ends)
    times: Times = field(default_factory=Times)


class PostgresSpool(CourierHalf):
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
        report: Report | None = None,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or Clock()
        database = Database(options.address)
        node = Node(database, options.name, clock, options.times)
        words = Words(database, options.listen or options.address, node.token)
        incoming = Incoming(database, node, words, options.patience)
        super().__init__(database, node, incoming, words, options.ends, report)
        words.subscribe(self._hear)
        self._board = PostgresBoard(database, node)
        self._local = LocalRoom(options.state_dir, options.keep_free, options.most)
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
        async with opened(self._database.address, hurried=not stands) as connection:
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
            self._watch_sessions(),
        )

    async def _watch_others(self) -> None:
        """Know whether words need be said, and whether another machine goes by this one's name, for ever."""
        while True:
            with contextlib.suppress(SpoolError, OSError):
                if await self._node.has_copy():
                    await self._node.move(await asyncio.to_thread(self._local.rename))
                nodes = await self._board.nodes()
                self._words.note_others(alive=any(one.is_alive and not one.is_self for one in nodes))
            await asyncio.sleep(self._node.times.beat)

    async def _watch_sessions(self) -> None:
        """Let other nodes know which sessions of this one are over, for ever."""
        while True:
            await asyncio.sleep(self._node.times.beat)
            with contextlib.suppress(SpoolError):
                await self._incoming.recall.end_forgotten()

    async def _stand(self) -> None:
        """Become the sender whenever there is none, for ever.

        A large message that is sent lies on the sender's disk: a machine without room leaves that to others,
        and so does one that has no way to Works.
        """
        while True:
            await asyncio.sleep(min(_STAND_EVERY, self._node.times.beat))
            if not self._node.answers:
                continue
            with contextlib.suppress(SpoolError):
                if (self._local.is_short or self._board.cannot_send) and await self._another_can():
                    await self._step_aside()
                elif not self._node.term and await self._node.stand():
                    self._words.tell(Word(Topic.SENDER), self._node.token)

    async def _another_can(self) -> bool:
        return any(
            one.is_alive and one.accepting and not one.trouble and not one.is_self
            for one in await self._board.nodes()
        )

    async def _step_aside(self) -> None:
        if self._node.term:
            log.warning("another node is to send: this machine cannot", node=self._node.name)
            await self._node.hand_over()
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
            self._turns.expect()
            self._words.tell(Word(Topic.NEW), self._node.token)

    def _hear(self, word: Word) -> None:
        """Another node's words come here, too."""
        if word.topic is Topic.NEW:
            self._turns.expect()

    @property
    @override
    def term(self) -> int:
        return self._node.term

    @property
    @override
    def ahead(self) -> float:
        return self._node.clocks.ahead

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
        if room.trouble:
            raise SpoolError(room.trouble)
        # That this machine's disk is full can be told: a notice needs no room there.
        if not room.accepting and submission.envelope.origin is not Origin.NOTICE:
            raise SpoolFull("there is no room for it")
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

    # Looking after it.

    @override
    async def tend(self, keep_failed: float, keep_history: float) -> None:
        await Maintenance(self._database, self._node).run(keep_failed, keep_history)

    @override
    async def purge(self, relayed_before: float, failed_before: float) -> int:
        return await purge(self._database, self._node, relayed_before, failed_before)
