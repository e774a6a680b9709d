"""Messages that are refused as if it were not their fault, while others of their account pass.

The account, or the schedule, makes them wait at first: an answer does not say whose limit it is, and a
proxy's page does not say whose fault. When the same message has met it for the third time and others have
passed each time in between, it is the message's own: it waits for a person, and holds up nobody any more.

The other way round, five different messages in a row that were refused in words not Works' own, with
none taken in between, are no fault of theirs: their account waits, and a person is told.
"""

from dataclasses import replace
from types import MappingProxyType

from relay.courier.judgement.state import AccountState, Suspect, update
from relay.outcome import Action, Blame, Cause, Outcome, Scope

_MOST_REFUSALS = 3
_MOST_SUSPECTS = 1000  # of one account; the oldest is forgotten
_MOST_FOREIGN = 5


def judge(account: AccountState, message: str, outcome: Outcome) -> tuple[Outcome, AccountState]:
    """The outcome, or what it means after the ones before, and what is known now."""
    if outcome.action is Action.RELAYED:
        passed = {
            name: replace(one, others_passed=True)
            for name, one in account.suspects.items()
            if name != message
        }
        return outcome, update(account, foreign=(), suspects=MappingProxyType(passed))
    if not _is_suspicious(outcome):
        return outcome, account
    outcome, account = _suspect(account, message, outcome)
    if outcome.cause is Cause.FOREIGN and outcome.action is Action.DELAYED:
        return _count_foreign(account, message, outcome)
    return outcome, account


def _is_suspicious(outcome: Outcome) -> bool:
    if outcome.cause is Cause.FOREIGN:
        return True
    # Without an answer it is the grant, whatever the message.
    return outcome.scope is Scope.ACCOUNT and outcome.http_status is not None


def _suspect(account: AccountState, message: str, outcome: Outcome) -> tuple[Outcome, AccountState]:
    suspects = dict(account.suspects)
    one = suspects.get(message, Suspect())
    if one.others_passed:
        one = Suspect(one.refusals + 1, others_passed=False)
    suspects[message] = one
    if one.refusals >= _MOST_REFUSALS:
        del suspects[message]
        reason = f"refused again and again while others of its account pass; at last: {outcome.reason}"
        outcome = replace(outcome, action=Action.HELD, scope=Scope.MESSAGE, reason=reason)
    elif len(suspects) > _MOST_SUSPECTS:
        del suspects[next(iter(suspects))]
    return outcome, replace(account, suspects=MappingProxyType(suspects))


def _count_foreign(account: AccountState, message: str, outcome: Outcome) -> tuple[Outcome, AccountState]:
    foreign = (*(one for one in account.foreign if one != message), message)[-_MOST_FOREIGN:]
    if len(foreign) >= _MOST_FOREIGN:
        reason = (
            f"{_MOST_FOREIGN} messages in a row were refused, and not in the words of Works: look at the "
            f"proxy or filter between the relay and Works; at last: {outcome.reason}"
        )
        outcome = replace(
            outcome, action=Action.HELD, scope=Scope.ACCOUNT, blame=Blame.GATEWAY, reason=reason
        )
    return outcome, replace(account, foreign=foreign)
