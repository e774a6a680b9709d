"""How an account's grant is: as the running service knows it, or as its file says."""

from typing import TYPE_CHECKING

from relay.config.model import Account
from relay.grants import EXPIRY_MARKS, GrantError
from relay.grants import Grant as Kept
from relay.operator.state import Grant, GrantHealth, Moment
from relay.outcome import Cause
from relay.spool import SpoolError
from relay.works.auth.keeping import Keeping
from relay.works.diagnosis import Failure, diagnose_failure

if TYPE_CHECKING:  # a command beside no service begins without them
    from relay.courier.standing import Standing
    from relay.works.auth.authorizer import Authorizer

NONE = Grant(GrantHealth.MISSING, "it is not in the configuration")
_DAY = 86400.0
# What the authorization server, or the API, says of a grant that is dead.
_DEAD = (Cause.GRANT_REFUSED, Cause.UNAUTHORIZED)


def look(authorizer: "Authorizer", standing: "Standing", account: Account, now: Moment) -> Grant | None:
    """As the service that runs knows it; None: it has not looked at it yet."""
    kept, failure = authorizer.grant(account.name), authorizer.trouble(account.name)
    if kept is None:
        if failure is Failure.NO_GRANT and (problem := authorizer.diagnostic(account.name)):
            return Grant(GrantHealth.UNREADABLE, problem)
        return _missing(account) if failure else None
    outcome = diagnose_failure(failure, account=account.name) if failure else None
    hold = standing.holds.get(account.name)
    if outcome is not None and outcome.cause in _DEAD:
        return _dead(kept, outcome.reason, now, lives=authorizer.can_send(account.name))
    if hold is not None and hold.outcome.cause in _DEAD:
        return _dead(kept, hold.outcome.reason, now, lives=False)
    return _describe(kept, account, now)


async def read(keeping: Keeping, account: Account, now: Moment) -> Grant:
    """As it is kept; whether Works takes it was not asked."""
    try:
        kept = (await keeping.load(account.name)).grant
    except GrantError as error:
        if isinstance(error.__cause__, SpoolError):
            return Grant(GrantHealth.UNKNOWN, str(error))
        forbidden = isinstance(error.__context__, PermissionError)
        advice = "; run this as the relay's own user or as root" if forbidden else ""
        return Grant(GrantHealth.UNREADABLE, f"{error}{advice}")
    return _missing(account) if kept is None else _describe(kept, account, now)


def _missing(account: Account) -> Grant:
    return Grant(GrantHealth.MISSING, f"nobody has consented for {account.address} yet")


def _dead(kept: Kept, reason: str, now: Moment, *, lives: bool) -> Grant:
    until = Moment(kept.expires_at) if lives and kept.expires_at > now else None
    return _tell(kept, GrantHealth.DEAD, reason, 0, until)


def _describe(kept: Kept, account: Account, now: Moment) -> Grant:
    left = kept.refresh_expires_at - now
    days = int(max(0.0, left) / _DAY)
    if left <= 0:
        until = Moment(kept.expires_at) if kept.expires_at > now else None
        return _tell(kept, GrantHealth.DEAD, "its time is over", 0, until)
    if left <= max(EXPIRY_MARKS) * _DAY:
        return _tell(kept, GrantHealth.DUE, f"consent is needed again in {days} days", days)
    if not kept.is_verified:
        problem = f"nobody knows whose mailbox consented; it should be {account.address}"
        return _tell(kept, GrantHealth.UNVERIFIED, problem, days)
    return _tell(kept, GrantHealth.ALIVE, "", days)


def _tell(
    kept: Kept, health: GrantHealth, problem: str, days: int, sends_until: Moment | None = None
) -> Grant:
    return Grant(
        health=health,
        problem=problem,
        whose=kept.whose,
        verified=kept.is_verified,
        consented_at=Moment(kept.consented_at),
        dies_at=Moment(kept.refresh_expires_at),
        days_left=days,
        sends_until=sends_until,
        rotation=kept.rotation,
        last_used=Moment(kept.used_at) if kept.used_at else None,
    )
