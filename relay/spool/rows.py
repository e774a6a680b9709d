"""Between the rows of the SQLite spool and the words of the contract."""

import json
import sqlite3
from dataclasses import asdict
from datetime import datetime
from typing import Any

from relay.envelope import Envelope
from relay.mail import Loss, Weight
from relay.outcome import Action, Blame, Outcome, Scope
from relay.spool import Attempt, Entry, Past, State

COLUMNS = (
    "queue_id, state, account, envelope, size, sha256, arrival, next_attempt, attempts, unknowns, "
    "status, reason, losses, file"
)


def dump_envelope(envelope: Envelope) -> str:
    """An envelope as JSON."""
    return json.dumps(
        {**asdict(envelope), "arrival_date": envelope.arrival_date.isoformat()}, ensure_ascii=False
    )


def load_envelope(text: str) -> Envelope:
    """An envelope of its JSON."""
    tree: dict[str, Any] = json.loads(text)
    tree["forward_paths"] = tuple(tree["forward_paths"])
    tree["arrival_date"] = datetime.fromisoformat(tree["arrival_date"])
    return Envelope(**tree)


def dump_losses(losses: tuple[Loss, ...]) -> str:
    """Losses as JSON, without the texts that were put into the body: those are content."""
    return json.dumps([[loss.loss, loss.detail, loss.weight] for loss in losses], ensure_ascii=False)


def load_losses(text: str) -> tuple[Loss, ...]:
    """Losses of their JSON."""
    return tuple(Loss(name, detail, Weight(weight)) for name, detail, weight in json.loads(text))


def dump_outcome(outcome: Outcome) -> str:
    """An outcome as JSON."""
    return json.dumps(asdict(outcome), ensure_ascii=False)


def load_outcome(text: str) -> Outcome:
    """An outcome of its JSON."""
    tree: dict[str, Any] = json.loads(text)
    enums = {"action": Action(tree["action"]), "blame": Blame(tree["blame"]), "scope": Scope(tree["scope"])}
    return Outcome(**{**tree, **enums})


def load_entry(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Entry:
    """An entry of the columns named by COLUMNS, with the recipients that are done with."""
    done: dict[str, set[str]] = {Action.RELAYED: set(), Action.FAILED: set()}
    requests = connection.execute(
        "SELECT recipients, outcome FROM request WHERE queue_id = ? AND outcome IS NOT NULL", row[:1]
    )
    for recipients, outcome in requests:
        done.setdefault(load_outcome(outcome).action, set()).update(json.loads(recipients))
    return Entry(
        queue_id=row[0],
        state=State(row[1]),
        account=row[2],
        envelope=load_envelope(row[3]),
        size=row[4],
        sha256=row[5],
        arrival=row[6],
        next_attempt=row[7],
        attempts=row[8],
        unknowns=row[9],
        status=row[10],
        reason=row[11],
        losses=load_losses(row[12]),
        relayed=frozenset(done[Action.RELAYED]),
        refused=frozenset(done[Action.FAILED]),
    )


def load_attempt(row: tuple[Any, ...]) -> Attempt:
    """One request of an attempt, of attempt, number, recipients, started, ended and outcome."""
    attempt, number, recipients, started, ended, outcome = row
    return Attempt(
        attempt,
        number,
        tuple(json.loads(recipients)),
        started,
        ended,
        None if outcome is None else load_outcome(outcome),
    )


def load_past(row: tuple[Any, ...]) -> Past:
    """One request of the past, of started, account, recipients and outcome."""
    started, account, recipients, outcome = row
    return Past(
        started, account, len(json.loads(recipients)), None if outcome is None else load_outcome(outcome)
    )
