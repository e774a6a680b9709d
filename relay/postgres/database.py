"""Connections to the database, and single statements on them.

A statement that has been sent is never cancelled: whoever waits for it may be, and it runs to its end.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import psycopg
import structlog
from typing_extensions import override

from relay.postgres.server import (
    Address,
    Connection,
    InDoubt,
    NoConnection,
    Pool,
    Repeatable,
    Unreachable,
    connect,
    is_broken,
    translate,
)
from relay.spool import NoSuchMessage, SpoolError

log = structlog.get_logger("spool")
T = TypeVar("T")
Row = tuple[Any, ...]
_AGAIN = 0.25  # seconds between tries of what must be written
_AWAY_FOR = 5.0  # seconds for which a command takes a server for away that could not be reached
_WRITES = 3  # tries of a write that is in doubt
_TRIES = 4  # after a restart of the server each idle connection breaks once
# The database's clock, seconds since the epoch: the only one that decides.
NOW = "extract(epoch FROM clock_timestamp())::float8"
_ERRORS = (psycopg.Error, OSError)  # those of the pool are psycopg's own


class Statements(Protocol):
    """Whoever runs single statements: the spool's pools, or a command's own connection."""

    async def read(self, query: str, values: Any = ()) -> list[Row]:
        """What a statement finds. Raises SpoolError."""

    async def write(self, query: str, values: Any = ()) -> list[Row]:
        """Run a statement that commits by itself. Raises SpoolError."""


class Connecting(Statements):
    """A connection for each statement: for a command, which asks for little.

    A server that cannot be reached is not tried again for the next account: a person waits.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._away = ""  # why it could not be reached
        self._failed = 0.0  # when that was; monotonic

    @override
    async def read(self, query: str, values: Any = ()) -> list[Row]:
        return await self._run(query, values)

    @override
    async def write(self, query: str, values: Any = ()) -> list[Row]:
        return await self._run(query, values)

    async def _run(self, query: str, values: Any) -> list[Row]:
        if self._away and time.monotonic() - self._failed < _AWAY_FOR:
            raise Unreachable(self._away)
        try:
            async with opened(self._address, hurried=True) as connection:
                return await run(connection, query, values)
        except _ERRORS as error:
            raise translate(error, sent=True) from error
        except Unreachable as error:
            self._away, self._failed = str(error), time.monotonic()
            raise


class Database(Statements):
    """The pools of one node: in all at most eight connections, with the one that listens."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.door = Pool(address, 2, "door")  # what is put
        self.desk = Pool(address, 4, "desk")  # everything else
        self.beat = Pool(address, 1, "beat")  # nothing may stand before a renewal
        self._running: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Begin to connect."""
        for pool in (self.door, self.desk, self.beat):
            await pool.open()

    async def close(self) -> None:
        """Let what was sent come to its end, then disconnect."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
        for pool in (self.door, self.desk, self.beat):
            await pool.close(timeout=1.0)

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Run this to its end, even if whoever waits for it is cancelled."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever was cancelled does not ask for it

    async def read(self, query: str, values: Any = ()) -> list[Row]:
        """What a statement finds that changes nothing.

        Raises:
            SpoolError: the database does not answer.
        """
        return await self.finish(self._again(lambda: self._run(self.desk, query, values)))

    async def write(self, query: str, values: Any = (), *, pool: Pool | None = None) -> list[Row]:
        """Run one statement that is a transaction by itself; what it returns.

        Raises:
            InDoubt: nobody knows whether it is kept.
            SpoolError: it is not.
        """
        return await self.finish(self._repeat(lambda: self._run(pool or self.desk, query, values)))

    async def write_soon(self, query: str, values: Any, *, pool: Pool | None = None) -> list[Row]:
        """As `write`, in an asynchronous commit: a crash of the server may lose it.

        The statement must return rows.

        Raises:
            SpoolError: it is not written.
        """
        return await self.finish(self._repeat(lambda: self._run_soon(pool or self.desk, query, values)))

    async def _run_soon(self, pool: Pool, query: str, values: Any) -> list[Row]:
        try:
            async with pool.connection() as connection:
                async with connection.pipeline():
                    # One round trip and no wait in between: whoever is stopped here holds no lock.
                    await connection.execute("BEGIN")
                    await connection.execute("SET LOCAL synchronous_commit = off")
                    cursor = await connection.execute(query.encode(), values)
                    await connection.execute("COMMIT")
                return await cursor.fetchall()
        except _ERRORS as error:
            if is_broken(error):
                self._look_after(pool)
            raise translate(error) from error

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do what bears to be done twice, until it is certainly done or refused.

        Raises:
            NoSuchMessage: there is nothing to be done it to.
        """
        trouble = ""
        while True:
            try:
                done = await work()
            except NoSuchMessage:
                raise
            except SpoolError as error:
                if not trouble:
                    log.error("the database cannot be written", reason=str(error))
                trouble = str(error)
                await asyncio.sleep(_AGAIN)
            else:
                if trouble:
                    log.info("the database can be written again")
                return done

    async def _run(self, pool: Pool, query: str, values: Any) -> list[Row]:
        sent = False
        try:
            async with pool.connection() as connection:
                sent = True
                return await run(connection, query, values)
        except _ERRORS as error:
            if is_broken(error):
                self._look_after(pool)
            raise translate(error, sent=sent) from error

    def look_after_all(self) -> None:
        """The server answers again: connections that it has forgotten are made anew."""
        for pool in (self.door, self.desk):
            self._look_after(pool)

    def _look_after(self, pool: Pool) -> None:
        """The other idle connections of a pool are most likely broken too."""
        task = asyncio.create_task(_check(pool))
        self._running.add(task)
        task.add_done_callback(self._forget)

    async def _again(self, work: Callable[[], Awaitable[T]]) -> T:
        """Ask again where the connection was broken: a question bears it."""
        for _ in range(_TRIES):
            try:
                return await work()
            except NoConnection:
                raise  # it was waited for already
            except (InDoubt, Unreachable):
                continue
        return await work()

    async def _repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do again what was rolled back because of somebody else."""
        while True:
            try:
                return await work()
            except Repeatable:
                await asyncio.sleep(0)


async def _check(pool: Pool) -> None:
    try:
        await pool.check()
    except _ERRORS:
        return


@contextlib.asynccontextmanager
async def opened(address: Address, *, hurried: bool = False) -> AsyncIterator[Connection]:
    """A connection of its own, for as long as the context lasts. Raises SpoolError.

    Args:
        address: of the server.
        hurried: a person waits for it, who is to hear soon that nobody answers.
    """
    connection = await connect(address, hurried=hurried)
    try:
        yield connection
    finally:
        with contextlib.suppress(*_ERRORS):
            await connection.close()


async def run(connection: Connection, query: str, values: Any = ()) -> list[Row]:
    """Run one statement on a connection; what it finds or returns.

    Raises:
        InDoubt: the server has it, and its replica perhaps not.
        psycopg.Error, OSError: it is not kept, or nobody knows.
    """
    cursor = await connection.execute(query.encode(), values)
    found = await cursor.fetchall() if cursor.description is not None else []
    connection.be_certain()
    return found


async def write_surely(database: Statements, query: str, values: Any) -> list[Row]:
    """Write what may be written twice, again while nobody knows whether it is kept. Raises SpoolError."""
    for _ in range(_WRITES - 1):
        with contextlib.suppress(InDoubt):
            return await database.write(query, values)
    return await database.write(query, values)
