"""What an outcome means, given the ones before.

One pure function: what was known, a message that was tried, and how its request ended → how the message is
settled, and what is known now. The courier acts on what changed.

    request ended     the message                   its account                 the API
    ---------------   ---------------------------   -------------------------   --------------------------
    taken             relayed                       hold over; counts of        up
                                                    refusals begin anew
    refused by        failed                        hold over                   up
    Works
    refused, not by   delayed; held at the third    held at the fifth           as before
    Works (foreign)   time while others pass        message in a row
    forbidden         delayed                       held at the second          up
                                                    message
    of the account    its turn kept; held at the    held                        up, if Works answered
    (quota, grant)    third time while others pass
    429               its turn kept                 as before                   its budget pauses
    trouble of the    delayed; or unknown: twice    waits, at the second of     down at a second message:
    API               again, then held              its messages                of another account, of the
                                                                                only one, or unreachable
    fault of ours     delayed; held at the third    as before                   as before

`outage` has the last column, `poison` and `holds` the one before it, `rules` and `expiry` the message's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from relay.config.model import Delivery
from relay.courier.judgement import expiry, holds, outage, poison, rules
from relay.courier.judgement.rules import Tried
from relay.courier.judgement.state import Facts, Now, State
from relay.outcome import Outcome
from relay.spool import Settlement


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from an outcome."""

    outcome: Outcome  # what it means after the ones before
    settlement: Settlement  # of the message, if this was its last request
    state: State  # what is known now


def judge(
    state: State,
    facts: Facts,
    tried: Tried,
    earlier: Sequence[Outcome],
    outcome: Outcome,
    *,
    delivery: Delivery,
    now: Now,
) -> Judgement:
    """Judge the end of one request.

    Args:
        state: what was known.
        facts: of the message and its account.
        tried: the message.
        earlier: what the requests before this one meant, in the same attempt.
        outcome: how this one ended.
        delivery: the configuration's rules.
        now: the time.
    """
    meant, state, own = outage.judge(state, facts, outcome, now.steady)
    meant, account = poison.judge(state.account, facts.message, meant)
    account = holds.judge(account, facts, meant, now, own=own)
    if account.hold is None and state.account.hold is not None:
        # Somebody, or a good answer, ended its trouble: one refusal is one again.
        account = replace(account, forbidden=None, foreign=())
    account = expiry.learn_account(account, now.steady)
    state = State(expiry.learn(state.api, outcome, now.steady), account)
    return Judgement(meant, rules.settle(delivery, tried, [*earlier, meant], state, now), state)
