"""What became of an attempt that its process did not live to settle."""

from collections.abc import Sequence

from relay.outcome import Action, Blame, Cause, Outcome
from relay.spool import Attempt, Entry
from relay.spool.rows.codecs import UNREADABLE

UNKNOWN = Outcome(
    Action.UNKNOWN,
    "4.4.2",
    Blame.GATEWAY,
    "the relay was interrupted while it was sending",
    cause=Cause.INTERRUPTED,
)
_BETWEEN = Outcome(
    Action.DELAYED,
    "4.3.2",
    Blame.GATEWAY,
    "the relay was interrupted between two requests of this message",
    cause=Cause.INTERRUPTED,
)
_TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "Works has taken the message", http_status=202)


def outcome_of(entry: Entry, attempts: Sequence[Attempt]) -> Outcome:
    """Judge by what was recorded: all requests of the message, oldest first.

    A request without an end, or whose record is damaged, may have been taken: nobody knows. With every
    request ended, what was recorded last stands; when Works took all of it, it is relayed, and only the
    settling was lost. When it refused a part, that stands, because the sender has not been told yet; else an
    outcome that nobody knows, because it is still to be counted.
    """
    if any(one.outcome in (None, UNREADABLE) or not one.recipients for one in attempts):
        return UNKNOWN
    if set(entry.envelope.forward_paths) <= entry.relayed:
        return _TAKEN
    ended = [(one, one.outcome) for one in attempts if one.outcome is not None]
    if entry.refused:
        return next(outcome for _, outcome in reversed(ended) if outcome.action is Action.FAILED)
    for one, outcome in ended:
        if outcome.action is Action.UNKNOWN and _is_of_this_attempt(one, entry):
            return outcome
    last = ended[-1][1] if ended else None
    return _BETWEEN if last is None or last.action is Action.RELAYED else last


def _is_of_this_attempt(request: Attempt, entry: Entry) -> bool:
    # The numbers begin anew when a person says `retry`.
    return request.attempt == entry.attempts + 1 and request.started >= entry.since
