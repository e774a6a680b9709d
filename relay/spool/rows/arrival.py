"""How a message gets its id, its entry and its rows."""

import random
import sqlite3
import time

from relay.envelope import Content, Submission
from relay.spool import Entry, State
from relay.spool.fairness import Turn
from relay.spool.rows.codecs import dump_envelope, make_seal
from relay.spool.sqlite.scheduler import Turns

# Crockford's alphabet: no I, L, O, U to misread over the telephone.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS = 15
_INSERT = "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?, ?, ?, '', ?, '[]', ?, 0, ?)"


class Ids:
    """Queue ids: the milliseconds of the arrival and some chance, never one twice, in rising order."""

    def __init__(self) -> None:
        self._last = 0
        # Two relays should not give the same ids; nobody need be kept from guessing one.
        self._random = random.Random()  # noqa: S311

    def make(self) -> str:
        """The next one."""
        number = (int(time.time() * 1000) << _RANDOM_BITS) | self._random.getrandbits(_RANDOM_BITS)
        # Two of one millisecond, or a clock that was set back: chance alone would repeat itself.
        self._last = number = max(number, self._last + 1)
        text = ""
        while number:
            number, digit = divmod(number, 32)
            text = _ALPHABET[digit] + text
        return text


def make_entry(queue_id: str, submission: Submission, account: str) -> Entry:
    """A message as it is when it arrives."""
    arrival = submission.envelope.arrival_date.timestamp()
    return Entry(
        queue_id=queue_id,
        state=State.HELD if submission.hold else State.QUEUED,
        account=account,
        envelope=submission.envelope,
        size=submission.content.size,
        sha256=submission.content.sha256,
        arrival=arrival,
        next_attempt=0.0,
        attempts=0,
        unknowns=0,
        reason=submission.hold,
        since=arrival,
    )


def insert(
    c: sqlite3.Connection, turns: Turns, entry: Entry, content: Content, fingerprint: str = ""
) -> Turn:
    """Write a new message's rows; gives its turn."""
    envelope, queue_id = dump_envelope(entry.envelope), entry.queue_id
    line = entry.envelope.line
    rank = turns.rank(c, entry.account, line)
    c.execute(
        _INSERT,
        (
            queue_id,
            entry.state,
            entry.account,
            line,
            rank,
            entry.arrival,
            envelope,
            entry.size,
            entry.sha256,
            int(content.path is not None),
            entry.reason,
            entry.since,
            make_seal(queue_id, entry.account, envelope, entry.sha256, entry.size),
        ),
    )
    if content.path is None:
        c.execute("INSERT INTO content VALUES (?, ?)", (queue_id, content.data or b""))
    if fingerprint:
        c.execute("INSERT INTO unheard VALUES (?, ?, ?)", (queue_id, fingerprint, entry.arrival))
    return rank, queue_id, entry.account, line
