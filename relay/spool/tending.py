"""What the spool does by the side: content held against rows, old things removed, the clock watched.

Nothing of it is needed for a message to be taken or sent, so it begins after listening and works in
small pieces. Nothing is deleted before the check of its row is done.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Container, Iterable
from itertools import islice

import structlog

from relay.spool import SpoolError
from relay.spool.files import Files
from relay.spool.reader import Reader
from relay.spool.turns import Turns
from relay.spool.verbs import look_at_clock
from relay.spool.writer import Writer

log = structlog.get_logger("spool")
_PIECE = 500  # rows or files at a time
_BREATH = 0.01  # seconds between two pieces
_ROUND = 3600.0  # seconds from one removal of old things to the next
_TICK = 60.0  # seconds from one note of the time to the next
SetAside = Callable[[str, str], Awaitable[None]]


class Tending:
    """The spool's housekeeping, on the spool's own connections."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        files: Files,
        keeping: Container[str],
        report: Callable[[str, str], None],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._files = files
        self._keeping = keeping
        self._report = report

    async def run(self, set_aside: SetAside, forget: Callable[[], Awaitable[None]]) -> None:
        """Check once, then have what is old forgotten, for ever."""
        await self._patiently(lambda: self.check(set_aside))
        while True:
            await self._patiently(forget)
            next_round = time.monotonic() + _ROUND
            while time.monotonic() < next_round:
                await asyncio.sleep(_TICK)
                await self._patiently(self._note_time)

    async def _patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (SpoolError, OSError) as error:
            log.warning("the spool cannot be tended now", reason=str(error))

    async def _note_time(self) -> None:
        await self._writer.write(mark_time)

    async def check(self, set_aside: SetAside) -> None:
        """Hold files against rows and rows against files."""
        names = await asyncio.to_thread(lambda: set(self._files.kept()))
        orphans = 0
        for piece in _pieces(names):
            orphans += await self._dismiss([name for name in piece if name not in self._keeping])
        missing = await self._find_missing()
        for queue_id in missing:
            await set_aside(queue_id, "its content file is missing")
        log.info("spool checked", files=len(names), orphans=orphans, missing=len(missing))

    async def _dismiss(self, names: list[str]) -> int:
        """Remove files that no waiting row knows."""

        def read(c: sqlite3.Connection) -> tuple[set[str], float]:
            marks = ", ".join("?" * len(names))
            query = (
                f"SELECT queue_id FROM message WHERE queue_id IN ({marks})"  # noqa: S608
                " AND state NOT IN ('relayed', 'discarded')"
            )
            (made,) = c.execute("SELECT value FROM mark WHERE name = 'made'").fetchone()
            return {row[0] for row in c.execute(query, names)}, made

        known, made = await self._reader.read(read)
        orphans = [name for name in names if name not in known]
        for name in orphans:
            aside = await asyncio.to_thread(self._files.dismiss, name, made)
            if aside:
                log.error("content without a row put aside: the database is newer", file=f"orphaned/{name}")
                self._report(name, "its file is older than the database and has no row: see spool/orphaned")
            else:
                log.info("content without a row removed: it was never accepted", queue_id=name)
        await asyncio.sleep(_BREATH)
        return len(orphans)

    async def _find_missing(self) -> list[str]:
        """The waiting rows whose file is not there."""
        missing: list[str] = []
        last = ""
        query = (
            "SELECT queue_id FROM message WHERE queue_id > ? AND file = 1"
            " AND state IN ('queued', 'delayed', 'held', 'failed') ORDER BY queue_id LIMIT ?"
        )
        while True:
            found = await self._reader.read(
                lambda c, after=last: [row[0] for row in c.execute(query, (after, _PIECE))]  # type: ignore[misc]
            )
            if not found:
                return missing
            last = found[-1]
            missing += await asyncio.to_thread(
                lambda ids=found: [one for one in ids if not self._files.path(one).exists()]  # type: ignore[misc]
            )
            await asyncio.sleep(_BREATH)


def _pieces(names: Iterable[str]) -> Iterable[list[str]]:
    left = iter(names)
    while piece := list(islice(left, _PIECE)):
        yield piece


def mark_time(c: sqlite3.Connection) -> None:
    """Note the time, by which the next start sees that the clock was set back."""
    c.execute("INSERT OR REPLACE INTO mark VALUES ('time', now())")


def begin_time(c: sqlite3.Connection, turns: Turns) -> None:
    """At a start: note when the database was made, and plan anew if the clock was set back meanwhile."""
    now = look_at_clock(c)
    try:
        c.execute("INSERT OR IGNORE INTO mark VALUES ('made', ?)", (now - 1.0,))
        _catch_up(c, now, turns)
    except sqlite3.OperationalError as error:
        # There is no room: nothing of it is needed to say so at the door. The next hour's note catches up.
        if c.execute("SELECT 1 FROM mark WHERE name = 'made'").fetchone() is None:
            raise
        log.warning("the time of the start cannot be noted", reason=str(error))


def _catch_up(c: sqlite3.Connection, now: float, turns: Turns) -> None:
    row = c.execute("SELECT value FROM mark WHERE name = 'time'").fetchone()
    if row is not None and row[0] > now + _TICK:
        shift(c, now - row[0], turns)
    mark_time(c)


def shift(c: sqlite3.Connection, seconds: float, turns: Turns) -> None:
    """The clock was set by so many seconds: what was planned for then is due as long from now as before."""
    c.execute("UPDATE message SET next_attempt = next_attempt + ? WHERE state = 'delayed'", (seconds,))
    # Nothing is given up earlier or later because of a clock.
    waiting = "('queued', 'sending', 'delayed', 'held')"
    c.execute(f"UPDATE message SET since = since + ? WHERE state IN {waiting}", (seconds,))  # noqa: S608
    turns.look_ahead(c)
