"""Decides which rows of a damaged database are believed, and writes them into a new one.

The index of states names every message with its state, and stands on other pages than the messages: what the
one lost the other still knows. A row on a page that was given up may be older than what became of its
message, so it sends nothing by itself: see docs/durability.md, "Damage".
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from relay.outcome import Action
from relay.spool import State
from relay.spool.rows.codecs import load_envelope, load_outcome, make_seal
from relay.spool.sqlite.forest import Forest, Found, Place
from relay.spool.sqlite.pages import Pages, Value

_TABLES = ("message_state", "message", "content", "request", "event", "unheard")
# How many columns a row has; messages and requests have had more with each version of the tables.
_WIDTHS = {"message_state": 3, "content": 2, "event": 5, "unheard": 3}
_FIRST_MESSAGE, _FIRST_REQUEST = 16, 7
_ARRIVAL, _ENVELOPE, _ENDED, _SEAL = 5, 9, 6, 18  # where these stand in a row
# Staged, because the order in which pages are read does not say which of two rows is the newer.
_STAGE = """
    CREATE TEMP TABLE named (queue_id TEXT PRIMARY KEY, state TEXT) WITHOUT ROWID;
    CREATE TEMP TABLE stray AS SELECT * FROM message LIMIT 0;
    CREATE TEMP TABLE found_content (queue_id TEXT, data BLOB);
    CREATE TEMP TABLE found_request AS SELECT * FROM request LIMIT 0;
    CREATE TEMP TABLE found_event AS SELECT * FROM event LIMIT 0;
    CREATE UNIQUE INDEX temp.one_request ON found_request (serial, queue_id);
    CREATE UNIQUE INDEX temp.one_event ON found_event (number, queue_id);
    CREATE TEMP VIEW may_be_sent AS SELECT * FROM message WHERE state IN ('queued', 'sending', 'delayed');
    CREATE TEMP VIEW contradicted AS SELECT queue_id, message.state AS state, named.state AS other
        FROM message JOIN named USING (queue_id) WHERE message.state <> named.state;
"""
# Of two copies of a message the one that says that more has happened is the newer.
_TAKE_NEWEST = (
    "INSERT OR REPLACE INTO message SELECT * FROM stray"
    " ORDER BY state IN ('relayed', 'refused', 'discarded'), attempts,"
    " state = 'failed', state = 'held', state = 'sending', state = 'delayed'"
)
_LOST = (
    "SELECT queue_id FROM named WHERE state NOT IN ('relayed', 'refused', 'discarded')"
    " UNION SELECT queue_id FROM content EXCEPT SELECT queue_id FROM message"
)
_EMPTY = (
    "SELECT queue_id FROM message WHERE state IN ('queued', 'sending', 'delayed', 'held')"
    " AND file = 0 AND queue_id NOT IN (SELECT queue_id FROM content)"
)
_HOLD = (
    "UPDATE message SET state = 'held', hold = 'damage', next_attempt = 0, status = '4.3.0', reason = ?"
    " WHERE queue_id = ?"
)
_NOTE = "INSERT INTO event (queue_id, at, event, detail) VALUES (?, ?, 'set aside', ?)"
_UNSURE = "its row stood on a page that may be an old one: nobody knows whether it was sent"
_CONTRADICTED = "its row and the index of states contradict each other: nobody knows whether it was sent"
_UNRECORDED = "the record of its requests is incomplete: nobody knows who has got it"
_CUT_OFF = "the database's log was cut off: nobody knows whether it was sent"
_WITHOUT_CONTENT = "its content is missing"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was found."""

    messages: int
    lost: tuple[str, ...]  # messages that are named somewhere, and of which there is no row
    held: tuple[str, ...]  # messages that wait for a person because of the damage
    complete: bool  # whether there can be no message that nothing names


def rebuild(pages: Pages, new: sqlite3.Connection, *, stale: bool, cut: bool) -> Rebuilt:
    """Write what is believed into a new database, which has its tables already.

    Args:
        pages: of the damaged database.
        new: the connection to the new one.
        stale: whether older octets may stand for some pages.
        cut: whether the last changes are gone altogether.
    """
    return _Rebuilding(pages, new, stale=stale, cut=cut).run()


