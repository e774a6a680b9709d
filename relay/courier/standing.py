"""How the API and each account stand: every outcome, and what a person did, goes through here.

The judgement is pure (`judgement`); this keeps what it knows, opens and closes the gate before the API, and
tells of what changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from relay.config.current import Current
from relay.courier.handover import Standings
from relay.courier.judgement import (
    AccountHold,
    Facts,
    Judgement,
    Now,
    State,
    Tried,
    expiry,
    holds,
    judge,
    outage,
)
from relay.courier.judgement.state import AccountState, ApiState
from relay.host.clock import Clock
from relay.outcome import Action, Cause, Outcome, Scope
from relay.works.pace.circuit import Circuit

log = structlog.get_logger("standing")
_JUMP = 60.0  # seconds that the two clocks may drift apart before one of them was set


class Listener(Protocol):
    """Who hears of changes."""

    def account_changed(self, account: str, hold: AccountHold | None) -> None:
        """An account's trouble began, became another, or is over (None)."""

    def api_changed(self, outcome: Outcome | None) -> None:
        """The API is down, and how that showed; or up again (None)."""


@dataclass(frozen=True, slots=True)
class _Epoch:
    """Since when the clocks are watched, and how far apart they were."""

    steady: float
    offset: float


@dataclass(frozen=True, slots=True)
class Outage:
    """Works is down. Times are seconds since the epoch."""

    outcome: Outcome  # how that showed
    since: float
    next_probe: float  # when Works is asked again


