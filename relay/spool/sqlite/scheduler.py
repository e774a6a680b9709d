"""Which message is next: ranks, leases and due times of the SQLite spool.

Runs in the writer's thread, but for the few attributes that the event loop reads. Leases are kept in
memory, because the lock file gives the spool to one process.
"""

import secrets
import sqlite3
from collections.abc import Collection

from relay.spool.fairness import Ranks, Shares, Turn
from relay.spool.rows.codecs import BEYOND_TIME
from relay.spool.sqlite.entry_cache import EntryCache
from relay.spool.sqlite.ready_queue import ReadyQueue

# Delayed messages made queued in one commit: an outage's whole backlog at once would hold up the door.
_MOST_PROMOTED = 200
# The index is named where a million rows may wait: without statistics SQLite may choose another. A time or
# a rank that was damaged into text, or into something huge, is passed over here and found by the check.
_FIRST_DUE = (
    "SELECT MIN(next_attempt) FROM message INDEXED BY message_due"
    " WHERE state = 'delayed' AND next_attempt < ?"
)
BEYOND_RANK = 1e15  # no queue serves so many


class Scheduler:
    """Hands out messages, each to one claim at a time."""

    def __init__(self) -> None:
        self._ranks = Ranks()
        self._shares = Shares()
        self._fresh = ReadyQueue(self._shares.choose)
        self.claimed: dict[str, str] = {}  # queue id → the claim's token
        self.recent = EntryCache()
        self._epoch = secrets.token_hex(8)
        self._number = 0
        self.due: float | None = None  # when the first delayed message is due, seconds since the epoch

    def load(self, c: sqlite3.Connection) -> None:
        """Begin where the last owner ended."""
        # From account to account by the index: with a million waiting, DISTINCT would read them all.
        step = (
            "SELECT account, rank FROM message INDEXED BY message_turn"
            " WHERE state = 'queued' AND account > ? AND rank < ?"
            " ORDER BY account, rank LIMIT 1"
        )
        first = c.execute(step, ("", BEYOND_RANK)).fetchone()
        while first is not None:
            self._ranks.serve(*first)
            first = c.execute(step, (first[0], BEYOND_RANK)).fetchone()
        self.look_ahead(c)

    def look_ahead(self, c: sqlite3.Connection) -> None:
        """Learn when the next delayed message is due."""
        self.due = c.execute(_FIRST_DUE, (BEYOND_TIME,)).fetchone()[0]

    def plan(self, due: float) -> None:
        """A message was delayed until then."""
        self.due = due if self.due is None else min(self.due, due)

    def rank(self, c: sqlite3.Connection, account: str, line: str) -> float:
        """The rank of this line's next message of this account."""

        def look_up() -> float:
            query = (
                "SELECT MAX(rank) FROM message INDEXED BY message_line"
                " WHERE state = 'queued' AND account = ? AND source = ? AND rank < ?"
            )
            return c.execute(query, (account, line, BEYOND_RANK)).fetchone()[0] or 0.0

        return self._ranks.rank(account, line, look_up)

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
        rank = self.rank(c, account, line)
        change = "UPDATE message SET state = 'queued', next_attempt = 0, rank = ? WHERE queue_id = ?"
        c.execute(change, (rank, queue_id))

    def next(self, c: sqlite3.Connection, accounts: Collection[str]) -> str | None:
        """Claim the message whose turn it is; its queue id."""
        doubts, heads = self._fresh.doubts, []
        for account in accounts:
            first = self._find_first(c, account)
            if first is None:
                self._fresh.trust(account, doubts)
            else:
                heads.append(first)
        best = self._shares.choose(heads)
        return None if best is None else self._give(best)

    def _find_first(self, c: sqlite3.Connection, account: str) -> Turn | None:
        """An account's message of the lowest rank that nobody has claimed."""
        query = (
            "SELECT rank, queue_id, account, source FROM message INDEXED BY message_turn"
            " WHERE state = 'queued' AND account = ? AND rank < ? ORDER BY rank LIMIT ?"
        )
        # What is claimed and not started stands in the index still; there is little of it.
        found = c.execute(query, (account, BEYOND_RANK, len(self.claimed) + 1))
        return next((row for row in found if row[1] not in self.claimed), None)

    def _give(self, turn: Turn) -> str:
        rank, queue_id, account, _ = turn
        self._ranks.serve(account, rank)
        self.claim(queue_id)
        return queue_id

    def claim(self, queue_id: str) -> str:
        """A message is given out; the claim's token."""
        self._number += 1
        self.claimed[queue_id] = token = f"{self._epoch}-{self._number}"
        return token

    def put(self, turn: Turn) -> None:
        """A message was put and committed; called in the event loop."""
        if turn[1] not in self.claimed:
            self._fresh.add(turn)

    def give_back(self, queue_id: str, account: str) -> None:
        """A claim is over, or was given up; called in the event loop."""
        self.claimed.pop(queue_id, None)
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
        return known, None if best is None else self._give(best)
