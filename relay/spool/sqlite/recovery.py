"""A damaged database: what can be read of its pages goes into a new one, and the old one is kept beside it.

Damage shows when SQLite refuses a statement, wherever that is; and at a start also where SQLite would go on
without a word: an empty file, a missing one, a log that was spoiled or cut off.
"""

import contextlib
import mmap
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import structlog

from relay.spool.sqlite import wal
from relay.spool.sqlite.files import flush
from relay.spool.sqlite.pages import Pages, find_page_size
from relay.spool.sqlite.rebuild import rebuild
from relay.spool.sqlite.schema import MIGRATIONS

log = structlog.get_logger("spool")
_MARK = "damaged"  # a file: the database's next owner salvages it first
_NAMES = ("spool.db", "spool.db-wal", "spool.db-shm")
_READY = "spool.salvaged"  # whole: it takes the place of the database, if need be after a crash
_MOST_NAMED = 10  # queue ids in a sentence
_FILE_HEAD = 100  # octets of the database's header
_LEAST = 512  # octets of a database: the smallest page
_INDEX_HEAD = 96  # octets of the header of the log's index, which stands there twice


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of a damaged database."""

    kept: Path  # where it lies now
    messages: int  # that were read
    lost: tuple[str, ...]  # queue ids that are named somewhere, and of which there is no row
    held: tuple[str, ...]  # queue ids of messages that wait for a person because of the damage
    complete: bool  # whether there can be no message that nothing names

    def __str__(self) -> str:
        lost = f"{len(self.lost)} are lost{_some(self.lost)}" if self.lost else ""
        if not self.complete:
            lost = f"at least {lost}" if lost else "how many are missing cannot be told"
        held = f", {len(self.held)} are held for a person{_some(self.held)}" if self.held else ""
        return (
            f"it was damaged: {self.messages} messages were salvaged, {lost or 'none is missing'}{held};"
            f" the old database lies in {self.kept}"
        )


def _some(queue_ids: tuple[str, ...]) -> str:
    return f" ({', '.join(queue_ids[:_MOST_NAMED])})"


def mark(folder: Path) -> None:
    """The database of this spool is damaged; its next start is to salvage it."""
    with contextlib.suppress(OSError):
        (folder / _MARK).touch(mode=0o600)


def is_due(folder: Path) -> bool:
    """Whether the database is damaged, as far as SQLite does not say so itself."""
    path = folder / _NAMES[0]
    there = path.exists()
    if (folder / _MARK).exists() or _is_cut_off(folder):
        return True
    if _size(path) < _LEAST:
        # SQLite takes a file of no octet or of one for a new database, and removes the log.
        return there or _size(folder / _NAMES[1]) > 0
    return _size(folder / _NAMES[1]) > 0 and _hides_frames(folder)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_cut_off(folder: Path) -> bool:
    """Whether the log is shorter than its index says, which the last process left behind."""
    frames, size = _read_index(folder)
    return _size(folder / _NAMES[1]) < wal.end_of(frames, size)


def _read_index(folder: Path) -> tuple[int, int]:
    try:
        with (folder / _NAMES[2]).open("rb") as file:
            return wal.read_index(file.read(_INDEX_HEAD))
    except FileNotFoundError:
        return 0, 0


def _hides_frames(folder: Path) -> bool:
    """Whether committed changes stand in the log behind the place where SQLite ends reading it."""
    uri = f"file:{quote(str(folder / _NAMES[0]))}?mode=ro"  # it does not fold the log into the database
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.execute("PRAGMA user_version").fetchone()
            read, _ = _read_index(folder)
    except sqlite3.DatabaseError:
        return False  # whoever opens it is told
    octets = (folder / _NAMES[1]).read_bytes()
    return wal.count_committed(octets) > read


def salvage(folder: Path) -> Recovered:
    """Make a new database of what the damaged one still tells. Blocks.

    Content whose message is lost goes into `orphaned/`, for a person.

    Raises:
        OSError: the folder cannot be written.
        sqlite3.Error: the new database cannot be.
    """
    log.error("the database is damaged: what can be read goes into a new one")
    cut = _is_cut_off(folder)
    kept = _keep(folder)
    making = folder / f"{_READY}.tmp"
    making.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(making, isolation_level=None)) as new, _opened(kept) as opened:
        pages, broken = opened
        _prepare(new)
        rebuilt = rebuild(pages, new, stale=broken, cut=cut)
        found = Recovered(kept, rebuilt.messages, rebuilt.lost, rebuilt.held, rebuilt.complete)
        _put_aside(new, folder / "orphaned")
    flush(making)
    making.rename(folder / _READY)
    flush(folder)
    finish(folder)
    log.error(
        "the database was salvaged",
        what=str(found),
        lost=found.lost,
        held=found.held,
        complete=found.complete,
    )
    return found


@contextlib.contextmanager
def _opened(kept: Path) -> Iterator[tuple[Pages, bool]]:
    """The pages of the old database; and whether older octets may stand for some of them."""
    log_path, path = kept / _NAMES[1], kept / _NAMES[0]
    octets = log_path.read_bytes() if log_path.exists() else b""
    if not _size(path):
        frames = wal.read_log(octets)
        yield Pages(b"", frames.pages), frames.broken > 0
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        frames = wal.read_log(octets, find_page_size(mapped[:_FILE_HEAD]))
        yield Pages(mapped, frames.pages), frames.broken > 0


def _prepare(new: sqlite3.Connection) -> None:
    new.execute("PRAGMA journal_mode = DELETE")
    new.execute("PRAGMA synchronous = FULL")
    for number, script in enumerate(MIGRATIONS, start=1):
        new.executescript(f"{script}; PRAGMA user_version = {number};")


def copy(connection: sqlite3.Connection, folder: Path) -> None:
    """Write all that a connection has open into the folder, to be put in its place by `finish`. Blocks.

    Raises:
        OSError, sqlite3.Error: it cannot be written, or read.
    """
    making = folder / f"{_READY}.tmp"
    making.unlink(missing_ok=True)
    connection.execute("VACUUM INTO ?", (str(making),))
    making.chmod(0o600)
    flush(making)
    making.rename(folder / _READY)
    flush(folder)


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


def _put_aside(new: sqlite3.Connection, folder: Path) -> None:
    nobody = "FROM content WHERE queue_id NOT IN (SELECT queue_id FROM message)"
    for queue_id, data in new.execute(f"SELECT queue_id, data {nobody}"):
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / Path(queue_id).name
        path.touch(mode=0o600)
        path.write_bytes(data)
    new.execute(f"DELETE {nobody}")
