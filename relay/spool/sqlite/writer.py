"""One thread, one connection: every operation of the SQLite spool, many to a commit.

Sessions that wait for their commit at the same time share one flush of the disk. What must be
written, because it has happened already, is tried until it is; for that a reserve of the disk is
given up, and everything else is refused until the reserve is back.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

import structlog

from relay.spool import SpoolDamaged, SpoolError, SpoolFull
from relay.spool.sqlite.database import NO_ROOM, Database, code_of, is_damage
from relay.spool.sqlite.disk import DiskSpace

log = structlog.get_logger("spool")
T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
_MOST_AT_ONCE = 500
_SOON = 0.02  # seconds that an operation nobody waits for may wait for others to share its commit
_AGAIN = 0.25  # seconds between tries to write what must be written
_LOOK = 0.5  # seconds between looks at the spool's folder when nothing is to be done
_IDLE = 5.0  # seconds without a commit, after which the log of what was deleted is emptied
_STOP_PATIENCE = 5.0  # seconds for what must be written, when the relay stops
# Errors of the storage and not of one operation: nothing of the commit can be written.
_STORAGE = NO_ROOM | {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
}


class _Kind(Enum):
    WRITE = auto()  # in the commit; fails when the storage does
    INSIST = auto()  # in the commit; waits until it is written
    FOLLOW = auto()  # likewise, and nobody waits for it
    READ = auto()  # after the commit, outside of it


@dataclass(slots=True)
class _Item:
    kind: _Kind
    operation: Operation[Any]
    future: "asyncio.Future[Any] | None" = None
    done: Callable[[], None] | None = None  # called in the event loop after the commit
    value: Any = None
    error: Exception | None = None

    @property
    def must(self) -> bool:
        return self.kind in (_Kind.INSIST, _Kind.FOLLOW)


class Writer:
    """Runs operations on the spool's database, in order, off the event loop."""

    def __init__(self, database: Database, space: DiskSpace) -> None:
        self._database = database
        self._space = space
        self._held: list[_Item] = []  # asked for, and not handed to the thread yet
        self._is_turning = False  # whether they are handed over at the end of this turn of the event loop
        self._queue: queue.SimpleQueue[list[_Item] | None] = queue.SimpleQueue()
        self._backlog: list[_Item] = []  # what must be written and could not be
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._following = 0  # operations that nobody waits for and that are not committed yet
        self._give_up_at = float("inf")
        self._tidy_at = float("inf")  # monotonic; there is nothing to tidy

    async def start(self, load: Callable[[sqlite3.Connection], None]) -> None:
        """Open the database in the thread and load what is kept in memory.

        Raises:
            SpoolError: it cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        ready = _Item(_Kind.WRITE, load, self._loop.create_future())
        self._thread = threading.Thread(target=self._run, args=(ready,), name="spool", daemon=True)
        self._thread.start()
        assert ready.future is not None  # noqa: S101 - made two lines above
        await ready.future

    async def stop(self) -> None:
        """Let what was asked for finish, then close."""
        if self._thread is not None:
            self._hand_over()
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def write(self, operation: Operation[T]) -> "asyncio.Future[T]":
        """Have an operation run and committed; the future tells when.

        It may be run again when another operation of its commit fails, so what it does besides the
        database must bear that. It runs to its commit even if whoever waits is cancelled.

        Raises:
            SpoolError: through the future, when nothing of it was kept.
        """
        return self._ask(_Kind.WRITE, operation)

    def insist(self, operation: Operation[T]) -> "asyncio.Future[T]":
        """As `write`, and tried until it is written when the storage will not."""
        return self._ask(_Kind.INSIST, operation)

    def read(self, operation: Operation[T]) -> "asyncio.Future[T]":
        """Run an operation that only reads, after the commit that is on its way."""
        return self._ask(_Kind.READ, operation)

    def follow(self, operation: Operation[Any], done: Callable[[], None] | None = None) -> None:
        """As `insist`, but nobody waits: committed with the next operation, or soon; then `done`."""
        self._put(_Item(_Kind.FOLLOW, operation, done=done))
        self._following += 1

    @property
    def generation(self) -> int:
        """Changes when another database takes the place of the open one. May be read in any thread."""
        return self._database.generation

    async def mend(self, generation: int) -> None:
        """Have the database of this generation mended, unless it has been replaced since.

        Raises:
            SpoolDamaged: it cannot be mended now.
        """

        def meet(_: sqlite3.Connection) -> None:
            if self.generation == generation:
                raise SpoolDamaged("a reader met damage")

        await self.read(meet)

    async def catch_up(self) -> None:
        """Wait until what was left to `follow` is committed."""
        if self._following:
            await self.write(lambda _: None)

    def _ask(self, kind: _Kind, operation: Operation[T]) -> "asyncio.Future[T]":
        if self._loop is None:
            raise SpoolError("the spool is not open")
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(_Item(kind, operation, future))
        return future

    def _put(self, item: _Item) -> None:
        """Hand it to the thread with all else that this turn of the event loop asks: waking it is dear."""
        if self._thread is None or self._loop is None:
            raise SpoolError("the spool is not open")
        self._held.append(item)
        if item.kind is _Kind.FOLLOW:
            if len(self._held) == 1:
                self._loop.call_later(_SOON, self._hand_over)
        elif not self._is_turning:
            self._is_turning = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._is_turning = False
        if self._held:
            self._queue.put(self._held)
            self._held = []

    # From here on, in the thread.

    def _run(self, ready: _Item) -> None:
        try:
            connection = self._database.open(ready.operation)
        except (OSError, sqlite3.Error, SpoolError) as error:
            ready.error = error if isinstance(error, SpoolError) else translate(error)
            self._tell([ready])
            return
        except Exception as error:
            # Nobody may wait for ever because of a fault of ours.
            log.exception("the spool cannot be opened")
            ready.error = SpoolError(f"a fault of the spool: {type(error).__name__}")
            self._tell([ready])
            return
        self._tell([ready])
        going = True
        while going or self._backlog:
            batch, ended = self._gather(wait=going)
            if ended:
                going, self._give_up_at = False, time.monotonic() + _STOP_PATIENCE
            try:
                connection = self._database.look_after(connection)
                connection = self._serve(connection, batch)
                self._tidy(connection, batch)
            except Exception as error:
                # Nobody may wait for ever because of a fault of ours.
                log.exception("spool operation broke off")
                for item in batch:
                    item.error = item.error or SpoolError(f"a fault of the spool: {type(error).__name__}")
                self._tell(batch)
            if time.monotonic() > self._give_up_at:
                log.error("what was sent could not be recorded", operations=len(self._backlog))
                break
        connection.close()

    def _gather(self, *, wait: bool) -> tuple[list[_Item], bool]:
        """All operations that are waiting; and whether there will be no more."""
        batch: list[_Item] = []
        # What must be written, and a reserve that is gone, are looked after at least so often.
        patience = _AGAIN if self._backlog or not self._space.reserved else _LOOK
        if not wait:
            time.sleep(_AGAIN)
            return batch, False
        while len(batch) < _MOST_AT_ONCE:
            try:
                items = self._queue.get_nowait() if batch else self._queue.get(timeout=patience)
            except queue.Empty:
                break
            if items is None:
                return batch, True
            batch += items
        return batch, False

    def _serve(self, connection: sqlite3.Connection, batch: list[_Item]) -> sqlite3.Connection:
        """Run these operations; the connection for the next ones, since this one may have become unusable."""
        writes = [*self._backlog, *(item for item in batch if item.kind is not _Kind.READ)]
        error = _commit(connection, writes) if writes else None
        if error is not None and is_damage(error) and (mended := self._database.mend(connection)) is not None:
            return self._serve(mended, batch)
        done = self._conclude(connection, writes, error) if writes else []
        for item in batch:
            if item.kind is _Kind.READ:
                _try(connection, item)
                done.append(item)
        ill = [item for item in done if isinstance(item.error, SpoolDamaged)]
        if ill and (mended := self._database.mend(connection)) is not None:
            self._tell([item for item in done if item not in ill])
            return self._serve(mended, ill)
        self._tell(done)
        if not self._space.reserved and not self._backlog:
            self._space.restore()
        return connection

    def _tidy(self, connection: sqlite3.Connection, batch: list[_Item]) -> None:
        now = time.monotonic()
        if any(item.kind is not _Kind.READ for item in batch):
            self._tidy_at = now + _IDLE
        elif now >= self._tidy_at and not self._backlog:
            self._tidy_at = float("inf")
            self._database.truncate_log(connection)

    def _conclude(
        self, connection: sqlite3.Connection, writes: list[_Item], error: sqlite3.Error | None
    ) -> list[_Item]:
        """Commit what can still be committed; the operations that are over, kept or failed."""
        if error is None:
            self._report_recovery()
            return writes
        must = [item for item in writes if item.must]
        refused = [item for item in writes if not item.must]
        for item in refused:
            # Nothing of the commit is on disk, whatever each operation thought.
            item.value, item.error = None, translate(error)
        if must:
            if code_of(error) in NO_ROOM:
                self._space.release_reserve(str(error))
            if _commit(connection, must) is None:
                self._report_recovery()
                return writes
        self._report_trouble(must, error)
        return refused

    def _report_trouble(self, must: list[_Item], error: sqlite3.Error) -> None:
        if must and not self._backlog:
            log.error("the spool cannot be written; sending stops", reason=str(error), operations=len(must))
        self._backlog = must
        self._space.block(blocked=bool(must))

    def _report_recovery(self) -> None:
        if self._backlog:
            log.info("the spool can be written again", operations=len(self._backlog))
            self._backlog = []
        self._space.block(blocked=False)

    def _tell(self, items: list[_Item]) -> None:
        if items:
            self.call_soon(lambda: self._resolve(items))

    def call_soon(self, done: Callable[[], object]) -> None:
        """Call this in the event loop, from the writer's thread; not at all when there is none any more."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(done)

    def _resolve(self, items: list[_Item]) -> None:
        for item in items:
            if item.kind is _Kind.FOLLOW:
                self._following -= 1
                if item.error is not None:
                    log.error("not recorded", reason=str(item.error))
                elif item.done is not None:
                    item.done()
            if item.future is None or item.future.done():  # whoever asked was cancelled
                continue
            if item.error is None:
                item.future.set_result(item.value)
            else:
                item.future.set_exception(item.error)


