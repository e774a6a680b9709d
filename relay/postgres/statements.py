"""Single statements: each looks, decides and changes under the row's lock, and is a transaction by itself.

At READ COMMITTED a look that is followed by a write in another statement is no decision: between the two
another node may have changed the row. So the condition stands in the write.
"""

import json
from collections.abc import Sequence
from typing import Any

from relay.outcome import Action, Outcome
from relay.postgres.content import cut
from relay.postgres.database import NOW
from relay.postgres.node import ALIVE, FENCE
from relay.postgres.writer import MESSAGE_COLUMNS, Put
from relay.spool import GONE, Claim, Settlement, State
from relay.spool.rows.codecs import ENTRY_COLUMNS, dump_json, dump_losses, dump_outcome, load_outcome

COLUMNS = f"{ENTRY_COLUMNS}, 0, seal"  # as `codecs.COLUMNS`: there are no files
_OVER = (*GONE, State.FAILED)

# The claim's own row, or one that has not been touched since it was claimed.
_CURRENT = (
    "queue_id = %(queue_id)s AND (state = 'queued' AND claim = %(before)s"
    " OR state = 'sending' AND claim = %(claim)s)"
)
START = (
    f"{FENCE}, begun AS (UPDATE relay.message SET state = 'sending', claim = %(claim)s WHERE {_CURRENT}"
    " AND EXISTS (SELECT FROM fence) RETURNING queue_id)"
    " INSERT INTO relay.request"
    " (queue_id, number, attempt, recipients, how_many, started, claim, ended, outcome)"
    f" SELECT queue_id, %(number)s, %(attempt)s, %(recipients)s, %(how_many)s, {NOW}, %(claim)s,"
    f" CASE WHEN %(ended)s::text IS NOT NULL THEN {NOW} END, %(ended)s FROM begun"
    " RETURNING serial"
)
# A start that is in doubt, and whose request was certainly not sent, never was.
UNDO_START = (
    "WITH undone AS (DELETE FROM relay.request WHERE queue_id = %(queue_id)s AND claim = %(claim)s"
    " AND number = ANY(%(numbers)s) AND ended IS NULL)"
    # Where the start has not reached the table yet, the claim that it expects there is gone.
    " UPDATE relay.message SET state = CASE WHEN %(reset)s THEN 'queued' ELSE state END, claim = %(claim)s"
    f" WHERE {_CURRENT}"
)
# May be done twice: the second time it writes the same, and its commit is waited for.
RECORD = (
    f"UPDATE relay.request SET ended = coalesce(ended, {NOW}), outcome = %(outcome)s"
    " WHERE queue_id = %(queue_id)s AND number = %(number)s AND claim = %(claim)s"
    " AND (ended IS NULL OR outcome = %(outcome)s) RETURNING 1"
)
# What is known after all improves what another node has judged unknown. The message gets another claim, so
# that a start that is prepared for it fails: whoever claims it next sees who has it. If it waits only because
# nobody knew, it waits no longer.
RECORD_LATE = (
    "WITH m AS MATERIALIZED (SELECT queue_id FROM relay.message WHERE queue_id = %(queue_id)s FOR UPDATE),"
    " better AS (UPDATE relay.request r SET outcome = %(outcome)s FROM m WHERE r.queue_id = m.queue_id"
    " AND r.number = %(number)s AND r.claim = %(claim)s AND r.outcome::json ->> 'action' = 'unknown'"
    " RETURNING r.queue_id)"
    " UPDATE relay.message SET claim = %(late)s, tag = NULL, next_attempt = 0,"
    " state = CASE WHEN state = 'held' AND hold <> 'outcome' THEN state ELSE 'queued' END"
    " WHERE queue_id IN (SELECT queue_id FROM better) AND state IN ('queued', 'delayed', 'held')"
    " RETURNING queue_id"
)
# A write that changes nothing: its commit stands behind every earlier one, and is waited for as they are.
CONFIRM = "UPDATE relay.message SET seal = seal WHERE queue_id = %s RETURNING seal, state, claim, heard"
# Of this process, nothing that is claimed; of others, at once what has certainly ended with its process: its
# node said that it ends, its state directory's lock is ours, or it was an embedded spool.
INTERRUPTED = (
    "SELECT m.queue_id, m.account FROM relay.message m"
    " LEFT JOIN relay.node n ON n.token::text = split_part(m.claim, '-', 1)"
    " WHERE m.state = 'sending' AND m.queue_id <> ALL (%(claimed)s::text[]) AND ("
    " %(sends_for)s > %(within)s + m.size * %(by_octet)s"
    " OR n.token IS NULL OR n.ended IS NOT NULL OR n.home = %(home)s) ORDER BY m.queue_id"
)
TAKE_OVER = (
    f"{FENCE} UPDATE relay.message SET claim = %(claim)s WHERE queue_id = %(queue_id)s AND state = 'sending'"
    " AND EXISTS (SELECT FROM fence) RETURNING account"
)
START_WAITING = (
    "UPDATE relay.message SET waiter = %s, heard = NULL"
    " WHERE queue_id = %s AND state IN ('queued', 'sending') RETURNING 1"
)
# A session of another node may wait by now: its client came again there.
STOP_WAITING = (
    "UPDATE relay.message SET waiter = NULL"
    " WHERE queue_id = %s AND (waiter IS NULL OR waiter = %s) RETURNING heard"
)
SETTLED = "SELECT queue_id FROM relay.message WHERE queue_id = ANY(%s) AND waiter IS NULL"
NOTE = f"INSERT INTO relay.event (queue_id, at, event, detail) SELECT %s, {NOW}, %s, %s"
END_SESSION = (
    "WITH ended AS (DELETE FROM relay.unheard WHERE queue_id = %s RETURNING fingerprint),"
    " heard AS (INSERT INTO relay.heard (fingerprint, node, at)"
    f" SELECT fingerprint, %s, {NOW} FROM ended) {NOTE}"
)
END_UNHEARD = "UPDATE relay.unheard SET over = true WHERE queue_id = %s"
# Of a session in doubt. Where there is no row, what is still on its way to the server finds this one (no node
# has its token) and is not kept: its client may have been served again by then.
END_DOUBTFUL = (
    "WITH ended AS (UPDATE relay.unheard SET over = true WHERE queue_id = %s RETURNING 1)"
    " INSERT INTO relay.heard (fingerprint, node, at)"
    f" SELECT %s, 0, {NOW} WHERE NOT EXISTS (SELECT FROM ended)"
)
# Sessions of this node that are over, and of which the table does not know: their rows were not to be seen
# when they ended, for their commit waited for its replica.
END_FORGOTTEN = (
    "UPDATE relay.unheard SET over = true WHERE node = %(node)s AND NOT over"
    f" AND queue_id <> ALL(%(open)s::text[]) AND arrival < {NOW} - %(patience)s"
)
SET_ASIDE = (
    "WITH aside AS (UPDATE relay.message SET state = 'held', next_attempt = 0, status = '4.3.0',"
    " reason = %(reason)s, hold = 'damage' WHERE queue_id = %(queue_id)s"
    " AND state NOT IN ('relayed', 'refused', 'discarded') RETURNING queue_id)"
    " INSERT INTO relay.event (queue_id, at, event, detail)"
    f" SELECT queue_id, {NOW}, 'set aside', %(detail)s FROM aside RETURNING queue_id"
)
# Its session ended, or its node is not there any more, or this node took it over and never heard that it did:
# an equal submission repeats this one.
RECALL = (
    "UPDATE relay.unheard SET over = false, node = %(node)s WHERE queue_id = ("
    " SELECT u.queue_id FROM relay.unheard u LEFT JOIN relay.node n ON n.token = u.node"
    f" WHERE u.fingerprint = %(fingerprint)s AND abs({NOW} - u.arrival) <= %(life)s AND (u.over"
    f" OR n.token IS NULL OR n.ended IS NOT NULL OR n.seen < {NOW} - %(silent)s"
    " OR n.home = %(home)s AND n.token <> %(node)s"
    " OR u.node = %(node)s AND u.queue_id <> ALL(%(open)s::text[]))"
    " ORDER BY u.arrival, u.queue_id LIMIT 1 FOR UPDATE OF u SKIP LOCKED)"
    " AND (over OR node <> %(node)s OR queue_id <> ALL(%(open)s::text[])) RETURNING queue_id"
)
# A session of another node may have it yet: whether it is heard or not, nobody knows.
IS_OPEN = (
    "SELECT EXISTS (SELECT FROM relay.unheard WHERE fingerprint = %(fingerprint)s AND node <> %(node)s"
    f" AND abs({NOW} - arrival) <= %(life)s)"
)
# Not what a session of this very node answers for.
KNOWN = (
    "SELECT DISTINCT fingerprint FROM relay.unheard WHERE fingerprint = ANY(%(fingerprints)s)"
    " AND (over OR node <> %(node)s OR queue_id <> ALL(%(open)s::text[]))"
)


