"""What one sender leaves to the next, so that a change of the sender hammers nobody.

Times within are steady seconds of the node that wrote them. Whoever kept them tells how long ago that was, by
one clock, and so they become the reader's own. The wall clocks of two nodes may differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from relay.courier.judgement.state import AccountHold, AccountState, ApiState, Spell
from relay.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Standings:
    """How the API and each account stand."""

    at: float  # when that was; steady
    api: ApiState
    api_outcome: Outcome | None  # why Works is down
    api_probe_at: float  # steady
    accounts: Mapping[str, AccountState]

    def moved(self, now: float, age: float) -> "Standings":
        """The same by this node's clock.

        Args:
            now: its steady seconds.
            age: seconds since `at`.
        """
        by = now - age - self.at
        accounts = {name: _move_account(one, by) for name, one in self.accounts.items()}
        return Standings(
            self.at + by, _move_api(self.api, by), self.api_outcome, self.api_probe_at + by, accounts
        )


@dataclass(frozen=True, slots=True)
class Chance:
    """How likely it is that a message of an account goes at once."""

    room: float  # messages that could start now; infinite: any number
    ahead: int  # messages that go before the next one of a new source


def _move(at: float | None, by: float) -> float | None:
    return None if at is None else at + by


def _move_spell(spell: Spell, by: float) -> Spell:
    return Spell(_move(spell.since, by), _move(spell.ended, by))


def _move_api(api: ApiState, by: float) -> ApiState:
    return replace(
        api,
        began=api.began + by,
        down_since=_move(api.down_since, by),
        doubted_at=api.doubted_at + by,
        spell=_move_spell(api.spell, by),
    )


def _move_account(account: AccountState, by: float) -> AccountState:
    hold = account.hold and _move_hold(account.hold, by)
    return replace(account, hold=hold, spell=_move_spell(account.spell, by))


def _move_hold(hold: AccountHold, by: float) -> AccountHold:
    # A message that tried belonged to the node before.
    return replace(hold, probe_at=hold.probe_at + by, ready=False, trying=False)
