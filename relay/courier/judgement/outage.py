"""When the API is down: what one refusal hints at, two different messages prove.

Without a connection it is down for everybody. An answer, or none, says first that it is so for this
account: an account whose calls hang must not stop the others. When a message of another account meets
trouble too, with no good answer in between, it is down for everybody.
"""

from dataclasses import replace

from relay.courier.judgement.state import AccountState, ApiState, Facts, State, update
from relay.outcome import Action, Blame, Cause, Outcome, Scope

PROBE_EVERY = 30.0  # seconds
# A probe that ends unknown may have become a mail: in a long outage of that kind probe less often.
_PATIENT_AFTER, _PATIENT_EVERY = 10, 300.0  # probes, seconds
OWN_TROUBLE = Outcome(
    Action.DELAYED,
    "4.4.2",
    Blame.REMOTE,
    "Works does not answer for this account as it should; its mail is tried again from time to time",
    Scope.ACCOUNT,
    cause=Cause.UNAVAILABLE,
)


def judge(state: State, facts: Facts, outcome: Outcome, now: float) -> tuple[Outcome, State, bool]:
    """Learn from one outcome.

    Args:
        state: what was known.
        facts: of the message.
        outcome: how its request ended.
        now: steady seconds.

    Returns:
        The outcome, or what it means after the ones before; what is known now; whether the account
        alone is in trouble.
    """
    own = False
    if outcome.if_repeated is Scope.API:
        state, own = _doubt(state, facts, outcome, now)
    elif outcome.http_status is not None and outcome.cause is not Cause.FOREIGN:
        api = update(state.api, down_since=None, doubted=None, unknowns=0)
        state = State(api, update(state.account, doubted=""))
    if outcome.if_repeated is not Scope.ACCOUNT:
        if outcome.action is Action.RELAYED:
            state = update(state, account=update(state.account, forbidden=None))
        return outcome, state, own
    outcome, account = _forbid(state.account, facts, outcome)
    return outcome, replace(state, account=account), own


def _doubt(state: State, facts: Facts, outcome: Outcome, now: float) -> tuple[State, bool]:
    api, account, here = state.api, state.account, (facts.account, facts.message)
    again = account.doubted not in ("", facts.message)  # by another message of this account
    if api.down_since is not None:
        api = replace(api, unknowns=api.unknowns + (outcome.action is Action.UNKNOWN))
    elif _is_down(api, facts, outcome):
        api = replace(api, down_since=api.doubted_at)
    if api.doubted is None:
        api = replace(api, doubted_at=now)
    own = again and api.down_since is None
    return State(replace(api, doubted=here), replace(account, doubted=facts.message)), own


def _is_down(api: ApiState, facts: Facts, outcome: Outcome) -> bool:
    """Whether this trouble, after the one before, is everybody's."""
    if api.doubted is None or api.doubted[1] == facts.message:
        return False
    return outcome.cause is Cause.UNREACHABLE or facts.alone or api.doubted[0] != facts.account


def _forbid(account: AccountState, facts: Facts, outcome: Outcome) -> tuple[Outcome, AccountState]:
    """One message may be forbidden by itself; two different ones are their account's trouble."""
    if account.forbidden is None:
        return outcome, replace(account, forbidden=facts.message)
    if account.forbidden == facts.message:
        return outcome, account
    # For the first of the two as well, when it comes again.
    return replace(outcome, action=Action.HELD, scope=Scope.ACCOUNT), replace(account, forbidden="")


def probe_pause(api: ApiState) -> float:
    """Seconds from one probe of the API to the next."""
    return _PATIENT_EVERY if api.unknowns >= _PATIENT_AFTER else PROBE_EVERY