class Standing:
    """What is known of the API and of the accounts."""

    def __init__(self, current: Current, gate: Circuit, clock: Clock) -> None:
        self._current = current
        self._gate = gate
        self._clock = clock
        self._listeners: list[Listener] = []
        self._accounts: dict[str, AccountState] = {}
        self._api_probe_at = 0.0  # steady seconds
        self._api_outcome: Outcome | None = None  # why Works is down
        self._start()
        current.subscribe(lambda _: self._look_again())

    def _start(self) -> None:
        now = self.now()
        self._epoch = _Epoch(now.steady, now.wall - now.steady)
        self._api = ApiState(began=now.steady)

    def subscribe(self, listener: Listener) -> None:
        """Have this listener told of changes."""
        self._listeners.append(listener)

    def now(self) -> Now:
        """Both clocks, by which everything here is judged."""
        return Now(self._clock.steady(), self._clock.wall())

    def _account(self, name: str) -> AccountState:
        return self._accounts.get(name, AccountState())

    def look(self, account: str) -> State:
        """What is known of the API and of this account."""
        return State(self._api, self._account(account))

    # What one sender leaves to the next.

    def hand_on(self) -> Standings:
        """All that is known, for the next sender."""
        accounts = {
            name: replace(state, suspects=dict(state.suspects))
            for name, state in self._accounts.items()
            if state != AccountState()
        }
        return Standings(self.now().steady, self._api, self._api_outcome, self._api_probe_at, accounts)

    def take_over(self, left: Standings) -> None:
        """Know what another sender knew, by this node's clock. Nobody is told of it."""
        self._start()
        self._api, self._api_outcome = left.api, left.api_outcome
        self._api_probe_at = left.api_probe_at
        self._accounts = dict(left.accounts)
        if left.api.down_since is None:
            self._gate.close()
        else:
            self._gate.open(left.api.down_since)

    def ask_soon(self) -> None:
        """Ask Works at once, where the last sender could not reach it: this machine perhaps can."""
        if self._api_outcome is not None and self._api_outcome.cause is Cause.UNREACHABLE:
            self._api_probe_at = self._clock.steady()

    # What messages and people say.

    def judge(self, tried: Tried, earlier: Sequence[Outcome], outcome: Outcome) -> Judgement:
        """Judge how a request ended, and remember what it says.

        Args:
            tried: its message.
            earlier: what the requests before it meant, in the same attempt.
            outcome: how it ended.
        """
        entry, config, now = tried.claim.entry, self._current.config, self.now()
        self._follow_clock(now)
        facts = Facts(entry.account, entry.queue_id, alone=len(config.account) <= 1)
        judgement = judge(
            self.look(entry.account), facts, tried, earlier, outcome, delivery=config.delivery, now=now
        )
        self._keep_api(judgement.state.api, outcome)
        self._keep_account(entry.account, judgement.state.account)
        return judgement

    def _follow_clock(self, now: Now) -> None:
        """Begin anew if the clock was set: what was counted by it means nothing."""
        if abs(now.wall - now.steady - self._epoch.offset) > _JUMP:
            self._epoch = _Epoch(now.steady, now.wall - now.steady)
            self._api = replace(self._api, began=now.steady, answered=False)

    def hold(self, account: str, outcome: Outcome) -> None:
        """Hold an account's mail for this outcome, whoever met it."""
        state, now = self._account(account), self.now()
        state = expiry.learn_account(holds.hold(state, account, outcome, now), now.steady)
        self._keep_account(account, state)

    def release(self, account: str) -> None:
        """Try an account's mail again: a person did something about its trouble, or a grant is there."""
        state = replace(self._account(account), hold=None, forbidden=None, foreign=(), doubted="")
        self._keep_account(account, expiry.learn_account(state, self.now().steady))

    def _look_again(self) -> None:
        for account in self.holds:
            self.release(account)  # what was wrong may be corrected now

    def _keep_account(self, name: str, state: AccountState) -> None:
        before, self._accounts[name] = self._account(name).hold, state
        hold = state.hold
        if hold is None and before is not None:
            log.info("account released", account=name)
        elif hold is not None and (before is None or before.outcome != hold.outcome):
            if before is None or hold.outcome.is_news_after(before.outcome):
                write = log.error if hold.held else log.warning
                outcome = hold.outcome
                write("account in trouble", account=name, status=outcome.status, reason=outcome.reason)
        else:
            return
        for listener in self._listeners:
            listener.account_changed(name, hold)

    def _keep_api(self, api: ApiState, outcome: Outcome) -> None:
        before, self._api = self._api, api
        now = self._clock.steady()
        if api.down_since is not None and outcome.if_repeated is Scope.API:
            self._api_probe_at = now + outage.probe_pause(api)
        if before.down_since is None and api.down_since is not None:
            log.error("works is down", status=outcome.status, reason=outcome.reason)
            self._gate.open(api.down_since)
            self._tell_api(outcome)
        elif before.down_since is not None and api.down_since is None:
            log.warning("works is up again", seconds=round(now - before.down_since))
            self._gate.close()
            self._tell_api(None)

    def _tell_api(self, outcome: Outcome | None) -> None:
        self._api_outcome = outcome
        for listener in self._listeners:
            listener.api_changed(outcome)

    # Whose turn it may be.

    @property
    def holds(self) -> dict[str, AccountHold]:
        """The accounts whose mail waits, by name."""
        return {name: state.hold for name, state in self._accounts.items() if state.hold is not None}

    @property
    def held(self) -> dict[str, Outcome]:
        """The accounts whose mail waits for a person, and why."""
        return {name: one.outcome for name, one in self.holds.items() if one.held}

    @property
    def api_is_down(self) -> bool:
        """Whether nothing is sent for any account."""
        return self._api.down_since is not None

    @property
    def outage(self) -> Outage | None:
        """That nothing is sent for any account, and since when; None: Works is up, as far as is known."""
        if self._api.down_since is None or self._api_outcome is None:
            return None
        return Outage(
            self._api_outcome, self._to_wall(self._api.down_since), self._to_wall(self._api_probe_at)
        )

    def next_probe(self, account: str) -> float | None:
        """When Works is asked whether an account's trouble is over, in seconds since the epoch.

        None: there is none, or a message tries it.
        """
        at = self._probes().get(account)
        return None if at is None else self._to_wall(at)

    def _to_wall(self, steady: float) -> float:
        now = self.now()
        return now.wall + steady - now.steady

    def wait(self, account: str) -> float:
        """Seconds until a message of this account may be tried; 0 is now."""
        return holds.wait(self._account(account), self._clock.steady())

    def take(self, account: str) -> AccountHold | None:
        """Choose a message of this account. If the account is in trouble, the message tries this hold."""
        state = self._account(account)
        if state.hold is None:
            return None
        trying = replace(state.hold, ready=False, trying=True)
        self._accounts[account] = replace(state, hold=trying)
        return trying

    def give_back(self, trying: AccountHold) -> None:
        """The message that tried this hold has ended, whatever its outcome."""
        state = self._account(trying.account)
        if state.hold is trying:
            # Its outcome said nothing about the account.
            self._accounts[trying.account] = replace(state, hold=holds.tried(trying, self._clock.steady()))

    # What is asked of Works while nothing is sent.

    def probes_due(self) -> list[str]:
        """The accounts in trouble for which Works is to be asked now."""
        now = self._clock.steady()
        return [name for name, at in self._probes().items() if at <= now]

    def _probes(self) -> dict[str, float]:
        """When Works is to be asked, by account in trouble that no message tries."""
        return {
            name: hold.probe_at for name, hold in self.holds.items() if not hold.ready and not hold.trying
        }

    @property
    def api_probe_is_due(self) -> bool:
        """Whether Works is to be asked now whether it is up."""
        return self.api_is_down and not self._gate.trying and self._clock.steady() >= self._api_probe_at

    def next_probe_in(self) -> float:
        """Seconds until Works is to be asked again; infinite where nothing is in trouble."""
        times = list(self._probes().values())
        if self.api_is_down and not self._gate.trying:
            times.append(self._api_probe_at)
        return min(times, default=float("inf")) - self._clock.steady()

    def probed(self, account: str, outcome: Outcome | None) -> None:
        """Works was asked about an account in trouble, and this is wrong; None: it answers as it should."""
        state, now = self._account(account), self.now()
        if state.hold is None:
            return
        # What passes by itself says nothing new of an account that waits for a person.
        news = outcome is not None and (outcome.action is Action.HELD or not state.hold.held)
        if outcome is not None and outcome.scope is Scope.ACCOUNT and news:
            again = holds.hold(state, account, outcome, now).hold
            pause = holds.answered(state.hold, now.steady, well=False)
            if again is not None:
                again = replace(again, pause=pause.pause, probe_at=max(again.probe_at, pause.probe_at))
            self._keep_account(account, replace(state, hold=again))
        else:
            hold = holds.answered(state.hold, now.steady, well=outcome is None)
            self._keep_account(account, replace(state, hold=hold))

    def probed_api(self, outcome: Outcome | None) -> None:
        """Works was asked whether it is up; None: it is. A message follows, or a second answer is proof.

        Args:
            outcome: what is wrong, of the account for which it was asked or of the API.
        """
        now = self._clock.steady()
        self._api_probe_at = now + outage.probe_pause(self._api)
        # What Works itself says of one account, it says because it is up.
        answered = outcome is None or (outcome.scope is Scope.ACCOUNT and outcome.http_status is not None)
        if not answered or not self.api_is_down:
            return
        if not self._gate.ready:
            self._gate.let_one()
            return
        before = self._api.down_since or now
        self._api = replace(self._api, down_since=None, doubted=None, unknowns=0)
        log.warning("works is up again", seconds=round(now - before))
        self._gate.close()
        self._tell_api(None)
