"""One thread, one connection: every operation of the SQLite spool, many to a commit.

Sessions that wait for their commit at the same time share one flush of the disk. Each operation runs
in a savepoint of its own, so one that fails takes nothing of the others with it; their futures are
resolved only after the commit.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from relay.spool import SpoolError, SpoolFull

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], Any]
Result = tuple["asyncio.Future[Any]", Any, Exception | None]
_MOST_AT_ONCE = 500
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)


class Writer:
    """Runs operations on the spool's database, in order, off the event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[tuple[Operation, asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self, prepare: Callable[[sqlite3.Connection], None]) -> None:
        """Open the database in the thread and prepare it.

        Raises:
            SpoolError: it cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        ready: asyncio.Future[Any] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(prepare, ready), name="spool", daemon=True)
        self._thread.start()
        await ready

    async def stop(self) -> None:
        """Let what was asked for finish, then close."""
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def run(self, operation: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Have an operation run and committed; the future tells when.

        The operation runs to its commit even if whoever waits is cancelled.

        Raises:
            SpoolError: through the future, when nothing of it was kept.
        """
        if self._loop is None or self._thread is None:
            raise SpoolError("the spool is not open")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((operation, future))
        return future

    def _run(self, prepare: Callable[[sqlite3.Connection], None], ready: "asyncio.Future[Any]") -> None:
        try:
            connection = sqlite3.connect(self._path, isolation_level=None)
            prepare(connection)
        except sqlite3.Error as error:
            self._tell([(ready, None, translate(error))])
            return
        self._tell([(ready, None, None)])
        while self._serve(connection):
            pass
        connection.close()

    def _serve(self, connection: sqlite3.Connection) -> bool:
        batch = [self._queue.get()]
        while len(batch) < _MOST_AT_ONCE:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        self._tell(_commit(connection, [item for item in batch if item is not None]))
        return None not in batch

    def _tell(self, results: list[Result]) -> None:
        if results and self._loop is not None:
            self._loop.call_soon_threadsafe(_resolve, results)


def _commit(
    connection: sqlite3.Connection, batch: list[tuple[Operation, "asyncio.Future[Any]"]]
) -> list[Result]:
    if not batch:
        return []
    try:
        connection.execute("BEGIN IMMEDIATE")
        results = [(future, *_one(connection, operation)) for operation, future in batch]
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        # Nothing of the batch is on disk, whatever each operation thought.
        return [(future, None, translate(error)) for _, future in batch]
    return results


def _one(connection: sqlite3.Connection, operation: Operation) -> tuple[Any, Exception | None]:
    connection.execute("SAVEPOINT one")
    try:
        value = operation(connection)
    except Exception as error:
        if not connection.in_transaction:
            # A full disk makes SQLite roll all of it back by itself: no savepoint is left.
            raise sqlite3.OperationalError(str(error)) from error
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        return None, translate(error) if isinstance(error, sqlite3.Error) else error
    connection.execute("RELEASE one")
    return value, None


def _resolve(results: list[Result]) -> None:
    for future, value, error in results:
        if future.done():  # whoever asked was cancelled
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


def translate(error: sqlite3.Error) -> SpoolError:
    """The spool's own error for what SQLite said."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary result code
    kind = SpoolFull if code in _FULL else SpoolError
    return kind(f"{type(error).__name__}: {error}")
