"""What an outcome means, given the ones before: `judge`, and the values that it works on."""

from relay.courier.judgement.judge import Judgement, judge
from relay.courier.judgement.rules import DAY_IS_FULL, Tried, settle_fault
from relay.courier.judgement.state import AccountHold, Facts, Now, State

__all__ = [
    "DAY_IS_FULL",
    "AccountHold",
    "Facts",
    "Judgement",
    "Now",
    "State",
    "Tried",
    "judge",
    "settle_fault",
]
