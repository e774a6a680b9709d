"""A damaged database: what can be read of it goes into a new one, and the old one is kept beside it.

SQLite refuses a table or an index for one bad page. Rows are small and most pages are good, so each table is
read from both ends up to the damage, and in between by what the keys or an index name. Indexes are made anew.
"""

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from relay.spool.sqlite.files import flush
from relay.spool.sqlite.schema import MIGRATIONS

log = structlog.get_logger("spool")
_MARK = "damaged"  # a file: the database's next owner salvages it first
_NAMES = ("spool.db", "spool.db-wal", "spool.db-shm")
_READY = "spool.salvaged"  # whole: it takes the place of the database, if need be after a crash
_MOST_NAMED = 10  # queue ids in a sentence
_MOST_BETWEEN = 100_000  # numbered rows that are looked for within a damage
# Not `mark`: this database is made now, and so files without a row are put aside, not removed.
_TABLES = {
    "message": "queue_id",
    "content": "rowid",
    "request": "serial",
    "event": "number",
    "unheard": "queue_id",
}


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What became of a damaged database."""

    kept: Path  # where it lies now
    messages: int  # that were read
    lost: tuple[str, ...]  # queue ids that its index of all messages names and no row has
    complete: bool  # whether that index, or the table itself, could be read from end to end

    def __str__(self) -> str:
        if self.lost:
            lost = f"{len(self.lost)} are lost ({', '.join(self.lost[:_MOST_NAMED])})"
        else:
            lost = "none is missing" if self.complete else "how many are missing cannot be told"
        return (
            f"it was damaged: {self.messages} messages were salvaged, {lost};"
            f" the old database lies in {self.kept}"
        )


def mark(folder: Path) -> None:
    """The database of this spool is damaged; its next start is to salvage it."""
    with contextlib.suppress(OSError):
        (folder / _MARK).touch(mode=0o600)


def is_due(folder: Path) -> bool:
    """Whether damage was met and left to the next start."""
    return (folder / _MARK).exists()


def salvage(folder: Path) -> Salvaged:
    """Make a new database of what the damaged one still tells. Blocks.

    Content whose message is lost goes into `orphaned/`, for a person.

    Raises:
        OSError: the folder cannot be written.
        sqlite3.Error: the new database cannot be.
    """
    log.error("the database is damaged: what can be read goes into a new one")
    kept = _keep(folder)
    making = folder / f"{_READY}.tmp"
    making.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite3.connect(kept / "spool.db", isolation_level=None)) as old,
        contextlib.closing(sqlite3.connect(making, isolation_level=None)) as new,
    ):
        found = _copy(old, new, kept)
        _put_aside(new, folder / "orphaned")
    flush(making)
    making.rename(folder / _READY)
    flush(folder)
    finish(folder)
    log.error("the database was salvaged", what=str(found))
    return found


def finish(folder: Path) -> None:
    """Put a salvaged database in its place, also one that a crash left waiting."""
    if (folder / _READY).exists():
        for name in _NAMES[1:]:  # they belong to the old one
            (folder / name).unlink(missing_ok=True)
        flush(folder)
        (folder / _READY).rename(folder / _NAMES[0])
        (folder / _MARK).unlink(missing_ok=True)
        flush(folder)


def _keep(folder: Path) -> Path:
    kept = folder / time.strftime("damaged-%Y%m%dT%H%M%SZ", time.gmtime())
    kept.mkdir(mode=0o700, exist_ok=True)
    for name in _NAMES[:2]:
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            _link(folder / name, kept / name)
    flush(folder)
    return kept


def _link(path: Path, other: Path) -> None:
    try:
        os.link(path, other)
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError:  # not every file system can
        shutil.copyfile(path, other)
        flush(other)


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, kept: Path) -> Salvaged:
    new.execute("PRAGMA journal_mode = DELETE")
    new.execute("PRAGMA synchronous = FULL")
    version = _find_version(old)
    for number, script in enumerate(MIGRATIONS[:version], start=1):
        new.executescript(f"{script}; PRAGMA user_version = {number};")
    new.execute("BEGIN")
    there = {name for (name,) in new.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    whole = {name: _copy_table(old, new, name, key) for name, key in _TABLES.items() if name in there}
    named, complete = _named(old)
    lost = tuple(one for one in named if not _has(new, one))
    (messages,) = new.execute("SELECT COUNT(*) FROM message").fetchone()
    new.execute("COMMIT")
    return Salvaged(kept, messages, lost, complete or whole["message"])


def _put_aside(new: sqlite3.Connection, folder: Path) -> None:
    nobody = "FROM content WHERE queue_id NOT IN (SELECT queue_id FROM message)"
    for queue_id, data in new.execute(f"SELECT queue_id, data {nobody}"):
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / Path(queue_id).name
        path.touch(mode=0o600)
        path.write_bytes(data)
    new.execute(f"DELETE {nobody}")


def _find_version(old: sqlite3.Connection) -> int:
    try:
        version: int = old.execute("PRAGMA user_version").fetchone()[0]
        old.execute("SELECT name FROM sqlite_master").fetchall()
    except sqlite3.DatabaseError:
        return len(MIGRATIONS)
    return version if 0 < version <= len(MIGRATIONS) else len(MIGRATIONS)


def _copy_table(old: sqlite3.Connection, new: sqlite3.Connection, table: str, key: str) -> bool:
    """Copy what can be read; whether that is all."""
    columns = [row[1] for row in new.execute(f"PRAGMA table_info({table})")]
    names = ", ".join(columns)
    # Ignored is what was read twice, and what a bad page gives for a row and is none.
    insert = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
    damage: list[Exception] = []
    for row in _read(old, table, key, f"{key}, {names}", damage):
        new.execute(insert, row[1:])
    return not damage


def _read(
    old: sqlite3.Connection, table: str, key: str, columns: str, damage: list[Exception]
) -> Iterator[tuple[Any, ...]]:
    """The rows from the first one to the damage, from the last one to the damage, and those in between."""
    ends: list[Any] = []
    for order in ("ASC", "DESC"):
        query = f"SELECT {columns} FROM {table} NOT INDEXED ORDER BY {key} {order}"  # noqa: S608
        last = None
        try:
            for row in old.execute(query):
                last = row[0]
                yield row
        except sqlite3.DatabaseError as error:
            damage.append(error)
            ends.append(last)
            continue
        return
    query = f"SELECT {columns} FROM {table} NOT INDEXED WHERE {key} = ?"  # noqa: S608
    for one in _between(old, table, *ends):
        with contextlib.suppress(sqlite3.DatabaseError):
            yield from old.execute(query, (one,)).fetchall()


def _between(old: sqlite3.Connection, table: str, first: Any, last: Any) -> Iterator[Any]:
    """Keys that rows within the damage may have."""
    if table == "message":
        yield from _named(old)[0]
    elif isinstance(first, int) or isinstance(last, int):
        begin = first if isinstance(first, int) else 0
        end = last if isinstance(last, int) else begin + _MOST_BETWEEN
        yield from range(begin + 1, min(end, begin + _MOST_BETWEEN))


def _named(old: sqlite3.Connection) -> tuple[list[str], bool]:
    """The queue ids that the index of all messages names; whether it could be read from end to end."""
    found: dict[str, None] = {}
    for order in ("ASC", "DESC"):
        by = f"state {order}, arrival {order}"
        query = f"SELECT queue_id FROM message INDEXED BY message_state ORDER BY {by}"  # noqa: S608
        try:
            for (queue_id,) in old.execute(query):
                found[queue_id] = None
        except sqlite3.DatabaseError:
            continue
        return list(found), True
    return list(found), False


def _has(new: sqlite3.Connection, queue_id: str) -> bool:
    return new.execute("SELECT 1 FROM message WHERE queue_id = ?", (queue_id,)).fetchone() is not None