class _Rebuilding:
    def __init__(self, pages: Pages, new: sqlite3.Connection, *, stale: bool, cut: bool) -> None:
        self._forest = Forest(pages, stale=stale)
        self._new = new
        self._stale = stale
        self._cut = cut
        self._held: dict[str, str] = {}  # queue ids of messages that a person has to judge, and why
        self._defaults = {table: _read_defaults(new, table) for table in ("message", "request")}
        self._serials = count(1)  # for requests of the first version, which have none

    def run(self) -> Rebuilt:
        self._new.executescript(_STAGE)
        self._new.execute("BEGIN")
        self._read()
        whole = self._forest.whole
        self._judge_copies()
        # A hold of an earlier version does not say what it waits for.
        self._new.execute("UPDATE message SET hold = 'person' WHERE state = 'held' AND hold = ''")
        self._judge_contradictions()
        self._write_requests()
        self._write_contents()
        if self._stale or not whole["request"]:
            self._judge_requests()
        if self._cut:
            self._hold("SELECT queue_id FROM may_be_sent", _CUT_OFF)
        self._hold(_EMPTY, _WITHOUT_CONTENT)
        self._write_holds()
        lost = self._ids(_LOST)
        (messages,) = self._new.execute("SELECT COUNT(*) FROM message").fetchone()
        self._new.execute("COMMIT")
        complete = not self._cut and (whole["message_state"] or whole["message"])
        return Rebuilt(messages, tuple(lost), tuple(sorted(self._held)), complete)

    def _ids(self, query: str, values: Sequence[Value] = ()) -> list[str]:
        return [queue_id for (queue_id,) in self._new.execute(query, values)]

    # What stands on the pages.

    def _read(self) -> None:
        self._forest.guess_roots(_TABLES)
        for name in _TABLES:
            for found in self._forest.rows(name):
                self._take(found)
        if self._stale or not all(self._forest.whole.values()):
            for found in self._forest.strays():
                self._take(found)

    def _take(self, found: Found) -> None:
        values, rowid, unsure = found.record.values, found.record.rowid, found.place is Place.UNSURE
        if len(values) != _WIDTHS.get(found.table, len(values)):
            return
        if found.table == "message":
            self._take_message(values, found.place)
        elif found.table == "request":
            self._take_request(values, rowid)
        elif found.table == "event":
            self._insert("temp.found_event", (rowid, *values[1:]))
        elif found.table == "content":
            self._insert("temp.found_content" if unsure else "content", values)
        elif not unsure and found.table == "message_state":
            self._insert("temp.named", (values[2], values[0]))
        elif not unsure:
            # An old row would take new mail for one that was sent again.
            self._insert("unheard", values)

    def _insert(self, table: str, values: Sequence[Value], known: str = "IGNORE") -> None:
        marks = ", ".join("?" * len(values))
        # Ignored is what was read twice, and what a bad page gives for a row and is none.
        self._new.execute(f"INSERT OR {known} INTO {table} VALUES ({marks})", values)  # noqa: S608

    def _take_message(self, values: tuple[Value, ...], place: Place) -> None:
        if len(values) == _FIRST_MESSAGE:
            values += (values[_ARRIVAL],)  # `since` is the arrival, as the migration has it
        row = self._complete("message", values)
        if place is Place.REACHED:
            self._insert("message", row)  # damaged or not: the spool sets it aside, for a person to see
        elif _proves_itself(row):
            self._insert("message" if place is Place.ORPHANED else "temp.stray", row)

    def _take_request(self, values: tuple[Value, ...], rowid: int | None) -> None:
        if len(values) == _FIRST_REQUEST:
            values, rowid = (None, *values), next(self._serials)
        # Of two copies the one that has ended is the newer.
        known = "IGNORE" if values[_ENDED] is None else "REPLACE"
        self._insert("temp.found_request", self._complete("request", (rowid, *values[1:])), known)

    def _complete(self, table: str, values: tuple[Value, ...]) -> tuple[Value, ...]:
        """A row with the defaults of the columns that were added since it was written."""
        defaults = self._defaults[table]
        return (*values[: len(defaults)], *defaults[len(values) :])

    # What is believed.

    def _judge_copies(self) -> None:
        """Take of the copies that may be old those whose message the damage took."""
        whole = self._forest.whole
        if whole["message"] and not self._stale:
            return  # whoever is not there was deleted
        if whole["message_state"] and not self._stale:
            self._new.execute("DELETE FROM stray WHERE queue_id NOT IN (SELECT queue_id FROM named)")
        self._new.execute("DELETE FROM stray WHERE queue_id IN (SELECT queue_id FROM message)")
        found = self._ids("SELECT queue_id FROM stray EXCEPT SELECT queue_id FROM named")
        self._new.execute(
            "UPDATE stray SET state = (SELECT state FROM named WHERE named.queue_id = stray.queue_id)"
            " WHERE queue_id IN (SELECT queue_id FROM named)"
        )
        self._new.execute(_TAKE_NEWEST)
        may_be_sent = set(self._ids("SELECT queue_id FROM may_be_sent"))
        self._hold_these([one for one in found if one in may_be_sent], _UNSURE)

    def _judge_contradictions(self) -> None:
        """Where older octets stand for a page, the row and the index may tell of different times."""
        over = "SELECT other, queue_id FROM contradicted WHERE other IN ('relayed', 'refused', 'discarded')"
        ended = self._new.execute(over).fetchall()
        self._new.executemany("UPDATE message SET state = ? WHERE queue_id = ?", ended)
        differing = "SELECT queue_id FROM contradicted WHERE state IN ('queued', 'sending', 'delayed')"
        self._hold(differing, _CONTRADICTED)
        if self._stale and self._forest.whole["message_state"]:
            unnamed = "SELECT queue_id FROM may_be_sent WHERE queue_id NOT IN (SELECT queue_id FROM named)"
            self._hold(unnamed, _CONTRADICTED)

    def _write_requests(self) -> None:
        """Number the requests and events of these messages anew, in their old order."""
        for table, number in (("request", "serial"), ("event", "number")):
            names = ", ".join(
                row[1] for row in self._new.execute(f"PRAGMA table_info({table})").fetchall()[1:]
            )
            self._new.execute(
                f"INSERT INTO {table} ({names}) SELECT {names} FROM found_{table}"  # noqa: S608
                f" WHERE queue_id IN (SELECT queue_id FROM message) ORDER BY {number}"
            )

    def _write_contents(self) -> None:
        """Take a copy that may be old if it is what its message needs."""
        found = "queue_id IN (SELECT queue_id FROM found_content)"
        query = f"SELECT queue_id, sha256 FROM message WHERE file = 0 AND {found}"  # noqa: S608
        for queue_id, sha256 in self._new.execute(query).fetchall():
            copies = self._new.execute("SELECT data FROM found_content WHERE queue_id = ?", (queue_id,))
            right = next((data for (data,) in copies if hashlib.sha256(data).hexdigest() == sha256), None)
            if right is not None:
                self._new.execute("INSERT OR REPLACE INTO content VALUES (?, ?)", (queue_id, right))
        over = "SELECT queue_id FROM message WHERE state IN ('relayed', 'refused', 'discarded')"
        self._new.execute(f"DELETE FROM content WHERE queue_id IN ({over})")  # noqa: S608

    def _judge_requests(self) -> None:
        """Hold what may have been sent by a request whose record is lost."""
        columns = "queue_id, state, attempts, envelope"
        begun = f"SELECT {columns} FROM may_be_sent WHERE attempts > 0 OR state = 'sending'"  # noqa: S608
        doubtful = [row[0] for row in self._new.execute(begun).fetchall() if not self._is_recorded(*row)]
        self._hold_these(doubtful, _UNRECORDED)

    def _is_recorded(self, queue_id: str, state: str, attempts: int, envelope: str) -> bool:
        """Whether the record of its last attempt and of what was taken covers all its recipients."""
        last = attempts + (state == State.SENDING)
        query = "SELECT attempt, recipients, outcome FROM request WHERE queue_id = ?"
        told: set[str] = set()
        begun = False
        try:
            wanted = set(load_envelope(envelope).forward_paths)
            for attempt, recipients, outcome in self._new.execute(query, (queue_id,)):
                begun = begun or attempt == last
                done = outcome is not None and load_outcome(outcome).action in (Action.RELAYED, Action.FAILED)
                if attempt == last or done:
                    told.update(json.loads(recipients))
        except (ValueError, TypeError, KeyError):
            return False
        # Under way it has not come to all of them yet.
        return begun and (state == State.SENDING or wanted <= told)

    def _hold(self, query: str, reason: str) -> None:
        self._hold_these(self._ids(query), reason)

    def _hold_these(self, queue_ids: Sequence[str], reason: str) -> None:
        for queue_id in queue_ids:
            self._held.setdefault(queue_id, reason)

    def _write_holds(self) -> None:
        now = time.time()
        for queue_id, reason in self._held.items():
            self._new.execute(_HOLD, (f"damaged: {reason}", queue_id))
            self._new.execute(_NOTE, (queue_id, now, json.dumps({"reason": reason})))


def _read_defaults(new: sqlite3.Connection, table: str) -> tuple[Value, ...]:
    """The default of each column of a table; None where there is none."""
    found = new.execute(f"PRAGMA table_info({table})").fetchall()
    written = [row[4] for row in found]  # as in the statement that made the column
    return tuple(None if one is None else one[1:-1] if one[:1] == "'" else float(one) for one in written)


def _proves_itself(values: tuple[Value, ...]) -> bool:
    """Whether a row that was found without its table is a message, by its seal."""
    with suppress(TypeError, AttributeError, ValueError, KeyError):
        queue_id, _, account, *_ = values
        envelope, size, sha256, seal = *values[_ENVELOPE : _ENVELOPE + 3], values[_SEAL]
        if seal:
            return seal == make_seal(queue_id, account, envelope, sha256, size)  # type: ignore[arg-type]
        load_envelope(envelope)  # type: ignore[arg-type]  # of the first version: it has no seal
        return True
    return False