def claim_values(claim: Claim, before: str) -> dict[str, Any]:
    """What the statements name of a claim; `before` stood in the row when it was claimed."""
    return {"queue_id": claim.entry.queue_id, "claim": claim.token, "before": before}


def dump_settlement(settlement: Settlement) -> str:
    """What a waiting session has to know of a settlement, as JSON."""
    return dump_json({"state": settlement.state, "outcome": dump_outcome(settlement.outcome)})


def load_settlement(text: str) -> Settlement:
    """A settlement of its JSON."""
    tree = json.loads(text)
    return Settlement(State(tree["state"]), load_outcome(tree["outcome"]))


def settle(settlement: Settlement, *, ended: bool, heard: bool, notice: bool) -> str:
    """The statement that ends a claim; it returns the node that waited for the verdict.

    Args:
        settlement: how it ends.
        ended: whether a request's end is recorded with it.
        heard: whether it is only done if a session waits for the verdict, on a node that lives.
        notice: whether a notice is put with it.
    """
    condition = (
        " AND EXISTS (SELECT FROM relay.node n, target WHERE n.token = target.waiter AND (n.token = %(node)s"
        f" OR n.ended IS NULL AND n.seen > {NOW} - {ALIVE}))"
        if heard
        else ""
    )
    target = (
        "target AS MATERIALIZED (SELECT queue_id, waiter FROM relay.message"
        " WHERE queue_id = %(queue_id)s FOR UPDATE)"
    )
    done = (
        "done AS (UPDATE relay.message SET state = %(state)s, next_attempt = %(next_attempt)s,"
        " attempts = attempts + %(spent)s, unknowns = unknowns + %(unknown)s, status = %(status)s,"
        " reason = %(reason)s, losses = %(losses)s, hold = %(hold)s, cause = %(cause)s, claim = %(claim)s,"
        f" ended = CASE WHEN %(over)s THEN {NOW} ELSE 0 END, waiter = NULL,"
        " heard = CASE WHEN waiter IS NULL THEN NULL ELSE %(heard)s END"
        f" WHERE {_CURRENT} AND EXISTS (SELECT FROM target){condition} RETURNING queue_id)"
    )
    parts = [target, done, _requests(settlement, ended=ended)]
    if settlement.state in GONE:
        parts.append("gone AS (DELETE FROM relay.content WHERE queue_id IN (SELECT queue_id FROM done))")
    if notice:
        parts.append(_NOTICE)
    return f"WITH {', '.join(parts)} SELECT target.waiter FROM target JOIN done USING (queue_id)"


