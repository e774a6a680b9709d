"""What the clients of several nodes were told, held against what Works saw and what the tables say."""

import json
import time
from collections import Counter
from types import SimpleNamespace

from tests.long.cluster.witness import are_at_once
from tests.long.crash.harness import Ledger, judge

KEPT_TWICE = "SELECT queue_id FROM relay.event WHERE event = 'kept twice'"


def rows(server, name):
    """As `Relay.rows` gives them; that it may have been kept twice is a record, too."""
    unknowns = Counter(
        queue_id
        for queue_id, outcome in server.sql("SELECT queue_id, outcome FROM relay.request", name)
        if outcome is None or json.loads(outcome)["action"] == "unknown"
    )
    unknowns.update(queue_id for (queue_id,) in server.sql(KEPT_TWICE, name))
    found = {}
    query = "SELECT queue_id, state, envelope FROM relay.message ORDER BY arrival"
    for queue_id, state, envelope in server.sql(query, name):
        address = json.loads(envelope)["forward_paths"][0]
        if address.startswith("r") and address[1:].partition("@")[0].isdecimal():
            number = int(address[1:].partition("@")[0])
            found.setdefault(number, []).append((queue_id, state, unknowns[queue_id]))
    return found


class Verdict:
    """Holds what the clients were told against what Works saw and what the tables say."""

    def __init__(self, book, sandbox, witness, found, sql):
        self._book, self._sandbox, self._rows, self._sql = book, sandbox, found, sql
        self._numbers = {one[0]: number for number, found in self._rows.items() for one in found}
        self._requests = witness.by_message(self._numbers)
        self._sent = {}  # number → when, first
        for one in sandbox.messages:
            if one.subject[1:].isdecimal():
                self._sent.setdefault(int(one.subject[1:]), one.time)
        self._told = Counter(
            queue_id for (queue_id,) in sql("SELECT queue_id FROM relay.event WHERE event = 'notice'")
        )
        self.wrong = {}  # number → what

    def figures(self):
        unjudged = self._unjudged()
        figures = self._judge_as_one_relay(unjudged)
        at_once = {number for number in self._requests if self._is_at_once(number, unjudged)}
        untrue = {
            number for number in self._book.accepted if number not in unjudged and self._is_untrue(number)
        }
        told = Counter(self._numbers.get(queue_id, queue_id) for queue_id in self._told.elements())
        twice = {number for number, count in told.items() if count > 1} | self._notices_sent_twice()
        self._note("at once", at_once)
        self._note("untrue", untrue)
        self._note("told twice", twice)
        self._note_others(unjudged)
        return {
            **figures,
            "moved_to_another_node": self._book.moved,
            "left_before_the_reply": len(self._book.left),
            "left_as_the_reply_was_written": len(unjudged),
            "requests_seen": sum(map(len, self._requests.values())),
            "two_at_once": len(at_once),
            "untrue_replies": len(untrue),
            "told_twice": len(twice),
            "perhaps_kept_twice": len(self._sql(KEPT_TWICE)),
            "5yz_and_a_notice": sum(1 for number in self._book.refused if told[number]),
        }

    def _judge_as_one_relay(self, unjudged):
        ledger = Ledger(tries=self._book.tries)
        for number, answer in {**self._book.accepted, **self._book.refused}.items():
            if number not in unjudged:
                ledger.enter(number, answer, 0)
        rows = {number: found for number, found in self._rows.items() if number not in unjudged}
        gone = {f"n{number}" for number in unjudged}
        sent = [one for one in self._sandbox.messages if one.subject not in gone]
        return judge(ledger, SimpleNamespace(messages=sent), SimpleNamespace(rows=lambda: rows))

    def _unjudged(self):
        """Clients that left as the reply was being written: the relay could not know, and they came again."""
        replied = {
            queue_id for (queue_id,) in self._sql("SELECT queue_id FROM relay.event WHERE event = 'replied'")
        }
        return {
            number
            for number in self._book.left
            if len(found := self._rows.get(number, ())) > 1 and any(one[0] in replied for one in found[:-1])
        }

    def _is_at_once(self, number, unjudged):
        """Two requests for one message; what the relay had to take for two messages is two."""
        found = self._requests[number]
        parts = {one.queue_id for one in found} if number in unjudged else {None}
        return any(are_at_once([one for one in found if part in (None, one.queue_id)]) for part in parts)

    def _is_untrue(self, number):
        """`relayed` before Works had it, another message's id, or `queued` for what was refused."""
        reply = self._book.accepted[number]
        queue_id = reply.partition("id=")[2].strip().rstrip(")")
        own = {one[0]: one[1] for one in self._rows.get(number, ())}
        if "relayed" in reply and self._sent.get(number, float("inf")) > self._book.heard_at[number]:
            return True
        return queue_id not in own or own[queue_id] in ("refused", "discarded")

    def _notices_sent_twice(self):
        """Notices that Works took more than once without an unknown outcome on record."""
        others = (one.queue_id for one in self._sandbox.messages if one.queue_id not in self._numbers)
        taken = Counter(queue_id for queue_id in others if queue_id)
        unknown = Counter(
            queue_id
            for queue_id, outcome in self._sql("SELECT queue_id, outcome FROM relay.request")
            if outcome is None or json.loads(outcome)["action"] == "unknown"
        )
        return {queue_id for queue_id, count in taken.items() if count - 1 > unknown[queue_id]}

    def _note(self, what, numbers):
        for number in numbers:
            self.wrong.setdefault(number, []).append(what)

    def _note_others(self, unjudged):
        sent = Counter(int(one.subject[1:]) for one in self._sandbox.messages if one.subject[1:].isdecimal())
        for number in self._book.accepted:
            states = [one[1] for one in self._rows.get(number, ())]
            if not sent[number] and "failed" not in states and number not in unjudged:
                self._note("lost", [number])
            unknown = sum(one[2] for one in self._rows.get(number, ()))
            if sent[number] - 1 > unknown and number not in unjudged:
                self._note("duplicate", [number])
        self._note("sent after 5yz", [number for number in self._book.refused if sent[number]])

    def explain(self, number):
        """All that is known of a message."""
        ids = [one[0] for one in self._rows.get(number, ())] or [number]
        lines = [f"message {number}: {self.wrong[number]}; {self._rows.get(number)}"]
        heard = {**self._book.accepted, **self._book.refused}.get(number, "")
        lines.append(f"heard {heard.strip()!r} at {self._book.heard_at.get(number)}")
        lines.append(f"left: {number in self._book.left}; sent first at {self._sent.get(number)}")
        shift = time.time() - time.monotonic()
        for one in self._requests.get(number, ()):
            whole = None if one.whole is None else one.whole + shift
            lines.append(
                f"seen {one.queue_id} {one.began + shift:.3f} {whole} {one.ended + shift:.3f} {one.status}"
            )
        for queue_id in ids:
            for table in ("message", "request", "event", "unheard"):
                found = self._sql(
                    f"SELECT to_jsonb(t) - 'envelope' FROM relay.{table} t WHERE queue_id = '{queue_id}'"
                )
                lines += [f"{table} {json.dumps(one[0])}" for one in found]
        return "\n  ".join(lines)
