"""Between the rows of the SQLite spool and the words of the contract."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from relay.envelope import Envelope, Origin, Submission
from relay.mail import Loss, Weight
from relay.outcome import Action, Blame, Cause, Hold, Outcome, Scope
from relay.reply import Reply
from relay.spool import Attempt, Entry, Event, Past, SpoolError, State

ENTRY_COLUMNS = (
    "queue_id, state, account, envelope, size, sha256, arrival, next_attempt, attempts, unknowns, "
    "status, reason, losses, since, ended, hold, cause"
)
COLUMNS = f"{ENTRY_COLUMNS}, file, seal"  # an engine without files has a constant in the place of `file`
FILE, SEAL = -2, -1  # where these two stand in a row of COLUMNS
_ENVELOPE = tuple(one.name for one in fields(Envelope))
_OUTCOME = tuple(one.name for one in fields(Outcome))
# Made once: json.dumps makes an encoder for every call that asks for anything of its own.
dump_json = json.JSONEncoder(ensure_ascii=False).encode
# The year 10,000 in seconds since the epoch: a time beyond is none. SQLite compares text and octets as
# greater than any number, so "less than this" in a statement leaves out whatever is no time.
BEYOND_TIME = 253402300800.0
_EARLIER_ORIGINS = {"control": Origin.COMMAND, "notice": Origin.NOTICE}
_NUMBERS = (4, *range(6, 10), 13, 14)  # where numbers stand in a row of COLUMNS
_STATES = frozenset(State)
UNREADABLE = Outcome(
    Action.UNKNOWN, "4.3.0", Blame.GATEWAY, "the record of this request is damaged: nobody knows how it ended"
)


class Damaged(SpoolError):  # noqa: N818 - what it is, not an error of ours
    """A row or a file is not what was put; the text says in what way."""


def dump_envelope(envelope: Envelope) -> str:
    """An envelope as JSON."""
    tree = {name: getattr(envelope, name) for name in _ENVELOPE}
    tree["arrival_date"] = envelope.arrival_date.isoformat()
    return dump_json(tree)


def load_envelope(text: str) -> Envelope:
    """An envelope of its JSON."""
    tree: dict[str, Any] = json.loads(text)
    tree["forward_paths"] = tuple(tree["forward_paths"])
    tree["arrival_date"] = datetime.fromisoformat(tree["arrival_date"])
    # Before release 0.2 the name of a listener that there is not told by which way a message came.
    listener = tree.get("listener", "")
    tree["origin"] = Origin(tree.get("origin") or _EARLIER_ORIGINS.get(listener, Origin.SMTP))
    return Envelope(**tree)


def dump_losses(losses: tuple[Loss, ...]) -> str:
    """Losses as JSON, without the texts that were put into the body: those are content."""
    if not losses:
        return "[]"
    return dump_json([[loss.loss, loss.detail, loss.weight] for loss in losses])


def load_losses(text: str) -> tuple[Loss, ...]:
    """Losses of their JSON."""
    return tuple(Loss(name, detail, Weight(weight)) for name, detail, weight in json.loads(text))


def dump_outcome(outcome: Outcome) -> str:
    """An outcome as JSON."""
    return dump_json({name: getattr(outcome, name) for name in _OUTCOME})


def load_outcome(text: str) -> Outcome:
    """An outcome of its JSON."""
    tree: dict[str, Any] = json.loads(text)
    tree["action"], tree["blame"] = Action(tree["action"]), Blame(tree["blame"])
    tree["scope"], tree["cause"] = Scope(tree["scope"]), Cause(tree.get("cause", Cause.OTHER))
    if tree.get("if_repeated") is not None:
        tree["if_repeated"] = Scope(tree["if_repeated"])
    return Outcome(**tree)


def make_seal(queue_id: str, account: str, envelope: str, sha256: str, size: int) -> str:
    """A hash of what never changes in a row: a row that was damaged is not believed."""
    parts = "\0".join((queue_id, account, envelope, sha256, str(size)))
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def make_fingerprint(submission: Submission) -> str:
    """Two submissions are the same one, sent again, if and only if this is equal.

    The same client and SMTP user, the same envelope, the same octets (RFC 1047's duplicate).
    """
    envelope, content = submission.envelope, submission.content
    said = [envelope.client_address, envelope.user, envelope.reverse_path, envelope.forward_paths]
    text = json.dumps([*said, content.size, content.sha256])
    return hashlib.sha256(text.encode()).hexdigest()


def judge(row: Sequence[Any]) -> None:
    """Hold a row of COLUMNS against its seal, and the rest of it against what it can be.

    Raises:
        Damaged: it is not what was written.
    """
    try:
        seal = row[SEAL]
        if seal and seal != make_seal(row[0], row[2], row[3], row[5], row[4]):
            raise Damaged("its row is not what was written")
    except TypeError as error:
        raise Damaged("its row cannot be read") from error
    if row[1] not in _STATES:
        raise Damaged(f"its state {str(row[1])!r} is unknown")
    if not all(_is_number(row[at]) for at in _NUMBERS):
        raise Damaged("a time or a number in its row is impossible")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < BEYOND_TIME


def load_entry(connection: sqlite3.Connection, row: Sequence[Any]) -> Entry:
    """An entry of the columns named by COLUMNS, with the recipients that are done with.

    Raises:
        Damaged: the row is not what was written.
    """
    query = "SELECT recipients, outcome, started FROM request WHERE queue_id = ? AND outcome IS NOT NULL"
    return read_entry(row, connection.execute(query, (row[0],)))


def read_entry(row: Sequence[Any], ended: Iterable[Sequence[Any]]) -> Entry:
    """An entry of the columns named by COLUMNS, and of recipients, outcome and start of its ended requests.

    Raises:
        Damaged: the row is not what was written.
    """
    judge(row)
    try:
        relayed, refused = _read_done(ended, row[13])
        return _build_entry(row, load_envelope(row[3]), relayed, refused)
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(f"its row cannot be read ({type(error).__name__})") from error


def load_damaged(row: Sequence[Any]) -> Entry:
    """As much of a damaged row as can be shown."""
    nobody = Envelope("", (), datetime.fromisoformat("1970-01-01T00:00:00+00:00"))
    try:
        envelope = load_envelope(row[3])
    except (ValueError, TypeError, KeyError):
        envelope = nobody
    known = row[1] if row[1] in _STATES else State.HELD
    safe = [str(row[0]), known, str(row[2]), "", *(_number(x) for x in row[4:5]), str(row[5])]
    safe += [_number(x) for x in row[6:10]]
    safe += [str(row[10]), str(row[11]), "[]", *(_number(x) for x in row[13:15]), *row[15:17]]
    return _build_entry(safe, envelope, frozenset(), frozenset())


def _read_hold(value: Any) -> Hold:
    try:
        return Hold(value)
    except ValueError:
        return Hold.PERSON  # of a later release, or damaged: a person decides in any case


def _number(value: Any) -> float:
    number: float = value if _is_number(value) else 0
    return number


def _build_entry(
    row: Sequence[Any], envelope: Envelope, relayed: frozenset[str], refused: frozenset[str]
) -> Entry:
    return Entry(
        queue_id=row[0],
        state=State(row[1]),
        account=row[2],
        envelope=envelope,
        size=row[4],
        sha256=row[5],
        arrival=row[6],
        next_attempt=row[7],
        attempts=row[8],
        unknowns=row[9],
        status=row[10],
        reason=row[11],
        losses=load_losses(row[12]),
        relayed=relayed,
        refused=refused,
        since=row[13],
        ended=row[14],
        hold=_read_hold(row[15]),
        cause=Cause(row[16]),
    )


def _read_done(ended: Iterable[Sequence[Any]], since: float) -> tuple[frozenset[str], frozenset[str]]:
    """The recipients whose request Works took, and those refused since a person last said `retry`."""
    relayed: set[str] = set()
    refused: set[str] = set()
    for recipients, outcome, started in ended:
        action = load_outcome(outcome).action
        if action is Action.RELAYED:
            relayed.update(json.loads(recipients))
        elif action is Action.FAILED and started >= since:
            refused.update(json.loads(recipients))
    return frozenset(relayed), frozenset(refused - relayed)


def load_attempts(connection: sqlite3.Connection, queue_id: str) -> tuple[Attempt, ...]:
    """All requests of a message, in the order in which they were made; of damaged ones what can be read."""
    query = (
        "SELECT attempt, number, recipients, started, ended, outcome FROM request WHERE queue_id = ?"
        " ORDER BY serial"
    )
    return tuple(read_attempt(row) for row in connection.execute(query, (queue_id,)))


def read_attempt(row: Sequence[Any]) -> Attempt:
    """A request of attempt, number, recipients, started, ended and outcome; what is damaged is left out."""
    attempt, number, recipients, started, ended, outcome = row
    end = ended if _is_number(ended) else None
    return Attempt(
        attempt, number, _read_recipients(recipients), _number(started), end, _read_outcome(outcome)
    )


def _read_recipients(text: Any) -> tuple[str, ...]:
    try:
        return tuple(str(one) for one in json.loads(text))
    except (ValueError, TypeError):
        return ()


def _read_outcome(text: Any) -> Outcome | None:
    try:
        return load_outcome(text) if text else None
    except (ValueError, TypeError, KeyError):
        return UNREADABLE


def _read_detail(text: Any) -> dict[str, object]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        return {}


def load_events(connection: sqlite3.Connection, queue_id: str) -> tuple[Event, ...]:
    """What else happened to a message."""
    query = "SELECT at, event, detail FROM event WHERE queue_id = ? ORDER BY number"
    return tuple(read_event(row) for row in connection.execute(query, (queue_id,)))


def read_event(row: Sequence[Any]) -> Event:
    """An event of at, event and detail."""
    at, event, detail = row
    return Event(_number(at), str(event), _read_detail(detail))


def tell_reply(answer: Reply) -> dict[str, object]:
    """The detail of the event REPLIED."""
    return {"code": answer.code, "status": answer.enhanced, "text": answer.plain}


def load_past(row: Sequence[Any]) -> Past:
    """One request of the past, of started, ended, account, recipients and outcome; damaged, it counts too."""
    started, ended, account, recipients, outcome = row
    number = len(_read_recipients(recipients)) or 1
    end = ended if _is_number(ended) else None
    return Past(_number(started), end, str(account), number, _read_outcome(outcome))


def find(c: sqlite3.Connection, queue_id: str) -> tuple[Any, ...] | None:
    """A message's row, as COLUMNS names it."""
    query = f"SELECT {COLUMNS} FROM message WHERE queue_id = ?"  # noqa: S608
    row: tuple[Any, ...] | None = c.execute(query, (queue_id,)).fetchone()
    return row
