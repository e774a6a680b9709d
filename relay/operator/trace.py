"""A message as the operator sees it: of the queue, its whole life, or how many there are; values for JSON."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from relay.host.clock import to_iso
from relay.operator.calling import Answer
from relay.outcome import Outcome
from relay.spool import NOT_HEARD, REPLIED, Attempt, Entry, Event, Spool, State

NOBODY: Mapping[str, Outcome] = MappingProxyType({})
_NO_REPLY: Mapping[str, int | str] = MappingProxyType({"code": 0, "status": "", "text": ""})


def describe(entry: Entry, held: Mapping[str, Outcome] = NOBODY) -> Answer:
    """A message as `relay queue --json` shows it; `held` are the accounts whose mail waits for a person."""
    envelope, (state, status, reason) = entry.envelope, _stand(entry, held)
    return {
        "queue_id": entry.queue_id,
        "state": state.value,
        "account": entry.account,
        "arrival": to_iso(entry.arrival),
        "reverse_path": envelope.reverse_path,
        "forward_paths": list(envelope.forward_paths),
        "client": envelope.client_address,
        "user": envelope.user,
        "size": entry.size,
        "attempts": entry.attempts,
        "unknowns": entry.unknowns,
        "next_attempt": to_iso(entry.next_attempt) if entry.next_attempt else None,
        "status": status,
        "reason": reason,
        "hold": entry.hold.value,
        "losses": [{"loss": x.loss, "detail": x.detail, "weight": x.weight.value} for x in entry.losses],
        "relayed": sorted(entry.relayed),
        "refused": sorted(entry.refused),
    }


def describe_reply(entry: Entry, events: Sequence[Event]) -> Answer | None:
    """What the client heard at the end of its message; None: no client brought it.

    `heard` is None where it is not recorded: the session goes on, or the process died before it was.
    """
    if not entry.envelope.client_address:
        return None
    # A client that had stopped sending may have heard the reply all the same: the later one is true.
    last = next((one for one in reversed(events) if one.event in (REPLIED, NOT_HEARD)), None)
    if last is None:
        return {"heard": None, "at": None, **_NO_REPLY}
    heard = last.event == REPLIED
    said = {name: last.detail.get(name, empty) for name, empty in _NO_REPLY.items()} if heard else _NO_REPLY
    return {"heard": heard, "at": to_iso(last.at), **said}


def write_reply(reply: Answer) -> str:
    """The line that the client got; "" if it got none."""
    return " ".join(str(reply[name]) for name in _NO_REPLY if reply[name])


def _stand(entry: Entry, held: Mapping[str, Outcome]) -> tuple[State, str, str]:
    """State, status and reason: what waits for its account is held, whatever it met before."""
    trouble = held.get(entry.account) if entry.state in (State.QUEUED, State.DELAYED) else None
    if trouble is None:
        return entry.state, entry.status, entry.reason
    return State.HELD, trouble.status, trouble.reason


def describe_life(
    entry: Entry,
    attempts: Sequence[Attempt],
    events: Sequence[Event],
    held: Mapping[str, Outcome],
) -> Answer:
    """One message's life, from the connection that brought it to the last answer."""
    envelope, (state, status, reason) = entry.envelope, _stand(entry, held)
    return {
        "queue_id": entry.queue_id,
        "session": {
            "id": envelope.session,
            "client": envelope.client_address,
            "helo": envelope.helo,
            "listener": envelope.listener,
            "origin": envelope.origin.value,
            "tls": envelope.tls,
            "user": envelope.user,
        },
        "envelope": {
            "reverse_path": envelope.reverse_path,
            "forward_paths": list(envelope.forward_paths),
            "delivery_options": envelope.delivery_options,
            "priority": envelope.priority,
        },
        "content": {"size": entry.size, "sha256": entry.sha256},
        "arrival": to_iso(entry.arrival),
        "reply": describe_reply(entry, events),
        "account": entry.account,
        "losses": [{"loss": x.loss, "detail": x.detail, "weight": x.weight.value} for x in entry.losses],
        "attempts": [_describe_attempt(one) for one in attempts],
        "events": [{"at": to_iso(one.at), "event": one.event, "detail": dict(one.detail)} for one in events],
        "outcome": {
            "state": state.value,
            "status": status,
            "reason": reason,
            "attempts": entry.attempts,
            "unknowns": entry.unknowns,
            "hold": entry.hold.value,
            "next_attempt": to_iso(entry.next_attempt) if entry.next_attempt else None,
            "ended": to_iso(entry.ended) if entry.ended else None,
            "relayed": sorted(entry.relayed),
            "refused": sorted(entry.refused),
        },
    }


def _describe_attempt(one: Attempt) -> Answer:
    outcome = one.outcome
    answer: Answer = {
        "attempt": one.attempt,
        "request": one.request,
        "recipients": list(one.recipients),
        "started": to_iso(one.started),
        "seconds": None if one.ended is None else round(one.ended - one.started, 3),
    }
    if outcome is not None:
        answer |= {
            "action": outcome.action.value,
            "status": outcome.status,
            "http_status": outcome.http_status,
            "code": outcome.code,
            "blame": outcome.blame.value,
            "reason": outcome.reason,
            "diagnostic": outcome.diagnostic,
        }
    return answer


async def count_states(spool: Spool, held: Mapping[str, Outcome]) -> dict[State, int]:
    """How many messages are in each state, in the order of a message's life.

    Args:
        spool: which counts them.
        held: the accounts whose mail waits for a person: it is held, though its rows stand as queued.
    """
    found = await spool.counts()
    counts = {state: found.get(state, 0) for state in State}
    if held:
        for state, count in (await spool.count_waiting(held)).items():
            # Counted a moment later: what went meanwhile is in neither.
            moved = min(count, counts[state])
            counts[state] -= moved
            counts[State.HELD] += moved
    return counts
