"""The operator's half of the SQLite spool: what looks at messages, and what a person does to them."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import structlog

from relay.envelope import Content
from relay.spool import Attempt, Entry, Event, Past, State
from relay.spool.rows.codecs import load_attempts, load_events
from relay.spool.rows.unacknowledged import Unheard
from relay.spool.sqlite import counters, statements
from relay.spool.sqlite.clock import SteadyClock
from relay.spool.sqlite.database import Database
from relay.spool.sqlite.disk import Space
from relay.spool.sqlite.entry_cache import Recent
from relay.spool.sqlite.files import Files
from relay.spool.sqlite.maintenance import shift
from relay.spool.sqlite.reader import Reader
from relay.spool.sqlite.scheduler import Turns
from relay.spool.sqlite.writer import Writer

log = structlog.get_logger("spool")
T = TypeVar("T")


class Desk:
    """Lists, shows, and changes on request."""

    def __init__(self, folder: Path, space: Space, database: Database, clock: SteadyClock) -> None:
        self._clock = clock
        self._files = Files(folder, space)
        self._writer = Writer(database, space)
        self._reader = Reader(folder / "spool.db")
        self._turns = Turns()
        self._unheard = Unheard()
        self._recent = Recent()

    async def touch(self) -> None:
        """Write nothing, as far as the storage.

        Raises:
            SpoolError: the database cannot be written now; somebody has it locked, for instance.
        """
        await self._commit(lambda _: None)

    async def counts(self) -> dict[State, int]:
        """How many messages are in each state."""
        return await self._see(counters.counts)

    async def backlog(self, most: int) -> Mapping[tuple[str, str], int]:
        """How many messages are queued, by account and source."""
        return await self._look(lambda c: statements.backlog(c, most))

    async def accounts(self) -> Collection[str]:
        """The accounts of all that waits, in the configuration or not."""
        return await self._look(statements.accounts)

    async def show(self, queue_id: str) -> Entry:
        """One message.

        Raises:
            NoSuchMessage: there is none of this id.
        """
        return await self._see(lambda c: statements.show(c, queue_id))

    async def attempts(self, queue_id: str) -> Sequence[Attempt]:
        """Every request that was made for a message, oldest first."""
        return await self._see(lambda c: load_attempts(c, queue_id))

    async def events(self, queue_id: str) -> Sequence[Event]:
        """What else happened to a message, oldest first."""
        return await self._see(lambda c: load_events(c, queue_id))

    async def content(self, queue_id: str) -> Content:
        """A message's content, while it is kept.

        Raises:
            NoSuchMessage: there is none of this id, or its content is gone.
        """
        return await self._see(lambda c: statements.find_content(c, self._files, queue_id))

    async def history(self, since: float) -> Sequence[Past]:
        """The requests that were started after `since`, oldest first."""
        return await self._look(lambda c: statements.history(c, since))

    def note(self, queue_id: str, event: str, **detail: object) -> None:
        """Add to a message's trace, soon."""
        self._writer.follow(lambda c: statements.note(c, queue_id, event, detail))

    async def retry(self, queue_id: str) -> None:
        """Make a delayed, held or failed message queued again.

        Raises:
            NoSuchMessage: there is none of this id in such a state.
        """
        await self._change(queue_id, (State.DELAYED, State.HELD, State.FAILED), State.QUEUED, "retried")

    async def hold(self, queue_id: str) -> None:
        """Keep a queued or delayed message back.

        Raises:
            NoSuchMessage: there is none of this id in such a state, or it is being sent.
        """
        await self._change(queue_id, (State.QUEUED, State.DELAYED), State.HELD, "held")

    async def release(self, queue_id: str) -> None:
        """Make a held message queued.

        Raises:
            NoSuchMessage: there is none of this id, or it is not held.
        """
        await self._change(queue_id, (State.HELD,), State.QUEUED, "released")

    async def discard(self, queue_id: str) -> None:
        """Throw a message away, with its content.

        Raises:
            NoSuchMessage: there is none of this id, or it is being sent.
        """
        states = (State.QUEUED, State.DELAYED, State.HELD, State.FAILED)
        await self._change(queue_id, states, State.DISCARDED, "discarded")
        self._unheard.forget(queue_id)
        await asyncio.to_thread(self._files.remove, queue_id)

    async def _change(self, queue_id: str, states: Sequence[State], state: State, event: str) -> None:
        await self._commit(lambda c: statements.change(c, self._turns, queue_id, states, state, event))
        self._recent.forget(queue_id)

    def _follow_clock(self) -> bool:
        """Have what waits planned anew if the clock was set; whether it was.

        Looked for before every row that tells a time: written by the new clock it must not be moved with
        the others. The writer keeps the order.
        """
        jump = self._clock.take_jump()
        if not jump:
            return False
        log.warning("the clock was set; what waits is planned anew", seconds=round(jump))
        self._recent.clear()
        self._writer.follow(lambda c: shift(c, jump, self._turns))
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
    async def list(self, states: Collection[State], limit: int, *, newest: bool = False) -> list[Entry]:
        """Messages in these states, by arrival."""
        return await self._look(lambda c: statements.list_entries(c, states, limit, newest=newest))
