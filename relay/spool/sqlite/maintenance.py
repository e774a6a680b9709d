"""What the spool does by the side: rows and content checked, old things removed, the clock watched.

Nothing of it is needed for a message to be taken or sent, so it begins after listening and works in
small pieces. Nothing is deleted before the check of its row is done.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Any

import structlog

from relay.spool import SpoolError, State
from relay.spool.rows.codecs import BEYOND_TIME, COLUMNS, FILE, Damaged, judge
from relay.spool.sqlite.database import NO_ROOM, code_of
from relay.spool.sqlite.files import Files
from relay.spool.sqlite.reader import Reader
from relay.spool.sqlite.scheduler import BEYOND_RANK, Scheduler
from relay.spool.sqlite.statements import look_at_clock

log = structlog.get_logger("spool")
_PIECE = 500  # rows or files at a time
_BREATH = 0.01  # seconds between two pieces
_ROUND = 3600.0  # seconds from one removal of old things to the next
_TICK = 60.0  # seconds from one note of the time to the next
SetAside = Callable[[str, str], Awaitable[None]]


class Maintenance:
    """The spool's housekeeping, on the spool's own connections."""

    def __init__(
        self,
        reader: Reader,
        files: Files,
        report: Callable[[str, str], None],
    ) -> None:
        self._reader = reader
        self._files = files
        self._report = report
        self._damaged: set[str] = set()  # found by an earlier look

    async def run(
        self,
        set_aside: SetAside,
        forget: Callable[[], Awaitable[None]],
        note_time: Callable[[], Awaitable[None]],
    ) -> None:
        """Check, then have what is old forgotten and look at the rows again, for ever."""
        await self._patiently(lambda: self.check(set_aside))
        while True:
            await self._patiently(forget)
            next_round = time.monotonic() + _ROUND
            while time.monotonic() < next_round:
                await asyncio.sleep(_TICK)
                await self._patiently(note_time)
            await self._patiently(lambda: self._check_rows(set_aside))

    async def _patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (SpoolError, OSError) as error:
            log.warning("the spool cannot be tended now", reason=str(error))

    async def check(self, set_aside: SetAside) -> None:
        """Hold files against rows and rows against files."""
        names = await asyncio.to_thread(lambda: set(self._files.kept()))
        orphans = 0
        for piece in _pieces(names):
            orphans += await self._dismiss([name for name in piece if name not in self._files.keeping])
        await self._check_rows(set_aside)
        log.info("spool checked", files=len(names), orphans=orphans, damaged=len(self._damaged))

    async def _dismiss(self, names: list[str]) -> int:
        """Remove files that no waiting row knows."""

        def read(c: sqlite3.Connection) -> tuple[set[str], float | None]:
            marks = ", ".join("?" * len(names))
            query = (
                f"SELECT queue_id FROM message WHERE queue_id IN ({marks})"  # noqa: S608
                " AND state NOT IN ('relayed', 'refused', 'discarded')"
            )
            return {row[0] for row in c.execute(query, names)}, _read_mark(c, "made")

        known, found = await self._reader.read(read)
        made = float("inf") if found is None else found  # not known: no file is old enough to be removed
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

    async def _check_rows(self, set_aside: SetAside) -> None:
        """Have set aside what is damaged, or whose file is missing.

        A claim finds damage too, but who has lost its state, its account or its time is never claimed.
        """
        last = ""
        while True:
            end, found = await self._reader.read(lambda c, after=last: self._judge_rows(c, after))  # type: ignore[misc]
            for queue_id, reason in found:
                if queue_id not in self._damaged:
                    self._damaged.add(queue_id)
                    await set_aside(queue_id, reason)
            if end <= last:
                return
            last = end
            await asyncio.sleep(_BREATH)

    def _judge_rows(self, c: sqlite3.Connection, after: str) -> tuple[str, list[tuple[str, str]]]:
        """The last queue id of the next rows, "" if there are none; and what is wrong with which of them."""
        query = (
            f"SELECT rank, {COLUMNS} FROM message WHERE queue_id > ?"  # noqa: S608
            # Not only the states that wait: one that is damaged is none of them.
            " AND state NOT IN ('sending', 'relayed', 'refused', 'discarded') ORDER BY queue_id LIMIT ?"
        )
        last, found = "", []
        for rank, *row in c.execute(query, (after, _PIECE)).fetchall():
            last = str(row[0])
            if reason := self._judge(rank, row):
                found.append((last, reason))
        return last, found

    def _judge(self, rank: object, row: list[Any]) -> str:
        try:
            judge(row)
        except Damaged as damage:
            return str(damage)
        if row[1] == State.QUEUED and (not isinstance(rank, int | float) or abs(rank) >= BEYOND_RANK):
            return "its place in the queue is impossible"
        return "its content file is missing" if row[FILE] and not self._files.path(row[0]).exists() else ""


def _pieces(names: Iterable[str]) -> Iterable[list[str]]:
    left = iter(names)
    while piece := list(islice(left, _PIECE)):
        yield piece


def mark_time(c: sqlite3.Connection) -> None:
    """Note the time, by which the next start sees that the clock was set back."""
    c.execute("INSERT OR REPLACE INTO mark VALUES ('time', now())")


def begin_time(c: sqlite3.Connection, scheduler: Scheduler) -> None:
    """At a start: note when the database was made, and plan anew if the clock was set back meanwhile."""
    now = look_at_clock(c)
    try:
        c.execute("INSERT OR IGNORE INTO mark VALUES ('made', ?)", (now - 1.0,))
        _catch_up(c, now, scheduler)
    except sqlite3.OperationalError as error:
        # Without room there is nobody to say so at the door otherwise. The next note of the time comes soon.
        if code_of(error) not in NO_ROOM:
            raise
        if c.execute("SELECT 1 FROM mark WHERE name = 'made'").fetchone() is None:
            raise
        log.warning("the time of the start cannot be noted", reason=str(error))


def _catch_up(c: sqlite3.Connection, now: float, scheduler: Scheduler) -> None:
    before = _read_mark(c, "time")
    if before is not None and before > now + _TICK:
        shift(c, now - before, scheduler)
    mark_time(c)


def _read_mark(c: sqlite3.Connection, name: str) -> float | None:
    query = "SELECT value FROM mark WHERE name = ? AND value < ?"  # what is no time was damaged
    row = c.execute(query, (name, BEYOND_TIME)).fetchone()
    return None if row is None else row[0]


def shift(c: sqlite3.Connection, seconds: float, scheduler: Scheduler) -> None:
    """The clock was set by so many seconds: what was planned for then is due as long from now as before."""
    c.execute("UPDATE message SET next_attempt = next_attempt + ? WHERE state = 'delayed'", (seconds,))
    # Nothing is given up earlier or later because of a clock.
    waiting = "('queued', 'sending', 'delayed', 'held')"
    c.execute(f"UPDATE message SET since = since + ? WHERE state IN {waiting}", (seconds,))  # noqa: S608
    scheduler.look_ahead(c)
