"""Find messages by what a person knows of them: about when, from whom, to whom.

No index helps with a part of an address. A look at 100,000 rows takes a few tenths of a second, on the
reader's own connection, where it keeps nobody up.
"""

import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

from relay.spool import Criteria, Entry, State
from relay.spool.rows.codecs import COLUMNS, dump_json
from relay.spool.sqlite.statements import show_row

# What waits for its account is held for whoever looks, and queued or delayed for the engine.
_WAITS = (State.QUEUED, State.DELAYED)


def find(c: sqlite3.Connection, criteria: Criteria, limit: int) -> tuple[list[Entry], int]:
    """The newest of the messages that are looked for, and how many there are in all."""
    terms = [*_terms(criteria)]
    where = " AND ".join(term for term, _ in terms) or "1"
    values = [value for _, own in terms for value in own]
    looks_inside = any((criteria.source, criteria.sender, criteria.recipient))
    envelope = "envelope" if looks_inside else "''"
    query = f"SELECT queue_id, {envelope} FROM message WHERE {where} ORDER BY arrival DESC, queue_id DESC"  # noqa: S608
    found, total = [], 0
    for queue_id, text in c.execute(query, values):
        if looks_inside and not _fits(text, criteria):
            continue
        total += 1
        if total <= limit:
            found.append(queue_id)
    read = f"SELECT {COLUMNS} FROM message WHERE queue_id = ?"  # noqa: S608 - constants
    return [show_row(c, c.execute(read, (queue_id,)).fetchone()) for queue_id in found], total


def _fits(envelope: str, criteria: Criteria) -> bool:
    """Whether the words that stand somewhere in an envelope stand where they are looked for."""
    if criteria.source:
        source = dump_json(criteria.source)[:-1]
        if source not in (_cut(envelope, "client_address"), _cut(envelope, "user")):
            return False
    return all(
        _as_searched(words) in _cut(envelope, key).lower()
        for key, words in (("reverse_path", criteria.sender), ("forward_paths", criteria.recipient))
        if words
    )


def _cut(envelope: str, key: str) -> str:
    """The JSON of one text or list of an envelope, without its last sign; "" where it is null or missing.

    Cut out and not read: that takes a tenth of the time, and SQLite's own functions for JSON are missing in
    libraries of long-lived systems. Neither mark can stand within a text, where quotes are escaped.
    """
    mark = f'"{key}": '
    begin = envelope.find(mark) + len(mark)
    if begin < len(mark) or envelope[begin : begin + 1] not in ('"', "["):
        return ""
    end = envelope.find('], "' if envelope[begin] == "[" else '", "', begin)
    return envelope[begin : end if end >= 0 else len(envelope) - 2]


def _as_searched(words: str) -> str:
    """Words as JSON has them, in small letters."""
    return dump_json(words)[1:-1].lower()


def _terms(criteria: Criteria) -> Iterator[tuple[str, list[Any]]]:
    """Each criterion as a term of SQL with its values; of an envelope it is only asked what stands in it."""
    if criteria.since:
        yield "arrival >= ?", [criteria.since]
    if criteria.until:
        yield "arrival <= ?", [criteria.until]
    if criteria.account:
        yield "account = ?", [criteria.account]
    if criteria.states:
        yield _state_term(criteria.states, criteria.held)
    if criteria.queue_id:
        yield "instr(lower(queue_id), ?) > 0", [_lower(criteria.queue_id)]
    for words in (criteria.source, criteria.sender, criteria.recipient):
        if words:
            yield "instr(lower(envelope), ?) > 0", [_lower(dump_json(words)[1:-1])]


def _state_term(states: Collection[State], held: Collection[str]) -> tuple[str, list[Any]]:
    own = f"state IN ({_marks(states)})"
    if not held:
        return own, [*states]
    waits_for_account = f"(state IN ({_marks(_WAITS)}) AND account IN ({_marks(held)}))"
    values = [*_WAITS, *held]
    if State.HELD in states:
        return f"({own} OR {waits_for_account})", [*states, *values]
    return f"({own} AND NOT {waits_for_account})", [*states, *values]


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _lower(text: str) -> str:
    # As SQLite's own lower() does: ASCII alone.
    return "".join(char.lower() if char.isascii() else char for char in text)
