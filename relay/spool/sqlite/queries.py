"""The operator's half of the SQLite spool: what looks at messages, and what a person does to them."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import structlog
from typing_extensions import override

from relay.envelope import Content
from relay.host.clock import SteadyClock
from relay.spool import Attempt, Criteria, Entry, Event, Past, State, Topic, Word
from relay.spool.rows.codecs import load_attempts, load_events
from relay.spool.rows.unacknowledged import Unacknowledged
from relay.spool.rows.verbs import MessageVerbs
from relay.spool.sqlite import counters, search, statements
from relay.spool.sqlite.database import Database
from relay.spool.sqlite.disk import DiskSpace
from relay.spool.sqlite.files import Files
from relay.spool.sqlite.maintenance import shift
from relay.spool.sqlite.reader import Reader
from relay.spool.sqlite.scheduler import Scheduler
from relay.spool.sqlite.writer import Writer

log = structlog.get_logger("spool")
T = TypeVar("T")


class Queries(MessageVerbs):
    """Lists, shows, and changes on request."""

    def __init__(self, folder: Path, space: DiskSpace, database: Database, clock: SteadyClock) -> None:
        self._clock = clock
        self._files = Files(folder, space)
        self._writer = Writer(database, space)
        self._reader = Reader(folder / "spool.db", self._writer)
        self._scheduler = Scheduler()
        self._unheard = Unacknowledged()
        self._listeners: list[Callable[[Word], None]] = []

    @override
    def subscribe(self, listener: Callable[[Word], None]) -> None:
        self._listeners.append(listener)

    def _say(self, word: Word) -> None:
        for listener in self._listeners:
            listener(word)

    @override
    async def touch(self) -> None:
        await self._commit(lambda _: None)

    @override
    async def counts(self) -> dict[State, int]:
        return await self._see(counters.counts)

    @override
    async def count_waiting(self, accounts: Collection[str]) -> dict[State, int]:
        return await self._look(lambda c: statements.count_waiting(c, accounts))

    @override
    async def backlog(self, most: int) -> Mapping[tuple[str, str], int]:
        return await self._look(lambda c: statements.backlog(c, most))

    @override
    async def accounts(self) -> Collection[str]:
        return await self._look(statements.accounts)

    @override
    async def find(self, criteria: Criteria, limit: int) -> tuple[Sequence[Entry], int]:
        return await self._look(lambda c: search.find(c, criteria, limit))

    @override
    async def arrivals(self, since: float, span: float) -> Mapping[tuple[int, State], int]:
        return await self._look(lambda c: search.count_arrivals(c, since, span))

    @override
    async def show(self, queue_id: str) -> Entry:
        return await self._see(lambda c: statements.show(c, queue_id))

    @override
    async def attempts(self, queue_id: str) -> Sequence[Attempt]:
        return await self._see(lambda c: load_attempts(c, queue_id))

    @override
    async def events(self, queue_id: str) -> Sequence[Event]:
        return await self._see(lambda c: load_events(c, queue_id))

    @override
    async def content(self, queue_id: str) -> Content:
        return await self._see(lambda c: statements.find_content(c, self._files, queue_id))

    @override
    async def history(self, since: float) -> Sequence[Past]:
        return await self._look(lambda c: statements.history(c, since))

    @override
    def note(self, queue_id: str, event: str, **detail: object) -> None:
        self._writer.follow(lambda c: statements.note(c, queue_id, event, detail))

    @override
    async def discard(self, queue_id: str) -> None:
        await super().discard(queue_id)
        self._unheard.forget(queue_id)
        await asyncio.to_thread(self._files.remove, queue_id)

    @override
    async def _change(self, queue_id: str, states: Sequence[State], state: State, event: str) -> None:
        await self._commit(lambda c: statements.change(c, self._scheduler, queue_id, states, state, event))
        self._scheduler.recent.forget(queue_id)
        self._say(Word(Topic.CHANGED, queue_id))
        if state is State.QUEUED:
            self._say(Word(Topic.NEW, queue_id))

    def _follow_clock(self) -> bool:
        """Have what waits planned anew if the clock was set; whether it was.

        Looked for before every row that tells a time: written by the new clock it must not be moved with
        the others. The writer keeps the order.
        """
        jump = self._clock.take_jump()
        if not jump:
            return False
        log.warning("the clock was set; what waits is planned anew", seconds=round(jump))
        self._scheduler.recent.clear()
        self._writer.follow(lambda c: shift(c, jump, self._scheduler))
        return True

    async def _commit(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        self._follow_clock()
        # The operation is committed whether or not whoever waits is cancelled: see the writer.
        return await self._writer.write(operation)

    async def _see(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """A short look, after everything that was asked for before."""
        return await self._writer.read(operation)

    async def _look(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """A look at many, that holds up no commit."""
        await self._writer.catch_up()
        return await self._reader.read(operation)

    # Last, because it takes the name of a type.
    @override
    async def list(self, states: Collection[State], limit: int, *, newest: bool = False) -> list[Entry]:
        return await self._look(lambda c: statements.list_entries(c, states, limit, newest=newest))