def _commit(connection: sqlite3.Connection, items: list[_Item]) -> sqlite3.Error | None:
    """Run and commit, or say what the storage said.

    First without savepoints, as nearly always all goes well; an operation that fails by itself then
    costs a second run with them, so that it takes nothing of the others with it.
    """
    for one in (_plain, _guarded):
        try:
            connection.execute("BEGIN IMMEDIATE")
            for item in items:
                one(connection, item)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - run again, one by one
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if _is_storage(error):
                return error  # type: ignore[return-value]  # only sqlite3.Error is
            last = error
            continue
        return None
    return last if isinstance(last, sqlite3.Error) else sqlite3.DatabaseError(str(last))


def _plain(connection: sqlite3.Connection, item: _Item) -> None:
    item.error = None
    item.value = item.operation(connection)


def _guarded(connection: sqlite3.Connection, item: _Item) -> None:
    connection.execute("SAVEPOINT one")
    _try(connection, item)
    if item.error is not None:
        connection.execute("ROLLBACK TO one")
    connection.execute("RELEASE one")


def _try(connection: sqlite3.Connection, item: _Item) -> None:
    item.value, item.error = None, None
    try:
        item.value = item.operation(connection)
    except Exception as error:
        if item.kind is not _Kind.READ and _is_storage(error):
            # SQLite may have rolled all of it back by itself: no savepoint is left.
            raise
        item.error = translate(error) if isinstance(error, sqlite3.Error) else error


def _is_storage(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and code_of(error) in _STORAGE


def translate(error: sqlite3.Error | OSError) -> SpoolError:
    """The spool's own error for what SQLite said."""
    full = code_of(error) in NO_ROOM
    kind = SpoolFull if full else SpoolDamaged if is_damage(error) else SpoolError
    return kind(f"{type(error).__name__}: {error}")
