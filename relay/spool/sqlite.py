"""The spool of one node: SQLite in WAL mode, one writing connection, large content in files.

A claim is kept in memory, because the lock file gives the spool to one process; what a crash must
not forget is written by `start`, `record` and `settle`.
"""

import asyncio
import fcntl
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from relay.envelope import Content, ContentWriter, Submission
from relay.outcome import Action, Blame, Outcome
from relay.spool import (
    WAITING,
    Attempt,
    Claim,
    Entry,
    NoSuchMessage,
    Past,
    Settlement,
    SpoolError,
    SpoolLocked,
    State,
)
from relay.spool.fairness import Ranks
from relay.spool.files import Files, translate
from relay.spool.rows import (
    COLUMNS,
    dump_envelope,
    dump_losses,
    dump_outcome,
    load_attempt,
    load_entry,
    load_past,
)
from relay.spool.schema import migrate
from relay.spool.writer import Writer

T = TypeVar("T")
# Crockford's alphabet: no I, L, O, U to misread over the telephone.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Forgetting more at once would keep everybody else waiting.
_MOST_PURGED = 500
_INTERRUPTED = Outcome(
    Action.UNKNOWN, "4.4.2", Blame.GATEWAY, "the relay was interrupted while it was sending"
)


class SqliteSpool:
    """The contract of `relay.spool`, on one SQLite database in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = Files(folder)
        self._writer = Writer(folder / "spool.db")
        self._ranks = Ranks()
        self._claimed: set[str] = set()
        self._lock_fd = -1

    def exists(self) -> bool:
        """Whether there is a spool in the folder already."""
        return (self._folder / "spool.db").exists()

    async def open(self) -> None:
        """Take the spool, bring its tables up to date, and mark interrupted attempts as unknown.

        Raises:
            SpoolLocked: another process has it.
            SpoolError: it cannot be opened or made.
        """
        await asyncio.to_thread(self._prepare_folder)
        try:
            await self._writer.start(self._prepare)
        except BaseException:
            self._unlock()
            raise

    def _prepare_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise translate(error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise SpoolLocked(f"another relay is using {self._folder}") from None
        self._lock_fd = fd
        try:
            self._files.prepare()
        except SpoolError:
            self._unlock()
            raise

    def _unlock(self) -> None:
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        # 250 promises that the mail survives a power cut (RFC 5321 §6.1). In WAL mode NORMAL may lose
        # the last commits; FULL does not.
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection)
        connection.execute("BEGIN IMMEDIATE")
        _settle_interrupted(connection)
        (lowest,) = connection.execute("SELECT MIN(rank) FROM message WHERE state = 'queued'").fetchone()
        self._ranks.serve(lowest or 0.0)
        connection.execute("COMMIT")

    async def close(self) -> None:
        """Finish what was asked for and let go."""
        await self._writer.stop()
        self._unlock()

    def writer(self) -> ContentWriter:
        """Where a session's content flows."""
        return self._files.writer()

    async def _run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        # The operation is committed whether or not whoever waits is cancelled.
        return await asyncio.shield(self._writer.run(operation))

    async def put(self, submission: Submission, account: str) -> str:
        """Keep a message: file, then row, both flushed.

        Raises:
            SpoolFull: there is no room; nothing is kept.
            SpoolError: nothing is kept.
        """
        queue_id = _new_id()
        content = submission.content
        if content.path is not None:
            content = await asyncio.to_thread(self._files.keep, content, queue_id)
        envelope = submission.envelope
        try:
            await self._run(lambda c: self._insert(c, queue_id, Submission(envelope, content), account))
        except SpoolError:
            content.discard()
            raise
        return queue_id

    def _insert(self, c: sqlite3.Connection, queue_id: str, submission: Submission, account: str) -> None:
        envelope, content = submission.envelope, submission.content
        source = envelope.line
        if not self._ranks.known(source):
            query = "SELECT MAX(rank) FROM message WHERE state = 'queued' AND source = ?"
            self._ranks.remember(source, c.execute(query, (source,)).fetchone()[0] or 0.0)
        c.execute(
            "INSERT INTO message VALUES (?, 'queued', ?, ?, ?, ?, 0, 0, 0, ?, ?, ?, ?, '', '', '[]')",
            (
                queue_id,
                account,
                source,
                self._ranks.rank(source, envelope.priority),
                envelope.arrival_date.timestamp(),
                dump_envelope(envelope),
                content.size,
                content.sha256,
                int(content.path is not None),
            ),
        )
        if content.path is None:
            c.execute("INSERT INTO content VALUES (?, ?)", (queue_id, content.data or b""))

    async def claim(self, accounts: Collection[str], now: float) -> Claim | None:
        """Lease the message whose turn it is."""
        return await self._run(lambda c: self._claim(c, accounts, now))

    def _claim(self, c: sqlite3.Connection, accounts: Collection[str], now: float) -> Claim | None:
        best: tuple[Any, ...] | None = None
        for account in accounts:
            c.execute(
                "UPDATE message SET state = 'queued'"
                " WHERE state = 'delayed' AND account = ? AND next_attempt <= ?",
                (account, now),
            )
            rows = c.execute(
                f"SELECT rank, {COLUMNS} FROM message WHERE state = 'queued' AND account = ?"  # noqa: S608
                " ORDER BY rank LIMIT ?",
                (account, len(self._claimed) + 1),
            )
            first = next((row for row in rows if row[1] not in self._claimed), None)
            if first is not None and (best is None or first[0] < best[0]):
                best = first
        if best is None:
            return None
        self._ranks.serve(best[0])
        entry = load_entry(c, best[1:])
        self._claimed.add(entry.queue_id)
        return Claim(entry, self._content(c, entry, in_file=bool(best[-1])), entry.attempts + 1)

    def _content(self, c: sqlite3.Connection, entry: Entry, *, in_file: bool) -> Content:
        if in_file:
            return Content(entry.size, entry.sha256, path=self._files.path(entry.queue_id))
        row = c.execute("SELECT data FROM content WHERE queue_id = ?", (entry.queue_id,)).fetchone()
        return Content(entry.size, entry.sha256, data=row[0] if row else b"")

    async def next_due(self, accounts: Collection[str]) -> float | None:
        """When the next delayed message of these accounts is due."""

        def read(c: sqlite3.Connection) -> float | None:
            query = "SELECT MIN(next_attempt) FROM message WHERE state = 'delayed' AND account = ?"
            found = [c.execute(query, (account,)).fetchone()[0] for account in accounts]
            return min((due for due in found if due is not None), default=None)

        return await self._run(read)

    async def start(self, claim: Claim, request: int, recipients: Sequence[str]) -> None:
        """Record durably that this request is about to be sent."""

        def write(c: sqlite3.Connection) -> None:
            queue_id = claim.entry.queue_id
            c.execute("UPDATE message SET state = 'sending' WHERE queue_id = ?", (queue_id,))
            c.execute(
                "INSERT OR REPLACE INTO request VALUES (?, ?, ?, ?, ?, NULL, NULL)",
                (queue_id, request, claim.attempt, json.dumps(list(recipients)), time.time()),
            )

        await self._run(write)

    async def record(self, claim: Claim, request: int, outcome: Outcome) -> None:
        """Record durably how this request ended."""
        await self._run(lambda c: _end_request(c, claim, request, outcome))

    async def settle(
        self, claim: Claim, settlement: Settlement, ended: tuple[int, Outcome] | None = None
    ) -> None:
        """End the claim; content that nobody needs any more goes with it."""
        queue_id = claim.entry.queue_id
        done = settlement.state in (State.RELAYED, State.DISCARDED)
        outcome = settlement.outcome

        def write(c: sqlite3.Connection) -> None:
            if ended is not None:
                _end_request(c, claim, *ended)
            c.execute(
                "UPDATE message SET state = ?, next_attempt = ?, attempts = attempts + ?,"
                " unknowns = unknowns + ?, status = ?, reason = ?, losses = ? WHERE queue_id = ?",
                (
                    settlement.state,
                    settlement.next_attempt,
                    int(settlement.spent),
                    int(outcome.action is Action.UNKNOWN),
                    outcome.status,
                    outcome.reason,
                    dump_losses(settlement.losses),
                    queue_id,
                ),
            )
            if done:
                c.execute("DELETE FROM content WHERE queue_id = ?", (queue_id,))

        await self._run(write)
        self._claimed.discard(queue_id)
        if done and claim.content.path is not None:
            await asyncio.to_thread(claim.content.discard)

    async def abandon(self, claim: Claim) -> None:
        """Forget the claim; nothing was started under it."""
        self._claimed.discard(claim.entry.queue_id)

    async def counts(self) -> dict[State, int]:
        """How many messages are in each state."""

        def read(c: sqlite3.Connection) -> dict[State, int]:
            rows = c.execute("SELECT state, COUNT(*) FROM message GROUP BY state")
            return {**dict.fromkeys(State, 0), **{State(state): n for state, n in rows}}

        return await self._run(read)

    async def list(self, states: Collection[State], limit: int, *, newest: bool = False) -> list[Entry]:
        """Messages in these states, by arrival."""
        marks = ", ".join("?" * len(states))
        order = "DESC" if newest else "ASC"
        query = f"SELECT {COLUMNS} FROM message WHERE state IN ({marks}) ORDER BY arrival {order} LIMIT ?"  # noqa: S608

        def read(c: sqlite3.Connection) -> list[Entry]:
            return [load_entry(c, row) for row in c.execute(query, (*states, limit)).fetchall()]

        return await self._run(read)

    async def show(self, queue_id: str) -> Entry:
        """One message.

        Raises:
            NoSuchMessage: there is none of this id.
        """

        def read(c: sqlite3.Connection) -> Entry:
            query = f"SELECT {COLUMNS} FROM message WHERE queue_id = ?"  # noqa: S608
            row = c.execute(query, (queue_id,)).fetchone()
            if row is None:
                raise NoSuchMessage(f"no message has the id {queue_id}")
            return load_entry(c, row)

        return await self._run(read)

    async def retry(self, queue_id: str) -> None:
        """Make a delayed, held or failed message queued again.

        Raises:
            NoSuchMessage: there is none of this id in such a state.
        """
        await self._change(queue_id, (State.DELAYED, State.HELD, State.FAILED), State.QUEUED)

    async def discard(self, queue_id: str) -> None:
        """Throw a message away, with its content.

        Raises:
            NoSuchMessage: there is none of this id, or it is being sent.
        """
        if queue_id in self._claimed:
            raise NoSuchMessage(f"{queue_id} is being sent at this moment")
        states = tuple(state for state in (*WAITING, State.FAILED) if state is not State.SENDING)
        await self._change(queue_id, states, State.DISCARDED)
        await asyncio.to_thread(self._files.remove, queue_id)

    async def hold(self, queue_id: str) -> None:
        """Let a message wait for a person.

        Raises:
            NoSuchMessage: there is none of this id that waits, or it is being sent.
        """
        if queue_id in self._claimed:
            raise NoSuchMessage(f"{queue_id} is being sent at this moment")
        await self._change(queue_id, (State.QUEUED, State.DELAYED), State.HELD)

    async def release(self, queue_id: str) -> None:
        """Make a held message queued again.

        Raises:
            NoSuchMessage: there is none of this id that is held.
        """
        await self._change(queue_id, (State.HELD,), State.QUEUED)

    async def attempts(self, queue_id: str) -> Sequence[Attempt]:
        """Every request that was made for a message, oldest first."""

        def read(c: sqlite3.Connection) -> Sequence[Attempt]:
            query = (
                "SELECT attempt, number, recipients, started, ended, outcome FROM request"
                " WHERE queue_id = ? ORDER BY attempt, number"
            )
            return [load_attempt(row) for row in c.execute(query, (queue_id,))]

        return await self._run(read)

    async def history(self, since: float) -> Sequence[Past]:
        """The requests that were started after `since`, oldest first."""

        def read(c: sqlite3.Connection) -> Sequence[Past]:
            query = (
                "SELECT request.started, message.account, request.recipients, request.outcome"
                " FROM request JOIN message USING (queue_id) WHERE request.started > ?"
                " ORDER BY request.started"
            )
            return [load_past(row) for row in c.execute(query, (since,))]

        return await self._run(read)

    async def backlog(self, most: int) -> Mapping[tuple[str, str], int]:
        """How many messages are queued, by account and source."""

        def read(c: sqlite3.Connection) -> Mapping[tuple[str, str], int]:
            query = (
                "SELECT account, source, COUNT(*) FROM"
                " (SELECT account, source FROM message WHERE state = 'queued' LIMIT ?)"
                " GROUP BY account, source"
            )
            return {(account, source): n for account, source, n in c.execute(query, (most,))}

        return await self._run(read)

    async def purge(self, relayed_before: float, failed_before: float) -> int:
        """Forget messages that arrived before."""

        def write(c: sqlite3.Connection) -> Sequence[str]:
            rows = c.execute(
                "SELECT queue_id FROM message WHERE state IN ('relayed', 'discarded') AND arrival < ?"
                " UNION ALL SELECT queue_id FROM message WHERE state = 'failed' AND arrival < ? LIMIT ?",
                (relayed_before, failed_before, _MOST_PURGED),
            )
            ids = [row[0] for row in rows if row[0] not in self._claimed]
            for table in ("message", "content", "request"):
                c.executemany(f"DELETE FROM {table} WHERE queue_id = ?", [(i,) for i in ids])  # noqa: S608
            return ids

        ids = await self._run(write)
        for queue_id in ids:
            await asyncio.to_thread(self._files.remove, queue_id)
        return len(ids)

    async def _change(self, queue_id: str, states: Sequence[State], state: State) -> None:
        def write(c: sqlite3.Connection) -> None:
            marks = ", ".join("?" * len(states))
            changed = c.execute(
                f"UPDATE message SET state = ?, next_attempt = 0 WHERE queue_id = ? AND state IN ({marks})",  # noqa: S608
                (state, queue_id, *states),
            )
            if not changed.rowcount:
                raise NoSuchMessage(f"no message {queue_id} is {' or '.join(states)}")
            if state is State.DISCARDED:
                c.execute("DELETE FROM content WHERE queue_id = ?", (queue_id,))

        await self._run(write)


def _end_request(c: sqlite3.Connection, claim: Claim, request: int, outcome: Outcome) -> None:
    c.execute(
        "UPDATE request SET ended = ?, outcome = ? WHERE queue_id = ? AND number = ? AND attempt = ?",
        (time.time(), dump_outcome(outcome), claim.entry.queue_id, request, claim.attempt),
    )


def _settle_interrupted(c: sqlite3.Connection) -> None:
    # Started and not ended: whether Works has it, nobody knows.
    ended = (time.time(), dump_outcome(_INTERRUPTED))
    c.execute("UPDATE request SET ended = ?, outcome = ? WHERE ended IS NULL", ended)
    c.execute(
        "UPDATE message SET state = 'delayed', next_attempt = 0, attempts = attempts + 1,"
        " unknowns = unknowns + 1, status = ?, reason = ? WHERE state = 'sending'",
        (_INTERRUPTED.status, _INTERRUPTED.reason),
    )


def _new_id() -> str:
    number = (int(time.time() * 1000) << 15) | secrets.randbits(15)
    text = ""
    while number:
        number, digit = divmod(number, 32)
        text = _ALPHABET[digit] + text
    return text
