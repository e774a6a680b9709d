"""The statements behind the contract: what changes a message's state, and what shows it."""

import hashlib
import sqlite3
from collections.abc import Collection, Container, Mapping, Sequence
from typing import Any

from relay.envelope import Content
from relay.outcome import Action, Hold, Outcome
from relay.reply import Reply
from relay.spool import GONE, REPLIED, Claim, Entry, NoSuchMessage, Past, Settlement, SpoolError, State
from relay.spool.fairness import Turn
from relay.spool.rows.codecs import (
    COLUMNS,
    FILE,
    Damaged,
    dump_envelope,
    dump_json,
    dump_losses,
    dump_outcome,
    find,
    load_damaged,
    load_entry,
    load_past,
    make_seal,
    tell_reply,
)
from relay.spool.sqlite.files import Files
from relay.spool.sqlite.scheduler import Scheduler

# Forgetting more at once would keep everybody else waiting.
_MOST_PURGED = 500
_OVER = (*GONE, State.FAILED)
_INSERT = (
    "INSERT INTO message (queue_id, state, account, source, rank, arrival, next_attempt, attempts, unknowns,"
    " envelope, size, sha256, file, status, reason, losses, since, ended, seal, hold)"
    " VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?, ?, ?, '', ?, '[]', ?, 0, ?, ?)"
)
_NOTE = "INSERT INTO event (queue_id, at, event, detail) VALUES (?, ?, ?, ?)"


def look_at_clock(c: sqlite3.Connection) -> float:
    """Seconds since the epoch, by the spool's clock."""
    now: float = c.execute("SELECT now()").fetchone()[0]
    return now


def load_content(c: sqlite3.Connection, files: Files, row: Sequence[Any]) -> Content:
    """The content that belongs to a row.

    Raises:
        Damaged: it stands in the database, and is not what was put.
    """
    queue_id, size, sha256 = row[0], row[4], row[5]
    if row[FILE]:
        return Content(size, sha256, path=files.path(queue_id))
    found = c.execute("SELECT data FROM content WHERE queue_id = ?", (queue_id,)).fetchone()
    if found is None:
        raise Damaged("its content is missing")
    if not isinstance(found[0], bytes) or hashlib.sha256(found[0]).hexdigest() != sha256:
        raise Damaged("its content is not what was written (its hash differs)")
    return Content(size, sha256, data=found[0])


def settle(c: sqlite3.Connection, claim: Claim, settlement: Settlement, now: float) -> bool:
    """Write how a claim ended, if it is still the message's claim; whether it is.

    `now` is in seconds since the epoch, as the statements ask the clock slowly.
    """
    queue_id, outcome, state = claim.entry.queue_id, settlement.outcome, settlement.state
    changed = c.execute(
        "UPDATE message SET state = ?, next_attempt = ?, attempts = attempts + ?,"
        " unknowns = unknowns + ?, status = ?, reason = ?, losses = ?, ended = ?, hold = ?, cause = ?"
        " WHERE queue_id = ? AND (state = 'queued' OR (state = 'sending' AND claim = ?))",
        (
            state,
            settlement.next_attempt,
            int(settlement.spent),
            int(outcome.action is Action.UNKNOWN),
            outcome.status,
            outcome.reason,
            dump_losses(settlement.losses),
            now if state in _OVER else 0.0,
            settlement.hold,
            outcome.cause,
            queue_id,
            claim.token,
        ),
    )
    if not changed.rowcount:
        return False
    if state is not State.RELAYED:
        # An attempt that broke off, or was interrupted, ended as the whole did.
        query = "UPDATE request SET ended = ?, outcome = ? WHERE queue_id = ? AND ended IS NULL"
        c.execute(query, (now, dump_outcome(outcome), queue_id))
    if state in GONE:
        c.execute("DELETE FROM content WHERE queue_id = ?", (queue_id,))
    return True


def change(
    c: sqlite3.Connection,
    scheduler: Scheduler,
    queue_id: str,
    states: Sequence[State],
    state: State,
    event: str,
) -> None:
    """Do what a person asked for.

    Raises:
        NoSuchMessage: there is none of this id in one of these states, or it is being sent.
    """
    row = c.execute("SELECT state FROM message WHERE queue_id = ?", (queue_id,)).fetchone()
    if row is None:
        raise NoSuchMessage(f"no message has the id {queue_id}")
    if queue_id in scheduler.claimed:
        raise NoSuchMessage(f"{queue_id} is being sent at this moment")
    if row[0] not in states:
        raise NoSuchMessage(f"{queue_id} is {row[0]}, not {' or '.join(states)}")
    now = look_at_clock(c)
    hold = Hold.PERSON if state is State.HELD else Hold.NONE
    changed = "UPDATE message SET state = ?, next_attempt = 0, hold = ? WHERE queue_id = ?"
    c.execute(changed, (state, hold, queue_id))
    if state is State.QUEUED:
        scheduler.enqueue(c, queue_id)
    elif state is State.DISCARDED:
        c.execute("UPDATE message SET ended = ? WHERE queue_id = ?", (now, queue_id))
        c.execute("DELETE FROM content WHERE queue_id = ?", (queue_id,))
        c.execute("DELETE FROM unheard WHERE queue_id = ?", (queue_id,))
    if event == "retried":
        # A person has decided: attempts and the time until giving up begin anew. What may have been taken
        # stays so, whatever comes after it.
        query = "UPDATE message SET since = ?, attempts = 0, ended = 0 WHERE queue_id = ?"
        c.execute(query, (now, queue_id))
    note(c, queue_id, event, {})


