"""Accounts whose mail waits: it keeps its turn, spends nothing and never bounces; a person is told.

No grant, a dead grant, a wrong secret, a quota: such trouble is the account's, not a message's. While it
lasts Works is asked at growing distances whether it answers for the account again; a message follows
when it does. When a person has logged in, or that message gets through, the rest follows in order.
"""

from dataclasses import replace

from relay.courier.judgement.outage import OWN_TROUBLE, PROBE_EVERY
from relay.courier.judgement.state import AccountHold, AccountState, Facts, Now, update
from relay.outcome import Action, Cause, Outcome, Scope

_FIRST_PROBE, _LONGEST_PROBE = 300.0, 3600.0  # seconds
_PASSING = 10.0  # seconds, for trouble that passes by itself
POLL = 1.0  # seconds, while a probe is under way


def judge(account: AccountState, facts: Facts, outcome: Outcome, now: Now, *, own: bool) -> AccountState:
    """What an outcome says of its account.

    Args:
        account: what was known.
        facts: of the message.
        outcome: how its request ended, judged by `outage` and `poison`.
        now: the time.
        own: the API does not answer this account as it should, and perhaps others.
    """
    if own:
        return hold(account, facts.account, OWN_TROUBLE, now, pause=PROBE_EVERY)
    if outcome.scope is Scope.ACCOUNT:
        return hold(account, facts.account, outcome, now)
    answered = outcome.http_status is not None and outcome.cause is not Cause.FOREIGN
    if answered and Scope.API not in (outcome.scope, outcome.if_repeated):
        return update(account, hold=None)
    return account


def hold(
    account: AccountState, name: str, outcome: Outcome, now: Now, *, pause: float | None = None
) -> AccountState:
    """The account is in trouble.

    Args:
        account: what was known.
        name: the account's.
        outcome: why.
        now: the time.
        pause: seconds to the first probe; None: as the trouble is.
    """
    before = account.hold
    pause = pause or _find_pause(before, outcome)
    since = before.since if before else now.wall
    probe_at = now.steady + (outcome.retry_after or pause)
    return replace(account, hold=AccountHold(name, outcome, since, probe_at, pause))


def _find_pause(before: AccountHold | None, outcome: Outcome) -> float:
    if outcome.action is not Action.HELD:
        return _PASSING
    if before is None or not before.held:
        return _FIRST_PROBE
    # Twenty that were under way together are one piece of news.
    return min(before.pause * 2, _LONGEST_PROBE) if before.trying or before.ready else before.pause


def wait(account: AccountState, now: float) -> float:
    """Seconds until a message of this account may be tried; 0 is now. While a probe is due, a poll."""
    if account.hold is None or (account.hold.ready and not account.hold.trying):
        return 0.0
    return POLL if account.hold.ready else max(POLL, account.hold.probe_at - now)


def answered(one: AccountHold, now: float, *, well: bool) -> AccountHold:
    """A probe ended: a message may follow, or the next probe comes later."""
    if well:
        return replace(one, ready=True, trying=False)
    pause = min(one.pause * 2, _LONGEST_PROBE) if one.held else one.pause
    return replace(one, pause=pause, probe_at=now + pause)


def tried(one: AccountHold, now: float) -> AccountHold:
    """The message that was tried said nothing about the account: probe again, soon."""
    return replace(one, ready=False, trying=False, probe_at=now + _PASSING)
