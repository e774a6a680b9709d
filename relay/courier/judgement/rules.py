"""How a message is settled after an attempt: the worst of its requests decides.

failed    a request was refused for its content: the rest is not sent, nothing is tried again
unknown   tried again at most twice, minutes apart, then held for a person (on_unknown = "hold": at once)
held      the account is in trouble: the message keeps its turn and spends nothing; but a person decides
          where others of the account pass again and again
delayed   tried again by the schedule, until `give_up_after`; a 429 and an account's passing trouble
          spend nothing, because the message can do nothing about them
relayed   all of them were taken
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from relay.config.model import Delivery
from relay.courier.judgement import expiry
from relay.courier.judgement.state import Now, State
from relay.mail import Loss
from relay.outcome import Action, Blame, Cause, Hold, Outcome, Scope
from relay.spool import Claim, Settlement
from relay.spool import State as MessageState

_WORST_FIRST = (Action.FAILED, Action.UNKNOWN, Action.HELD, Action.DELAYED, Action.RELAYED)
# An unknown outcome is tried again at most so often, so many seconds later, then a person decides.
_MOST_UNKNOWNS = 2
_UNKNOWN_WAIT = 180.0
# While the API is down one message at a time probes it. None of them should sleep for hours after that.
_LONGEST_OUTAGE_WAIT = 900.0
# A fault of ours that comes back is a bug which this message meets each time: it waits for a person.
_MOST_FAULTS = 3
FAULT = Outcome(
    Action.DELAYED,
    "4.3.0",
    Blame.GATEWAY,
    "the relay had a fault of its own; its log says more",
    cause=Cause.FAULT,
)
# The account's own limit is known before Works is asked; what waits for it is nobody's failure.
DAY_IS_FULL = Outcome(
    Action.DELAYED,
    "4.7.28",
    Blame.GATEWAY,
    "the account has sent to as many recipients as a day allows",
    cause=Cause.DAY_IS_FULL,
)


@dataclass(frozen=True, slots=True)
class Tried:
    """A message that was tried, and what for."""

    claim: Claim  # as it was before the attempt
    losses: tuple[Loss, ...] = ()
    probe: bool = False  # its account was in trouble already, and it tried whether it still is
    complete: bool = True  # every request of it was made


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome that decides."""
    return min(outcomes, key=lambda outcome: _WORST_FIRST.index(outcome.action))


def settle(
    delivery: Delivery, tried: Tried, outcomes: Sequence[Outcome], state: State, now: Now
) -> Settlement:
    """How the message is settled.

    Args:
        delivery: the configuration's rules.
        tried: the message.
        outcomes: of the requests that were made, one at least, judged.
        state: what is known after them.
        now: the time.
    """
    outcome = worst(outcomes)
    match outcome.action:
        case Action.RELAYED:
            end, spent = (MessageState.RELAYED, True) if tried.complete else (MessageState.QUEUED, False)
            settled = Settlement(end, outcome, tried.losses, spent=spent)
        case Action.FAILED:
            settled = Settlement(MessageState.FAILED, outcome, tried.losses)
        case Action.UNKNOWN:
            settled = _unknown(delivery, tried, outcome, now)
        case Action.HELD if outcome.scope is Scope.MESSAGE:
            settled = _hold(tried, outcome)
        case Action.HELD:
            settled = _wait_for_account(delivery, tried, outcome, now)
        case Action.DELAYED:
            settled = _later(delivery, tried, outcome, state, now)
    return settled


def _hold(tried: Tried, outcome: Outcome) -> Settlement:
    return Settlement(MessageState.HELD, outcome, tried.losses, hold=Hold.OUTCOME)


def _delay(tried: Tried, outcome: Outcome, due: float, *, spent: bool = True) -> Settlement:
    return Settlement(MessageState.DELAYED, outcome, tried.losses, next_attempt=due, spent=spent)


def _unknown(delivery: Delivery, tried: Tried, outcome: Outcome, now: Now) -> Settlement:
    if delivery.on_unknown == "hold" or tried.claim.entry.unknowns >= _MOST_UNKNOWNS:
        return _hold(tried, outcome)
    return _delay(tried, outcome, now.wall + _UNKNOWN_WAIT)


def _wait_for_account(delivery: Delivery, tried: Tried, outcome: Outcome, now: Now) -> Settlement:
    if tried.probe and outcome.http_status is not None:
        # The probe before it was answered well, also with a 401 now: it may be this message after all, and
        # the next one that tries is another.
        return _delay(tried, outcome, now.wall + delivery.retry.wait(tried.claim.attempt), spent=False)
    return Settlement(MessageState.QUEUED, outcome, tried.losses, spent=False)


def _later(delivery: Delivery, tried: Tried, outcome: Outcome, state: State, now: Now) -> Settlement:
    entry = tried.claim.entry
    if outcome.scope is not Scope.MESSAGE:
        return Settlement(MessageState.QUEUED, outcome, tried.losses, spent=False)
    if outcome.cause is Cause.DAY_IS_FULL:
        return _delay(tried, outcome, now.wall + (outcome.retry_after or 0.0), spent=False)
    expires = (entry.since or entry.arrival) + delivery.give_up_after
    if now.wall >= expires and not expiry.excuses(state, delivery.give_up_after, now.steady):
        return _hold(tried, outcome) if _is_foreign(outcome) else give_up(tried, outcome)
    due = now.wall + _find_wait(delivery, tried.claim.attempt, outcome, state)
    if now.wall < expires:
        due = min(due, expires)  # one last try when its time is up
    return _delay(tried, outcome, due)


def _is_foreign(outcome: Outcome) -> bool:
    """Whether something answered that does not speak as Works does: no verdict, however long it says so."""
    return outcome.cause is Cause.FOREIGN or (outcome.http_status is not None and not outcome.code)


def _find_wait(delivery: Delivery, attempt: int, outcome: Outcome, state: State) -> float:
    wait = delivery.retry.wait(attempt)
    if state.api.spell.since is not None:
        wait = min(wait, _LONGEST_OUTAGE_WAIT)
    return max(wait, outcome.retry_after or 0.0)


def settle_fault(delivery: Delivery, claim: Claim, now: Now) -> Settlement:
    """The settlement after an error of ours: the message blocks nobody, and is not lost."""
    if claim.attempt >= _MOST_FAULTS and claim.entry.cause is Cause.FAULT:
        return _hold(Tried(claim), replace(FAULT, action=Action.HELD))
    return _delay(Tried(claim), FAULT, now.wall + delivery.retry.wait(claim.attempt))


def give_up(tried: Tried, outcome: Outcome) -> Settlement:
    """The end of trying: RFC 3463 X.4.7, delivery time expired. The last reason is still the reason."""
    reason = f"given up after trying for too long; at last: {outcome.reason}"
    outcome = replace(outcome, action=Action.FAILED, status="5.4.7", reason=reason)
    return Settlement(MessageState.FAILED, outcome, tried.losses)
