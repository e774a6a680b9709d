"""Find messages by what a person knows of them: about when, from whom, to whom.

The server leaves out what cannot fit; of the rest the envelopes are looked at here, by the rule of every
engine.
"""

from collections.abc import Collection, Iterator
from typing import Any

from relay.postgres import statements
from relay.postgres.database import Database, Row
from relay.spool import Criteria, State
from relay.spool.rows.codecs import dump_json
from relay.spool.rows.search import WAITS, fits, lower

_ORDER = "ORDER BY arrival DESC, queue_id DESC"


async def find(database: Database, criteria: Criteria, limit: int) -> tuple[list[Row], int]:
    """The rows of the newest messages that are looked for, and how many there are in all."""
    terms = [*_terms(criteria)]
    where = " AND ".join(term for term, _ in terms) or "true"
    values = [value for _, own in terms for value in own]
    if any((criteria.source, criteria.sender, criteria.recipient)):
        query = f"SELECT queue_id, envelope FROM relay.message WHERE {where} {_ORDER}"
        rows = await database.read(query, values)
        fitting = [queue_id for queue_id, envelope in rows if fits(envelope, criteria)]
        ids, total = fitting[:limit], len(fitting)
    else:
        total = (await database.read(f"SELECT count(*) FROM relay.message WHERE {where}", values))[0][0]
        query = f"SELECT queue_id FROM relay.message WHERE {where} {_ORDER} LIMIT %s"
        ids = [queue_id for (queue_id,) in await database.read(query, [*values, limit])]
    read = f"SELECT {statements.COLUMNS} FROM relay.message WHERE queue_id = ANY(%s) {_ORDER}"
    return await database.read(read, (ids,)), total


async def count_arrivals(database: Database, since: float, span: float) -> dict[tuple[int, State], int]:
    """How many arrived in each span of so many seconds, by their state."""
    number = "floor((arrival - %s) / %s)::int"
    query = f"SELECT {number}, state, count(*) FROM relay.message WHERE arrival >= %s GROUP BY 1, 2"
    rows = await database.read(query, (since, span, since))
    return {(number, State(state)): count for number, state, count in rows}


def _terms(criteria: Criteria) -> Iterator[tuple[str, list[Any]]]:
    """Each criterion as a term of SQL with its values; of an envelope it is only asked what stands in it."""
    if criteria.since:
        yield "arrival >= %s", [criteria.since]
    if criteria.until:
        yield "arrival <= %s", [criteria.until]
    if criteria.account:
        yield "account = %s", [criteria.account]
    if criteria.states:
        yield _state_term(criteria.states, criteria.held)
    if criteria.queue_id:
        yield "strpos(lower(queue_id), %s) > 0", [lower(criteria.queue_id)]
    for words in (criteria.source, criteria.sender, criteria.recipient):
        if words:
            yield 'strpos(lower(envelope COLLATE "C"), %s) > 0', [lower(dump_json(words)[1:-1])]


def _state_term(states: Collection[State], held: Collection[str]) -> tuple[str, list[Any]]:
    own, named = "state = ANY(%s)", statements.state_values([*states])
    if not held:
        return own, [named]
    waits_for_account = "(state = ANY(%s) AND account = ANY(%s))"
    values = [named, statements.state_values(WAITS), [*held]]
    if State.HELD in states:
        return f"({own} OR {waits_for_account})", values
    return f"({own} AND NOT {waits_for_account})", values
