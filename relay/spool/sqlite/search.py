"""Find messages by what a person knows of them: about when, from whom, to whom.

No index helps with a part of an address. A look at 100,000 rows takes a few tenths of a second, on the
reader's own connection, where it keeps nobody up.
"""

import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

from relay.spool import Criteria, Entry, State
from relay.spool.rows.codecs import COLUMNS, dump_json
from relay.spool.rows.search import WAITS, fits, lower
from relay.spool.sqlite.statements import show_row

_ORDER = "ORDER BY arrival DESC, queue_id DESC"


def find(c: sqlite3.Connection, criteria: Criteria, limit: int) -> tuple[list[Entry], int]:
    """The newest of the messages that are looked for, and how many there are in all."""
    terms = [*_terms(criteria)]
    where = " AND ".join(term for term, _ in terms) or "1"
    values = [value for _, own in terms for value in own]
    if any((criteria.source, criteria.sender, criteria.recipient)):
        query = f"SELECT queue_id, envelope FROM message WHERE {where} {_ORDER}"  # noqa: S608 - marks
        fitting = [queue_id for queue_id, text in c.execute(query, values) if fits(text, criteria)]
        found, total = fitting[:limit], len(fitting)
    else:
        # Counted and sorted by the database, and not row by row here, which would hold up the event loop.
        (total,) = c.execute(f"SELECT COUNT(*) FROM message WHERE {where}", values).fetchone()  # noqa: S608
        query = f"SELECT queue_id FROM message WHERE {where} {_ORDER} LIMIT ?"  # noqa: S608 - marks
        # Where there are none, looking for the newest would read all of them again.
        found = [queue_id for (queue_id,) in c.execute(query, [*values, limit])] if total else []
    read = f"SELECT {COLUMNS} FROM message WHERE queue_id = ?"  # noqa: S608 - constants
    return [show_row(c, c.execute(read, (queue_id,)).fetchone()) for queue_id in found], total


def count_arrivals(c: sqlite3.Connection, since: float, span: float) -> dict[tuple[int, State], int]:
    """How many arrived in each span of so many seconds, by their state; read from the index alone."""
    where = f"state IN ({_marks(tuple(State))}) AND arrival >= ?"
    number = "CAST((arrival - ?) / ? AS INTEGER)"
    query = f"SELECT {number}, state, COUNT(*) FROM message WHERE {where} GROUP BY 1, 2"  # noqa: S608 - marks
    found = c.execute(query, (since, span, *State, since))
    return {(number, State(state)): count for number, state, count in found}


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
        yield "instr(lower(queue_id), ?) > 0", [lower(criteria.queue_id)]
    for words in (criteria.source, criteria.sender, criteria.recipient):
        if words:
            yield "instr(lower(envelope), ?) > 0", [lower(dump_json(words)[1:-1])]


def _state_term(states: Collection[State], held: Collection[str]) -> tuple[str, list[Any]]:
    own = f"state IN ({_marks(states)})"
    if not held:
        return own, [*states]
    waits_for_account = f"(state IN ({_marks(WAITS)}) AND account IN ({_marks(held)}))"
    values = [*WAITS, *held]
    if State.HELD in states:
        return f"({own} OR {waits_for_account})", [*states, *values]
    return f"({own} AND NOT {waits_for_account})", [*states, *values]


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