def set_aside(c: sqlite3.Connection, queue_id: str, reason: str) -> bool:
    """Keep a damaged message for a person, out of everybody's way; whether it still needs its content."""
    change_ = (
        "UPDATE message SET state = 'held', next_attempt = 0, status = '4.3.0', reason = ?, hold = 'damage'"
        " WHERE queue_id = ? AND state NOT IN ('relayed', 'refused', 'discarded')"
    )
    if not c.execute(change_, (f"damaged: {reason}", queue_id)).rowcount:
        return False
    note(c, queue_id, "set aside", {"reason": reason})
    return True


def note(c: sqlite3.Connection, queue_id: str, event: str, detail: Mapping[str, object]) -> None:
    """Add to a message's trace."""
    c.execute(_NOTE, (queue_id, look_at_clock(c), event, dump_json(detail)))


def backlog(c: sqlite3.Connection, most: int) -> dict[tuple[str, str], int]:
    """How many messages are queued, by account and line."""
    query = (
        "SELECT account, source, COUNT(*) FROM"
        " (SELECT account, source FROM message INDEXED BY message_line WHERE state = 'queued' LIMIT ?)"
        " GROUP BY account, source"
    )
    return {(account, line): n for account, line, n in c.execute(query, (most,))}


def accounts(c: sqlite3.Connection) -> set[str]:
    """The accounts of all that waits."""
    # From account to account by the index: a million may be queued. In the other states there are few.
    query = (
        "WITH RECURSIVE queued (account) AS ("
        " SELECT MIN(account) FROM message INDEXED BY message_turn WHERE state = 'queued'"
        " UNION ALL SELECT (SELECT MIN(account) FROM message INDEXED BY message_turn"
        " WHERE state = 'queued' AND account > queued.account) FROM queued WHERE account IS NOT NULL)"
        " SELECT account FROM queued WHERE account IS NOT NULL"
        " UNION SELECT account FROM message INDEXED BY message_state"
        " WHERE state IN ('sending', 'delayed', 'held')"
    )
    return {account for (account,) in c.execute(query)}


def count_waiting(c: sqlite3.Connection, accounts: Collection[str]) -> dict[State, int]:
    """How many messages of these accounts are queued, and how many delayed."""
    marks = ", ".join("?" * len(accounts))
    # Each by its partial index: what ended long ago, perhaps a million, is not looked at.
    by_state = {State.QUEUED: "message_turn", State.DELAYED: "message_due"}
    if not accounts:
        return dict.fromkeys(by_state, 0)
    query = "SELECT COUNT(*) FROM message INDEXED BY {} WHERE state = '{}' AND account IN ({})"
    return {
        state: c.execute(query.format(index, state.value, marks), (*accounts,)).fetchone()[0]
        for state, index in by_state.items()
    }


def list_entries(
    c: sqlite3.Connection, states: Collection[State], limit: int, *, newest: bool
) -> list[Entry]:
    """Messages in these states, by arrival."""
    marks = ", ".join("?" * len(states))
    order = "DESC" if newest else "ASC"
    query = f"SELECT {COLUMNS} FROM message WHERE state IN ({marks}) ORDER BY arrival {order} LIMIT ?"  # noqa: S608
    return [show_row(c, row) for row in c.execute(query, (*states, limit)).fetchall()]


def show(c: sqlite3.Connection, queue_id: str) -> Entry:
    """One message.

    Raises:
        NoSuchMessage: there is none of this id.
    """
    row = find(c, queue_id)
    if row is None:
        raise NoSuchMessage(f"no message has the id {queue_id}")
    return show_row(c, row)


def show_row(c: sqlite3.Connection, row: Sequence[Any]) -> Entry:
    """An entry of the columns named by COLUMNS; of a damaged row what can be read."""
    try:
        return load_entry(c, row)
    except Damaged:
        return load_damaged(row)


