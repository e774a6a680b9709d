"""When a message's time is up, and when it is not its fault.

A message is given up after `give_up_after`, but never while the API or its account has been down for the
whole of its last four hours: whoever could not be reached has not refused. The same holds just after
such a time, when the wall clock has jumped, and when the relay itself has only just begun: an old
message then has not had its chance yet.
"""

from dataclasses import dataclass, field

from relay.host.clock import Clock
from relay.outcome import Action, Outcome, Scope

_LONG = 4 * 3600.0  # seconds
_JUMP = 60.0  # seconds that the two clocks may drift apart before one of them was set


@dataclass(slots=True)
class _Spell:
    """A time in which nothing could be sent; steady seconds."""

    since: float | None = None  # None: it is over
    ended: float | None = None  # when a long one ended

    def begin(self, now: float) -> None:
        if self.since is None:
            self.since = now

    def end(self, now: float) -> None:
        if self.since is not None and now - self.since >= _LONG:
            self.ended = now
        self.since = None

    def excuses(self, now: float, patience: float) -> bool:
        going_on = self.since is not None and now - self.since >= _LONG
        return going_on or (self.ended is not None and now - self.ended < patience)


@dataclass(slots=True)
class Patience:
    """What is known about outages."""

    clock: Clock
    give_up_after: float  # seconds
    _api: _Spell = field(default_factory=_Spell)
    _accounts: dict[str, _Spell] = field(default_factory=dict)
    _began: float = 0.0  # steady
    _offset: float = 0.0  # of the wall clock
    _answered: bool = False  # since it began

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._began = self.clock.steady()
        self._offset = self.clock.wall() - self._began
        self._answered = False

    def learn(self, outcome: Outcome) -> None:
        """Whether the API answers at all."""
        now = self.clock.steady()
        if outcome.if_repeated is Scope.API:
            # The first attempt may come long after the start: until an answer came, it was down before too.
            self._api.begin(now if self._answered else self._began)
        elif outcome.http_status is not None or outcome.action is Action.RELAYED:
            self._answered = True
            self._api.end(now)

    def learn_account(self, account: str, *, in_trouble: bool) -> None:
        """Whether the account can send."""
        spell, now = self._accounts.setdefault(account, _Spell()), self.clock.steady()
        if in_trouble:
            spell.begin(now)
        else:
            spell.end(now)

    @property
    def api_is_down(self) -> bool:
        """Whether the last answer, or the lack of one, was the API's trouble."""
        return self._api.since is not None

    def excuses(self, account: str) -> bool:
        """Whether no message of this account may be given up now."""
        now = self.clock.steady()
        if abs(self.clock.wall() - now - self._offset) > _JUMP:
            self._begin()
        grace = min(_LONG, self.give_up_after)
        spells = (self._api, self._accounts.get(account, _Spell()))
        return now - self._began < grace or any(spell.excuses(now, grace) for spell in spells)
