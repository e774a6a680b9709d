"""Messages that Works refuses as if their account were in trouble, while others of the account pass.

The account waits at first: an answer does not say whose limit it is. When the same message has met it
for the third time and others have passed each time in between, it is the message's own: it waits for a
person, and holds up nobody any more.
"""

from dataclasses import dataclass, replace

from relay.outcome import Action, Outcome, Scope

_MOST_REFUSALS = 3
_MOST_SUSPECTS = 1000  # of one account; the oldest is forgotten
_UNAUTHORIZED = 401


@dataclass(slots=True)
class _Suspect:
    refusals: int = 0  # each after others had passed
    others_passed: bool = True  # since the last one


class Suspects:
    """What is known of such messages since the start."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[str, _Suspect]] = {}

    def judge(self, account: str, message: str, outcome: Outcome) -> Outcome:
        """The outcome, or what it means after the ones before."""
        suspects = self._accounts.setdefault(account, {})
        if outcome.action is Action.RELAYED:
            suspects.pop(message, None)
            for one in suspects.values():
                one.others_passed = True
            return outcome
        # Without an answer, or with a 401, it is the grant, whatever the message.
        if outcome.scope is not Scope.ACCOUNT or outcome.http_status in (None, _UNAUTHORIZED):
            return outcome
        suspect = suspects.setdefault(message, _Suspect())
        if suspect.others_passed:
            suspect.refusals, suspect.others_passed = suspect.refusals + 1, False
        if suspect.refusals >= _MOST_REFUSALS:
            del suspects[message]
            return _blame(outcome)
        if len(suspects) > _MOST_SUSPECTS:
            del suspects[next(iter(suspects))]
        return outcome


def _blame(outcome: Outcome) -> Outcome:
    reason = f"refused again and again while others of its account pass; at last: {outcome.reason}"
    return replace(outcome, action=Action.HELD, scope=Scope.MESSAGE, reason=reason)
