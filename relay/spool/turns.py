"""Which message is next: ranks, leases and due times of the SQLite spool.

Runs in the writer's thread, but for the few attributes that the event loop reads. Leases are kept in
memory, because the lock file gives the spool to one process.
"""

import sqlite3
from collections.abc import Collection
from typing import Any

from relay.spool.fairness import Ranks
from relay.spool.fresh import Fresh
from relay.spool.rows import COLUMNS

# Delayed messages made queued in one commit: an outage's whole backlog at once would hold up the door.
_MOST_PROMOTED = 200
# The index is named where a million rows may wait: without statistics SQLite may choose another.
_FIRST_DUE = "SELECT MIN(next_attempt) FROM message INDEXED BY message_due WHERE state = 'delayed'"


class Turns:
    """Hands out messages, each to one claim at a time."""

    def __init__(self) -> None:
        self._ranks = Ranks()
        self._fresh = Fresh()
        self.claimed: set[str] = set()
        self.due: float | None = None  # when the first delayed message is due, seconds since the epoch

    def load(self, c: sqlite3.Connection) -> None:
        """Begin where the last owner ended."""
        # From account to account by the index: with a million waiting, DISTINCT would read them all.
        step = (
            "SELECT account, rank FROM message INDEXED BY message_turn"
            " WHERE state = 'queued' AND account > ?"
            " ORDER BY account, rank LIMIT 1"
        )
        lowest, first = [], c.execute(step, ("",)).fetchone()
        while first is not None:
            lowest.append(first[1])
            first = c.execute(step, first[:1]).fetchone()
        self._ranks.serve(min(lowest, default=0.0))
        self.look_ahead(c)

    def look_ahead(self, c: sqlite3.Connection) -> None:
        """Learn when the next delayed message is due."""
        self.due = c.execute(_FIRST_DUE).fetchone()[0]

    def plan(self, due: float) -> None:
        """A message was delayed until then."""
        self.due = due if self.due is None else min(self.due, due)

    def rank(self, c: sqlite3.Connection, line: str, priority: str) -> float:
        """The rank of this line's next message."""

        def look_up() -> float:
            query = (
                "SELECT MAX(rank) FROM message INDEXED BY message_source"
                " WHERE state = 'queued' AND source = ?"
            )
            return c.execute(query, (line,)).fetchone()[0] or 0.0

        return self._ranks.rank(line, priority, look_up)

    def promote(self, c: sqlite3.Connection, now: float) -> None:
        """Make queued what is due, in the order in which it was, each with a new rank."""
        due = c.execute(
            "SELECT queue_id FROM message INDEXED BY message_due"
            " WHERE state = 'delayed' AND next_attempt <= ? ORDER BY next_attempt LIMIT ?",
            (now, _MOST_PROMOTED),
        )
        for (queue_id,) in due.fetchall():
            self.enqueue(c, queue_id)
        self.look_ahead(c)

    def enqueue(self, c: sqlite3.Connection, queue_id: str) -> None:
        """Give a message a turn of its own among those who arrive now."""
        query = "SELECT source, account FROM message WHERE queue_id = ?"
        line, account = c.execute(query, (queue_id,)).fetchone()
        self._fresh.doubt(account)
        # A line other than the normal one begins with its priority's name (Envelope.line).
        rank = self.rank(c, line, line.partition(" ")[0])
        change = "UPDATE message SET state = 'queued', next_attempt = 0, rank = ? WHERE queue_id = ?"
        c.execute(change, (rank, queue_id))

    def next(self, c: sqlite3.Connection, accounts: Collection[str]) -> str | None:
        """Claim the message of the lowest rank; its queue id."""
        # What is claimed and not started stands in the index still; there is little of it.
        most = len(self.claimed) + 1
        query = (
            "SELECT rank, queue_id FROM message INDEXED BY message_turn"
            " WHERE state = 'queued' AND account = ? ORDER BY rank LIMIT ?"
        )
        doubts = self._fresh.doubts
        best: tuple[float, str] | None = None
        for account in accounts:
            waiting = (row for row in c.execute(query, (account, most)) if row[1] not in self.claimed)
            first = next(waiting, None)
            if first is None:
                self._fresh.trust(account, doubts)
            else:
                best = first if best is None else min(best, first)
        if best is None:
            return None
        self._ranks.serve(best[0])
        self.claimed.add(best[1])
        return best[1]

    def put(self, account: str, rank: float, queue_id: str) -> None:
        """A message was put and committed; called in the event loop."""
        if queue_id not in self.claimed:
            self._fresh.add(account, rank, queue_id)

    def give_back(self, queue_id: str, account: str) -> None:
        """A claim is over, or was given up; called in the event loop."""
        self.claimed.discard(queue_id)
        self.doubt(account)

    def doubt(self, account: str) -> None:
        """Look at the table before the next claim of this account."""
        self._fresh.doubt(account)

    def doubt_all(self) -> None:
        """Look at the table before the next claim of any account."""
        self._fresh.doubt_all()

    def next_fresh(self, accounts: Collection[str]) -> tuple[bool, str | None]:
        """Whether the table need not be asked; and if so, the message that is claimed now, if there is one.

        Called in the event loop.
        """
        known, best = self._fresh.pop(accounts)
        while best is not None and best[1] in self.claimed:
            known, best = self._fresh.pop(accounts)
        if best is None:
            return known, None
        self._ranks.serve(best[0])
        self.claimed.add(best[1])
        return True, best[1]


def find(c: sqlite3.Connection, queue_id: str) -> tuple[Any, ...] | None:
    """A message's row, as COLUMNS names it."""
    query = f"SELECT {COLUMNS} FROM message WHERE queue_id = ?"  # noqa: S608
    row: tuple[Any, ...] | None = c.execute(query, (queue_id,)).fetchone()
    return row
