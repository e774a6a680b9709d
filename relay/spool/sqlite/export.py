"""An embedded spool on its way to a database: read piece by piece, and put aside when all of it is there.

A mark in the folder keeps every relay from opening it from the first moment on: what is in both places would
be sent twice. Whoever is killed in between begins again and passes over what has been moved.
"""

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from relay.envelope import Content
from relay.host import safeio
from relay.spool import GONE, SpoolError
from relay.spool.rows.codecs import COLUMNS, FILE, Damaged, judge
from relay.spool.sqlite.database import read_text
from relay.spool.sqlite.files import translate
from relay.spool.sqlite.ownership import MOVING, Ownership

_PIECE = 100  # messages
_MORE = "source, claim"  # of a message, beside COLUMNS
_REQUESTS = "queue_id, number, attempt, recipients, started, ended, outcome, claim"


@dataclass(frozen=True, slots=True)
class Exported:
    """All that is known of one message; the rows as they are stored."""

    row: dict[str, Any]  # by the names of the table's columns
    content: Content | None  # None: it is over, and no content is kept
    requests: tuple[tuple[Any, ...], ...]
    events: tuple[tuple[Any, ...], ...]
    fingerprint: str  # "": its reply was heard


class Export:
    """The embedded spool in `folder`, this process's own until it is released. Every method blocks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ownership = Ownership(folder)
        self._connection: sqlite3.Connection | None = None
        self.damaged: list[str] = []  # queue ids that stay where they are, for a person

    @property
    def is_begun(self) -> bool:
        """Whether it is on its way already."""
        return (self._folder / MOVING).exists()

    def take(self) -> None:
        """Mark and lock the folder, whose tables are up to date, and open the database.

        Raises:
            SpoolLocked: a relay is using it.
            SpoolError: it cannot be opened.
        """
        self._ownership.take(moving=True)
        try:
            (self._folder / MOVING).touch(mode=0o600)
            safeio.flush(self._folder)
            uri = f"file:{quote(str(self._folder / 'spool.db'))}?mode=rw"
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            self._connection.text_factory = read_text
        except (OSError, sqlite3.Error) as error:
            self.release()
            raise translate(error) if isinstance(error, OSError) else SpoolError(str(error)) from error

    def release(self) -> None:
        """Let go of it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._ownership.release()

    def put_aside(self) -> Path:
        """All of it was moved: keep the folder under another name; where it lies. Raises SpoolError."""
        aside = self._folder.with_name(time.strftime("spool.moved-%Y%m%dT%H%M%SZ", time.gmtime()))
        try:
            self._folder.rename(aside)
            safeio.flush(self._folder.parent)
        except OSError as error:
            raise translate(error) from error
        return aside

    def pieces(self) -> Iterator[list[Exported]]:
        """Its messages, oldest first. Raises SpoolError."""
        assert self._connection is not None  # noqa: S101 - it was taken
        query = f"SELECT {_MORE}, {COLUMNS} FROM message WHERE queue_id > ? ORDER BY queue_id LIMIT ?"  # noqa: S608
        last = ""
        try:
            while rows := self._connection.execute(query, (last, _PIECE)).fetchall():
                last = rows[-1][2]
                yield [one for row in rows if (one := self._export(row)) is not None]
        except sqlite3.Error as error:
            raise SpoolError(f"the embedded spool cannot be read: {error}") from error

    def _export(self, row: tuple[Any, ...]) -> Exported | None:
        source, claim, *values = row
        queue_id = str(values[0])
        try:
            judge(values)
            names = COLUMNS.split(", ")
            named = {**dict(zip(names, values, strict=True)), "flow": source, "claim": claim}
            content = None if named["state"] in GONE else self._load_content(values)
            return Exported(
                named,
                content,
                self._read(_REQUESTS, "request", queue_id, "serial"),
                self._read("queue_id, at, event, detail", "event", queue_id, "number"),
                "".join(one for (one,) in self._read("fingerprint", "unheard", queue_id, "arrival")),
            )
        except Damaged:
            self.damaged.append(queue_id)
            return None

    def _read(self, columns: str, table: str, queue_id: str, order: str) -> tuple[tuple[Any, ...], ...]:
        assert self._connection is not None  # noqa: S101 - it was taken
        query = f"SELECT {columns} FROM {table} WHERE queue_id = ? ORDER BY {order}"  # noqa: S608
        return tuple(self._connection.execute(query, (queue_id,)))

    def _load_content(self, row: list[Any]) -> Content:
        queue_id, size, sha256 = row[0], row[4], row[5]
        if not row[FILE]:
            found = self._read("data", "content", queue_id, "queue_id")
            content = Content(size, sha256, data=found[0][0] if found else None)
        else:
            content = Content(size, sha256, path=self._folder / "content" / queue_id)
        digest = None
        with contextlib.suppress(OSError), content.map() as octets:
            digest = hashlib.sha256(octets).hexdigest()
        if digest != sha256:
            raise Damaged("its content is not what was written")
        return content
