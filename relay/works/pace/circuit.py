"""When the API is down, and when an account is: what one refusal hints at, two different messages prove.

While the circuit is open nothing is sent but one probe at a time, at most one in 30 s, so that an
outage spends no attempts and gathers few unknown outcomes.
"""

from dataclasses import dataclass, field, replace

from relay.outcome import Action, Outcome, Scope

PROBE_EVERY = 30.0  # seconds
# A probe that ends unknown may have become a mail: in a long outage of that kind probe less often.
_PATIENT_AFTER, _PATIENT_EVERY = 10, 300.0  # probes, seconds


@dataclass(slots=True)
class Circuit:
    """Whether the API takes anything at all. Times are of the monotonic clock, in seconds."""

    down_since: float | None = None  # None: it is up, as far as is known
    probing: bool = False
    next_probe_at: float = 0.0
    _suspect: str = ""  # the message that met trouble last
    _first_trouble_at: float = 0.0
    _unknown_probes: int = 0
    _refused: dict[str, str] = field(default_factory=dict)  # account: the message refused; "": any

    def free_in(self, now: float) -> float:
        """Seconds until the next request may start; 0 when it is now. While a probe runs, a poll."""
        if self.down_since is None:
            return 0.0
        return 1.0 if self.probing else max(0.0, self.next_probe_at - now)

    def take(self, now: float) -> None:
        """A request starts; if the circuit is open, it is the probe."""
        if self.down_since is not None:
            self.probing = True
            self.next_probe_at = now + self._every()

    def release(self) -> None:
        """The request ended, or was never made."""
        self.probing = False

    def _every(self) -> float:
        return _PATIENT_EVERY if self._unknown_probes >= _PATIENT_AFTER else PROBE_EVERY

    def judge(self, account: str, message: str, outcome: Outcome, now: float) -> Outcome:
        """Learn from one message's outcome; the outcome, or what it means after the one before."""
        if outcome.if_repeated is Scope.API:
            self._doubt(message, outcome, now)
        elif outcome.http_status is not None:
            self._recover()
        if outcome.if_repeated is not Scope.ACCOUNT:
            if outcome.action is Action.RELAYED:
                self._refused.pop(account, None)
            return outcome
        before = self._refused.setdefault(account, message)
        if before == message:
            return outcome
        # It is the account's trouble now: for the first of the two as well, when it comes again.
        self._refused[account] = ""
        return replace(outcome, action=Action.HELD, scope=Scope.ACCOUNT)

    def _doubt(self, message: str, outcome: Outcome, now: float) -> None:
        if self.down_since is not None:
            self._unknown_probes += outcome.action is Action.UNKNOWN
        elif self._suspect and self._suspect != message:
            self.down_since = self._first_trouble_at
            self.next_probe_at = now + PROBE_EVERY
        if not self._suspect:
            self._first_trouble_at = now
        self._suspect = message

    def _recover(self) -> None:
        self.down_since = None
        self._suspect = ""
        self._unknown_probes = 0

    def release_account(self, account: str) -> None:
        """Somebody looked after the account: one refusal is one again."""
        self._refused.pop(account, None)