def _requests(settlement: Settlement, *, ended: bool) -> str:
    """Ends the request that was named; and, unless all was relayed, those that broke off with the whole."""
    named = "number = %(number)s AND claim = %(claim)s" if ended else "false"
    others = "false" if settlement.state is State.RELAYED else "EXISTS (SELECT FROM done)"
    return (
        f"requests AS (UPDATE relay.request SET ended = {NOW},"
        f" outcome = CASE WHEN {named} THEN %(ended_outcome)s ELSE %(outcome)s END"
        f" WHERE queue_id = %(queue_id)s AND ended IS NULL AND ({named} OR {others}))"
    )


# The message's values are named by their place in `Put.row`.
_NOTICE_VALUES = ", ".join(f"%(n{at})s" for at in range(1, len(MESSAGE_COLUMNS) + 1))
_NOTICE = (
    f"notice AS (INSERT INTO relay.message ({', '.join(MESSAGE_COLUMNS)}) SELECT {_NOTICE_VALUES} FROM done),"
    " pieces AS (INSERT INTO relay.content (queue_id, number, data) SELECT %(n1)s, p.number, p.data"
    " FROM done, unnest(%(numbers)s::int[], %(pieces)s::bytea[]) AS p (number, data)),"
    " told AS (INSERT INTO relay.event (queue_id, at, event, detail)"
    f" SELECT queue_id, {NOW}, 'notice', %(detail)s FROM done)"
)


