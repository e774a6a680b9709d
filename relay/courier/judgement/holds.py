"""Accounts in trouble: their mail keeps its turn, spends nothing and never bounces; a person is told.

No grant, a dead grant, a wrong secret, a quota: such trouble is the account's, not a message's. While it
lasts one message at a time probes, at growing distances; when a person has logged in, or a probe gets
through, the rest follows in order.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from relay.courier.judgement.poison import Suspects
from relay.host.clock import Clock
from relay.outcome import Action, Outcome, Scope

log = structlog.get_logger("accounts")
_FIRST_PROBE, _LONGEST_PROBE = 300.0, 3600.0  # seconds
_PASSING = 10.0  # seconds, for trouble that passes by itself
_POLL = 1.0  # seconds, while a probe is under way


@dataclass(slots=True)
class Trouble:
    """Why an account's mail waits."""

    account: str
    outcome: Outcome
    since: float  # seconds since the epoch
    probe_at: float  # steady seconds
    pause: float  # seconds to the next probe
    probing: bool = False

    @property
    def held(self) -> bool:
        """Whether a person must act; otherwise it passes by itself."""
        return self.outcome.action is Action.HELD


OnChange = Callable[[str, Trouble | None], None]


class Accounts:
    """Which accounts are in trouble."""

    def __init__(self, clock: Clock, on_change: OnChange) -> None:
        """Args:
        clock: the clocks.
        on_change: told when an account's trouble begins, becomes another, or is over (None).
        """
        self._clock = clock
        self._on_change = on_change
        self._troubles: dict[str, Trouble] = {}
        self._suspects = Suspects()

    @property
    def troubles(self) -> dict[str, Trouble]:
        """The accounts in trouble, by name."""
        return dict(self._troubles)

    def find(self, account: str) -> Trouble | None:
        """The account's trouble, if it has any."""
        return self._troubles.get(account)

    def wait(self, account: str) -> float:
        """Seconds until one message of this account may be tried; 0 is now."""
        trouble = self._troubles.get(account)
        if trouble is None:
            return 0.0
        return _POLL if trouble.probing else max(0.0, trouble.probe_at - self._clock.steady())

    def take(self, account: str) -> Trouble | None:
        """A message of this account is chosen: the probe of its trouble, if it is in any."""
        if (trouble := self._troubles.get(account)) is not None:
            trouble.probing = True
        return trouble

    def give_back(self, trouble: Trouble) -> None:
        """Its probe is over, whatever it said."""
        if self._troubles.get(trouble.account) is trouble and trouble.probing:
            # It said nothing about the account.
            trouble.probing, trouble.probe_at = False, self._clock.steady() + _PASSING

    def learn(self, account: str, message: str, outcome: Outcome) -> Outcome:
        """What an attempt says about its account; the outcome, or what it means after the ones before."""
        outcome = self._suspects.judge(account, message, outcome)
        if outcome.scope is Scope.ACCOUNT:
            self.stop(account, outcome)
        elif outcome.http_status is not None and Scope.API not in (outcome.scope, outcome.if_repeated):
            self.release(account)
        return outcome

    def stop(self, account: str, outcome: Outcome) -> None:
        """The account is in trouble."""
        before = self._troubles.get(account)
        pause = self._pause(before, outcome)
        since = before.since if before else self._clock.wall()
        probe_at = self._clock.steady() + (outcome.retry_after or pause)
        trouble = self._troubles[account] = Trouble(account, outcome, since, probe_at, pause)
        if before is None or before.outcome.reason != outcome.reason:
            write = log.error if trouble.held else log.warning
            write("account in trouble", account=account, status=outcome.status, reason=outcome.reason)
            self._on_change(account, trouble)

    def _pause(self, before: Trouble | None, outcome: Outcome) -> float:
        if outcome.action is not Action.HELD:
            return _PASSING
        if before is None or not before.held:
            return _FIRST_PROBE
        # Twenty that were under way together are one piece of news.
        return min(before.pause * 2, _LONGEST_PROBE) if before.probing else before.pause

    def release(self, account: str) -> None:
        """The trouble is over, or may be."""
        if self._troubles.pop(account, None) is not None:
            log.info("account released", account=account)
            self._on_change(account, None)
