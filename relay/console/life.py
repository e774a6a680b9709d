"""One message's life in the order of time, as its page tells it."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from relay.console.access import show_name
from relay.console.pages import read_iso
from relay.host.texts import gettext as _
from relay.host.texts import mark, ngettext, say
from relay.operator.audit import name_asker
from relay.operator.trace import write_reply
from relay.spool import KEPT_TWICE, NOT_HEARD, REPLIED, SUBMITTED_AGAIN

Life = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to a message."""

    at: float  # seconds since the epoch
    what: str
    state: str = ""  # the word that its mark is made of; "": none
    note: str = ""
    code: str = ""  # what machines said


def make_timeline(life: Life) -> list[Step]:
    """What happened, oldest first."""
    steps = [_tell_arrival(life), *map(_tell_attempt, life["attempts"])]
    steps += map(_tell_event, _leave_out_doubts(life["events"]))
    return sorted(steps, key=lambda step: step.at)


def _leave_out_doubts(events: list[Life]) -> list[Life]:
    """The events without a client's leaving that turned out to be none: it heard its reply all the same."""
    about = [one for one in events if one["event"] in (NOT_HEARD, REPLIED, SUBMITTED_AGAIN)]
    doubts = [one for one, then in pairwise(about) if (one["event"], then["event"]) == (NOT_HEARD, REPLIED)]
    return [one for one in events if one not in doubts]


def _tell_arrival(life: Life) -> Step:
    session, at = life["session"], read_iso(life["arrival"])
    if session["origin"] == "notice":
        return Step(at, _("The relay made it, to tell of a failure"))
    if session["origin"] == "command":
        return Step(at, _("A command of this machine handed it over"))
    by = [session["client"], f"HELO {session['helo']}" if session["helo"] else ""]
    by += [session["tls"] or _("without TLS"), session["listener"]]
    if session["user"]:
        by.append(_("logged in as {user}").format(user=session["user"]))
    return Step(at, _("It came by SMTP"), note=" · ".join(filter(None, by)))


def _tell_attempt(one: Life) -> Step:
    at, number = read_iso(one["started"]), len(one["recipients"])
    what = ngettext(
        "Attempt {number} began, for {recipients} recipient",
        "Attempt {number} began, for {recipients} recipients",
        number,
    ).format(number=one["attempt"], recipients=number)
    if "action" not in one:
        return Step(at, what, "sending", _("It is under way, or nobody knows how it ended."))
    said = [f"HTTP {one['http_status']}" if one["http_status"] else "", one["code"], one["diagnostic"]]
    took = "" if one["seconds"] is None else _(" ({seconds} s)").format(seconds=one["seconds"])
    note = f"{one['status']} {say(one['reason'])}{took}"
    return Step(at, what, one["action"], note, " ".join(filter(None, said)))


# Events of the spool, in words. "asked" says who, and the verb's own event follows it.
_EVENTS = {
    "held": mark("It was held"),
    "released": mark("It was released"),
    "retried": mark("It was queued again"),
    "discarded": mark("It was thrown away"),
    SUBMITTED_AGAIN: mark("The client sent it once more, for it had not heard the reply"),
    REPLIED: mark("The client heard the reply"),
    NOT_HEARD: mark("The client was gone before it could hear the reply"),
    KEPT_TWICE: mark("Another node kept an equal message at the same time: it may have been sent twice"),
    "notice": mark("Its sender was told"),
}


def _tell_event(one: Life) -> Step:
    at, event, detail = read_iso(one["at"]), one["event"], one["detail"]
    if event == "asked":
        who = show_name(name_asker(detail)) or _("somebody")
        what = _("{who} asked for it: {verb}").format(who=who, verb=say(detail.get("verb", "")))
        return Step(at, what, note=str(detail.get("node", "")))
    said = write_reply(detail) if event == REPLIED else ""
    return Step(at, say(_EVENTS.get(event, event)), code=said)


def tell_reply(life: Life) -> str:
    """What the client heard; "" where no client brought the message."""
    reply = life["reply"]
    if reply is None:
        return ""
    if reply["heard"] is None:
        return _("not recorded: the session goes on, or the relay stopped before it could be")
    return write_reply(reply) if reply["heard"] else _("none: the client was gone before it could hear it")


def name_recipients(life: Life) -> list[tuple[str, str]]:
    """Each recipient, and what became of the message for it."""
    outcome = life["outcome"]
    relayed, refused = set(outcome["relayed"]), set(outcome["refused"])

    def tell(path: str) -> str:
        if path in relayed:
            return "relayed"
        return "failed" if path in refused else str(outcome["state"])

    return [(path, tell(path)) for path in life["envelope"]["forward_paths"]]