def settle_values(settlement: Settlement, ended: tuple[int, Outcome] | None) -> dict[str, Any]:
    """What the statement of `settle` names, beside the claim and the notice."""
    outcome = settlement.outcome
    number, ended_outcome = ended or (None, None)
    return {
        "state": settlement.state.value,
        "next_attempt": settlement.next_attempt,
        "spent": int(settlement.spent),
        "unknown": int(outcome.action is Action.UNKNOWN),
        "status": outcome.status,
        "reason": outcome.reason,
        "losses": dump_losses(settlement.losses),
        "hold": settlement.hold.value,
        "cause": outcome.cause.value,
        "over": settlement.state in _OVER,
        "heard": dump_settlement(settlement),
        "outcome": dump_outcome(outcome),
        "number": number,
        "ended_outcome": None if ended_outcome is None else dump_outcome(ended_outcome),
    }


def notice_values(put: Put, octets: bytes, to: str) -> dict[str, Any]:
    """What the statement of `settle` names of a notice."""
    pieces = list(cut(octets))
    values = {f"n{at}": value for at, value in enumerate(put.row(), start=1)}
    detail = {"to": to, "notice": put.entry.queue_id}
    return {**values, "numbers": list(range(len(pieces))), "pieces": pieces, "detail": dump_json(detail)}


def change(state: State, event: str) -> str:
    """The statement that does what a person asked for; it returns the queue id if it was done."""
    sets = ["state = %(state)s", "next_attempt = 0", "hold = %(hold)s"]
    parts = []
    if state is State.QUEUED:
        sets.append("tag = NULL")  # a turn of its own among those who arrive now
    if state is State.DISCARDED:
        sets.append(f"ended = {NOW}")
        parts = [
            "gone AS (DELETE FROM relay.content WHERE queue_id IN (SELECT queue_id FROM done))",
            "new AS (DELETE FROM relay.unheard WHERE queue_id IN (SELECT queue_id FROM done))",
        ]
    if event == "retried":
        # A person has decided: attempts and the time until giving up begin anew. What may have been taken
        # stays so, whatever comes after it.
        sets += [f"since = {NOW}", "attempts = 0", "ended = 0"]
    done = (
        f"done AS (UPDATE relay.message SET {', '.join(sets)} WHERE queue_id = %(queue_id)s"
        " AND state = ANY(%(states)s) RETURNING queue_id)"
    )
    return (
        f"WITH {', '.join([done, *parts])} INSERT INTO relay.event (queue_id, at, event, detail)"
        f" SELECT queue_id, {NOW}, %(event)s, '{{}}' FROM done RETURNING queue_id"
    )


def state_values(states: Sequence[State]) -> list[str]:
    """States as the table has them."""
    return [state.value for state in states]