def find_content(c: sqlite3.Connection, files: Files, queue_id: str) -> Content:
    """A message's content.

    Raises:
        NoSuchMessage: there is none of this id, or its content is gone.
    """
    row = find(c, queue_id)
    if row is None or row[1] in GONE:
        raise NoSuchMessage(f"no content is kept of {queue_id}")
    try:
        return load_content(c, files, row)
    except Damaged as error:
        raise SpoolError(f"{queue_id}: {error}") from error


def history(c: sqlite3.Connection, since: float) -> list[Past]:
    """The requests started after `since`, oldest first."""
    query = (
        "SELECT request.started, request.ended, message.account, request.recipients,"
        " request.outcome FROM request JOIN message USING (queue_id) WHERE request.started > ?"
        " ORDER BY request.started"
    )
    return [load_past(row) for row in c.execute(query, (since,))]


def take_over(c: sqlite3.Connection, queue_id: str, token: str) -> None:
    """What is being sent is another claim's from now on."""
    c.execute("UPDATE message SET claim = ? WHERE queue_id = ? AND state = 'sending'", (token, queue_id))


def begin(c: sqlite3.Connection, claim: Claim) -> bool:
    """Mark a claim's message as being sent; whether it is there to be sent."""
    change_ = (
        "UPDATE message SET state = 'sending', claim = ?"
        " WHERE queue_id = ? AND (state = 'queued' OR (state = 'sending' AND claim = ?))"
    )
    return bool(c.execute(change_, (claim.token, claim.entry.queue_id, claim.token)).rowcount)


def start_request(c: sqlite3.Connection, claim: Claim, request: int, recipients: str, now: float) -> None:
    """Write that a request is about to be sent; `recipients` are JSON."""
    c.execute(
        "INSERT INTO request (queue_id, number, attempt, recipients, started, claim)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (claim.entry.queue_id, request, claim.attempt, recipients, now, claim.token),
    )


def end_request(c: sqlite3.Connection, claim: Claim, request: int, outcome: Outcome, now: float) -> None:
    """Write how a request ended; `now` in seconds since the epoch."""
    c.execute(
        "UPDATE request SET ended = ?, outcome = ?"
        " WHERE queue_id = ? AND number = ? AND claim = ? AND ended IS NULL",
        (now, dump_outcome(outcome), claim.entry.queue_id, request, claim.token),
    )


def end_session(c: sqlite3.Connection, queue_id: str, answer: Reply, now: float) -> None:
    """The client was there to hear this reply; `now` in seconds since the epoch."""
    forget_unheard(c, queue_id)
    c.execute(_NOTE, (queue_id, now, REPLIED, dump_json(tell_reply(answer))))


def forget_unheard(c: sqlite3.Connection, queue_id: str) -> None:
    """The reply was heard, or it is too late for it to matter."""
    c.execute("DELETE FROM unheard WHERE queue_id = ?", (queue_id,))


def purge(
    c: sqlite3.Connection, relayed_before: float, failed_before: float, claimed: Container[str]
) -> list[str]:
    """Remove all that is known of some messages that ended before.

    What failed becomes history first: its content is gone, its trace stays a while longer.
    """
    # Whatever ended before has arrived before: that is what the index is ordered by.
    old = (
        "SELECT queue_id FROM message"
        " WHERE state IN ({}) AND arrival < :before AND ended < :before LIMIT :most"
    )
    failed = {"before": failed_before, "most": _MOST_PURGED}
    expired = [one for (one,) in c.execute(old.format("'failed'"), failed) if one not in claimed]
    for queue_id in expired:
        over = "UPDATE message SET state = 'discarded', ended = ? WHERE queue_id = ?"
        c.execute(over, (look_at_clock(c), queue_id))
        c.execute("DELETE FROM content WHERE queue_id = ?", (queue_id,))
        note(c, queue_id, "kept no longer", {})
    ended = {"before": relayed_before, "most": _MOST_PURGED}
    gone = c.execute(old.format("'relayed', 'refused', 'discarded'"), ended).fetchall()
    for table in ("message", "content", "request", "event", "unheard"):
        c.executemany(f"DELETE FROM {table} WHERE queue_id = ?", gone)  # noqa: S608
    return list({*expired, *(queue_id for (queue_id,) in gone)})


def insert(
    c: sqlite3.Connection, scheduler: Scheduler, entry: Entry, content: Content, fingerprint: str = ""
) -> Turn:
    """Write a new message's rows; gives its turn."""
    envelope, queue_id = dump_envelope(entry.envelope), entry.queue_id
    line = entry.envelope.line
    rank = scheduler.rank(c, entry.account, line)
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
            entry.hold,
        ),
    )
    if content.path is None:
        c.execute("INSERT INTO content VALUES (?, ?)", (queue_id, content.data or b""))
    if fingerprint:
        c.execute("INSERT INTO unheard VALUES (?, ?, ?)", (queue_id, fingerprint, entry.arrival))
    return rank, queue_id, entry.account, line
