"""What the parts find wrong, as troubles of the one registry."""

import structlog

from relay import metrics
from relay.courier.judgement import AccountHold
from relay.envelope import Origin
from relay.host.display import count
from relay.operator.trouble import Troubles
from relay.outcome import Action, Cause, Outcome, TroubleKind
from relay.spool import Entry, Topic, Word

log = structlog.get_logger("service")


class Reports:
    """Begins and ends troubles by what the parts of the service tell."""

    def __init__(self, troubles: Troubles) -> None:
        """Args:
        troubles: the registry.
        """
        self._troubles = troubles

    def damaged(self, name: str, reason: str) -> None:
        """The spool set something aside. Each finding is news, also the same one again."""
        metrics.DAMAGED.inc()
        self._troubles.end(TroubleKind.DAMAGE, name)
        self._troubles.begin(TroubleKind.DAMAGE, name, reason)

    def hear(self, word: Word) -> None:
        """A person has dealt with a message: when it comes to the same again, that is news."""
        if word.topic is Topic.CHANGED:
            for kind in (TroubleKind.MESSAGE_HELD, TroubleKind.NOT_TOLD, TroubleKind.DAMAGE):
                self._troubles.end(kind, word.queue_id)

    def accepting_changed(self, reason: str, cause: Cause) -> None:
        """New mail is refused for this reason, or taken again ("")."""
        self.report(TroubleKind.NO_ROOM, reason, cause)

    def converter_changed(self, reason: str) -> None:
        """Large messages cannot be converted for this reason, or can be again ("")."""
        self.report(TroubleKind.CONVERTER, reason)

    def report(self, kind: TroubleKind, reason: str, cause: Cause = Cause.OTHER) -> None:
        """Something of which there is one in the relay is wrong for this reason, or is over ("")."""
        if reason:
            if self._troubles.find(kind) is None:
                log.error("trouble", kind=kind.value, reason=reason)
            self._troubles.begin(kind, "", reason, cause=cause)
        else:
            self._troubles.end(kind)

    def message_held(self, entry: Entry, outcome: Outcome) -> None:
        """A message waits for a person. It had its 250: it may wait, but not unseen."""
        if entry.envelope.origin is not Origin.NOTICE:  # nothing is said about what we say
            self._troubles.begin(
                TroubleKind.MESSAGE_HELD, entry.queue_id, outcome.reason, cause=outcome.cause
            )

    def nobody_told(self, entry: Entry, outcome: Outcome) -> None:
        """A message failed after its 250, and no notice to its sender could be made."""
        self._troubles.begin(TroubleKind.NOT_TOLD, entry.queue_id, outcome.reason, cause=outcome.cause)

    def account_changed(self, account: str, hold: AccountHold | None) -> None:
        """An account's mail waits, or goes again."""
        if hold is None:
            self.account_well(account)
        else:
            outcome = hold.outcome
            self._troubles.begin(
                TroubleKind.ACCOUNT, account, outcome.reason, person=hold.held, cause=outcome.cause
            )

    def account_well(self, account: str) -> None:
        """Nothing is wrong with an account any more."""
        self._troubles.end(TroubleKind.ACCOUNT, account)

    def grant_in_trouble(self, account: str, outcome: Outcome) -> None:
        """An account cannot renew its grant, and sends while its access token lives."""
        person = outcome.action is Action.HELD
        self._troubles.begin(TroubleKind.ACCOUNT, account, outcome.reason, person=person, cause=outcome.cause)

    def grant_expires(self, account: str, days: int, deadline: float) -> None:
        """A grant that does not renew itself dies in at most so many days, at this second since the epoch."""
        reason = f"the account's grant dies in at most {count(days, 'day')}"
        self._troubles.begin(TroubleKind.GRANT_EXPIRES, account, reason, deadline=deadline, stage=str(days))

    def grant_lasts(self, account: str) -> None:
        """An account's grant is another one, or dies no longer."""
        self._troubles.end(TroubleKind.GRANT_EXPIRES, account)

    def api_changed(self, outcome: Outcome | None) -> None:
        """Works is down, or up again."""
        if outcome is None:
            self._troubles.end(TroubleKind.API)
        else:
            self._troubles.begin(TroubleKind.API, "", outcome.reason, person=False, cause=outcome.cause)
