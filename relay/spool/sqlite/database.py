"""The connection that writes: how it is set up, and what is done when the database turns out damaged.

Used by the writer's thread alone.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from relay.spool.sqlite import counters, recovery
from relay.spool.sqlite.disk import DiskSpace
from relay.spool.sqlite.ownership import Finding, Ownership
from relay.spool.sqlite.schema import migrate

log = structlog.get_logger("spool")
_LOCK_PATIENCE = 2.0  # seconds, when another process has the database locked
# A disk or a memory that damages it again at once is not mended by more of this.
_MEND_PATIENCE = 600.0  # seconds
NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR})
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def code_of(error: Exception) -> int:
    """SQLite's primary result code; 0 where there is none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_damage(error: Exception) -> bool:
    """Whether this says that the database cannot be read as what it is."""
    return isinstance(error, sqlite3.Error) and code_of(error) in _DAMAGE


def read_text(octets: bytes) -> str:
    """Text as it stands there; a flipped bit makes no UTF-8, and must not end the look at all other rows."""
    return octets.decode("utf-8", "replace")


class Database:
    """The file `spool.db` and its connection.

    Args:
        folder: the spool's.
        space: its disk's.
        wall: seconds since the epoch.
        tell: told, in this thread, what became of a damaged one, or of the folder.
        ownership: of the folder.
    """

    def __init__(
        self,
        folder: Path,
        space: DiskSpace,
        wall: Callable[[], float],
        tell: Callable[[str], None],
        ownership: Ownership,
    ) -> None:
        self._folder = folder
        self._space = space
        self._wall = wall
        self._tell = tell
        self._ownership = ownership
        self._mended = float("-inf")
        self.generation = 0  # changes with each database that takes the place of another

    def open(self, load: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
        """Connect, bring the tables up to date and load what is kept in memory; salvage first if need be.

        Raises:
            sqlite3.Error: it cannot be opened or made.
            OSError: it is damaged, and there is no room for a new one.
        """
        recovery.finish(self._folder)
        if recovery.is_due(self._folder):
            self._salvage()
        try:
            return self._connect(load)
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                self._salvage()
            elif code_of(error) in NO_ROOM - {sqlite3.SQLITE_READONLY} and self._space.reserved:
                # With its help there is somebody to say 452, and to go on when there is room again.
                self._space.release_reserve(str(error))
            else:
                raise
            return self._connect(load)

    def mend(self, connection: sqlite3.Connection) -> sqlite3.Connection | None:
        """Another connection in place of this one, to what could be salvaged.

        None: that was done a moment ago, or cannot be done now; the next start is to try.
        """
        if time.monotonic() - self._mended < _MEND_PATIENCE:
            recovery.mark(self._folder)
            return None
        self._mended = time.monotonic()
        try:
            with suppress(sqlite3.Error):
                connection.close()
            self._salvage()
        except (OSError, sqlite3.Error) as error:
            log.error("the damaged database cannot be salvaged now", reason=str(error))
            recovery.mark(self._folder)
        return self._reconnect()

    def look_after(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """See that the open files are the ones in the folder; gives the connection for what is next.

        Files that were removed are written again: what is open is all there still.
        """
        self._space.look_for_reserve()
        finding = self._ownership.look()
        if finding is Finding.REMOVED:
            try:
                connection = self._put_back(connection)
                self._ownership.was_put_back()
            except (OSError, sqlite3.Error) as error:
                self._ownership.was_put_back(error)
        while self._ownership.news:
            self._tell(self._ownership.news.pop(0))
        self._note_trouble(self._ownership.trouble)
        return connection

    def truncate_log(self, connection: sqlite3.Connection) -> None:
        """Empty the write-ahead log, where the content of messages stands after their rows have lost it.

        Nobody waits for this: a reader that is in the way, or a fault, is left to the next time.
        """
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._ownership.log_was_emptied()
        with suppress(sqlite3.Error):
            connection.execute(f"PRAGMA busy_timeout = {int(_LOCK_PATIENCE * 1000)}")

    def _note_trouble(self, trouble: str) -> None:
        before = self._space.refuse_for(trouble)
        if trouble and not before:
            log.error("the spool's folder cannot be used: new mail is refused", reason=trouble)
            self._tell(f"new mail is refused: {trouble}")
        elif before and not trouble:
            log.info("the spool's folder can be used again")

    def _put_back(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Another connection in place of this one, to a copy of what it has open, in the folder."""
        trouble = self._ownership.trouble
        try:
            recovery.copy(connection, self._folder)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self._salvage()
        else:
            recovery.finish(self._folder)
            self.generation += 1
            log.error("files of the spool were gone: what was open is written again", reason=trouble)
            self._tell(f"{trouble}; all that was open has been written again")
        # Not sooner: where the new one cannot take its place, this connection alone has what was open.
        connection.close()
        return self._reconnect()

    def _reconnect(self) -> sqlite3.Connection:
        """Connect; if the database is still damaged, to what is there: each operation then says so."""
        try:
            return self._connect(lambda _: None)
        except sqlite3.Error as error:
            log.error("the database cannot be used", reason=str(error))
            plain = sqlite3.connect(self._folder / "spool.db", timeout=_LOCK_PATIENCE, isolation_level=None)
            self._ownership.watch()
            return plain

    def _salvage(self) -> None:
        self._tell(str(recovery.salvage(self._folder)))
        self.generation += 1

    def _connect(self, load: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
        connection = sqlite3.connect(self._folder / "spool.db", timeout=_LOCK_PATIENCE, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # 250 promises that the mail survives a power cut (RFC 5321 §6.1). In WAL mode NORMAL may lose
            # the last commits; FULL does not.
            connection.execute("PRAGMA synchronous = FULL")
            # A checkpoint flushes twice more; one for 8 MB of log instead of 4 is half as many.
            connection.execute("PRAGMA wal_autocheckpoint = 2000")
            connection.execute("PRAGMA cache_size = -8192")
            # What was deleted is overwritten in the file; some builds of SQLite do so by themselves.
            connection.execute("PRAGMA secure_delete = ON")
            connection.text_factory = read_text
            connection.create_function("now", 0, self._wall)  # seconds since the epoch
            migrate(connection)
            counters.begin(connection)
            load(connection)
            self._ownership.watch()
        except BaseException:
            connection.close()
            raise
        return connection
