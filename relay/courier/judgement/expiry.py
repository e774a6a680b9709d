"""When a message's time is up, and when it is not its fault.

A message is given up after `give_up_after`, but never while the API or its account has been down for the
whole of its last four hours: whoever could not be reached has not refused. The same holds just after
such a time, when the wall clock has jumped, and when the relay itself has only just begun: an old
message then has not had its chance yet.
"""

from dataclasses import replace

from relay.courier.judgement.state import AccountState, ApiState, Spell, State, update
from relay.outcome import Action, Outcome, Scope

_LONG = 4 * 3600.0  # seconds


def begin(spell: Spell, now: float) -> Spell:
    """Nothing can be sent from now on, if that did not begin before."""
    return spell if spell.since is not None else replace(spell, since=now)


def end(spell: Spell, now: float) -> Spell:
    """Something was sent, or could be."""
    long = spell.since is not None and now - spell.since >= _LONG
    return Spell(ended=now if long else spell.ended)


def learn(api: ApiState, outcome: Outcome, now: float) -> ApiState:
    """Whether the API answers at all."""
    if outcome.if_repeated is Scope.API:
        # The first attempt may come long after the start: until an answer came, it was down before too.
        return replace(api, spell=begin(api.spell, now if api.answered else api.began))
    if outcome.http_status is not None or outcome.action is Action.RELAYED:
        return update(api, answered=True, spell=end(api.spell, now))
    return api


def learn_account(account: AccountState, now: float) -> AccountState:
    """Whether the account can send."""
    spell = begin(account.spell, now) if account.hold is not None else end(account.spell, now)
    return update(account, spell=spell)


def excuses(state: State, give_up_after: float, now: float) -> bool:
    """Whether no message of this account may be given up now."""
    grace = min(_LONG, give_up_after)
    return now - state.api.began < grace or any(
        _excuses(spell, now, grace) for spell in (state.api.spell, state.account.spell)
    )


def _excuses(spell: Spell, now: float, grace: float) -> bool:
    going_on = spell.since is not None and now - spell.since >= _LONG
    return going_on or (spell.ended is not None and now - spell.ended < grace)
