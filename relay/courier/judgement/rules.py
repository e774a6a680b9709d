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
from dataclasses import replace

from relay.config.model import Delivery
from relay.courier.judgement.expiry import Patience
from relay.mail import Loss
from relay.outcome import Action, Blame, Outcome, Scope
from relay.spool import Claim, Settlement, State

_WORST_FIRST = (Action.FAILED, Action.UNKNOWN, Action.HELD, Action.DELAYED, Action.RELAYED)
# An unknown outcome is tried again at most so often, so many seconds later, then a person decides.
_MOST_UNKNOWNS = 2
_UNKNOWN_WAIT = 180.0
# While the API is down one message at a time probes it. None of them should sleep for hours after that.
_LONGEST_OUTAGE_WAIT = 900.0
# A fault of ours that comes back is a bug which this message meets each time: it waits for a person.
_MOST_FAULTS = 3
_UNAUTHORIZED = 401
FAULT = Outcome(Action.DELAYED, "4.3.0", Blame.GATEWAY, "the relay had a fault of its own; its log says more")
# The account's own limit is known before Works is asked; what waits for it is nobody's failure.
DAY_IS_FULL = Outcome(
    Action.DELAYED, "4.7.28", Blame.GATEWAY, "the account has sent to as many recipients as a day allows"
)


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome that decides."""
    return min(outcomes, key=lambda outcome: _WORST_FIRST.index(outcome.action))


class Rules:
    """The rules, by the configuration of the moment."""

    def __init__(self, delivery: Delivery, patience: Patience) -> None:
        self.delivery = delivery
        self._patience = patience

    def settle(
        self,
        claim: Claim,
        outcomes: Sequence[Outcome],
        losses: tuple[Loss, ...],
        now: float,
        *,
        probe: bool = False,
    ) -> Settlement:
        """The settlement.

        Args:
            claim: the message, as it was before the attempt.
            outcomes: of the requests that were made, one at least.
            losses: of its conversion.
            now: seconds since the epoch.
            probe: the account was in trouble already, and this message tried whether it still is.
        """
        outcome = worst(outcomes)
        match outcome.action:
            case Action.RELAYED:
                return Settlement(State.RELAYED, outcome, losses)
            case Action.FAILED:
                return Settlement(State.FAILED, outcome, losses)
            case Action.UNKNOWN:
                return self._unknown(claim, outcome, losses, now)
            case Action.HELD if outcome.scope is Scope.MESSAGE:
                return Settlement(State.HELD, outcome, losses)
            case Action.HELD:
                return self._wait_for_account(claim, outcome, losses, now, probe=probe)
            case Action.DELAYED:
                return self._later(claim, outcome, losses, now)

    def _unknown(self, claim: Claim, outcome: Outcome, losses: tuple[Loss, ...], now: float) -> Settlement:
        if self.delivery.on_unknown == "hold" or claim.entry.unknowns >= _MOST_UNKNOWNS:
            return Settlement(State.HELD, outcome, losses)
        return Settlement(State.DELAYED, outcome, losses, next_attempt=now + _UNKNOWN_WAIT)

    def _wait_for_account(
        self, claim: Claim, outcome: Outcome, losses: tuple[Loss, ...], now: float, *, probe: bool
    ) -> Settlement:
        if probe and outcome.http_status not in (None, _UNAUTHORIZED):
            # It may be this message after all: the next probe is another one.
            due = now + self.delivery.retry.wait(claim.attempt)
            return Settlement(State.DELAYED, outcome, losses, next_attempt=due, spent=False)
        return Settlement(State.QUEUED, outcome, losses, spent=False)

    def _later(self, claim: Claim, outcome: Outcome, losses: tuple[Loss, ...], now: float) -> Settlement:
        if outcome.scope is not Scope.MESSAGE:
            return Settlement(State.QUEUED, outcome, losses, spent=False)
        if outcome.status == DAY_IS_FULL.status:
            due = now + (outcome.retry_after or 0.0)
            return Settlement(State.DELAYED, outcome, losses, next_attempt=due, spent=False)
        expires = (claim.entry.since or claim.entry.arrival) + self.delivery.give_up_after
        excused = self._patience.excuses(claim.entry.account)
        if now >= expires and not excused:
            return Settlement(State.FAILED, give_up(outcome), losses)
        due = now + self._wait(claim.attempt, outcome)
        if now < expires:
            due = min(due, expires)  # one last try when its time is up
        return Settlement(State.DELAYED, outcome, losses, next_attempt=due)

    def _wait(self, attempt: int, outcome: Outcome) -> float:
        wait = self.delivery.retry.wait(attempt)
        if self._patience.api_is_down:
            wait = min(wait, _LONGEST_OUTAGE_WAIT)
        return max(wait, outcome.retry_after or 0.0)

    def settle_fault(self, claim: Claim, now: float) -> Settlement:
        """The settlement after an error of ours: the message blocks nobody, and is not lost."""
        if claim.attempt >= _MOST_FAULTS and claim.entry.reason == FAULT.reason:
            return Settlement(State.HELD, replace(FAULT, action=Action.HELD))
        due = now + self.delivery.retry.wait(claim.attempt)
        return Settlement(State.DELAYED, FAULT, next_attempt=due)


def give_up(outcome: Outcome) -> Outcome:
    """The end of trying: RFC 3463 X.4.7, delivery time expired. The last reason is still the reason."""
    reason = f"given up after trying for too long; at last: {outcome.reason}"
    return replace(outcome, action=Action.FAILED, status="5.4.7", reason=reason)
