"""What a person should know of: from the registry of troubles, and from what can be seen at this moment."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from relay.grants import EXPIRY_MARKS
from relay.host.display import count
from relay.operator.remedies import find_remedy, judge
from relay.operator.state import (
    Account,
    Certificate,
    Concern,
    Disk,
    GrantHealth,
    Headline,
    Moment,
    Outage,
    Queue,
    Told,
)
from relay.operator.trouble import Health
from relay.outcome import Cause, Trouble, TroubleKind

_DAY, LONG = 86400.0, 3600.0  # seconds; so long may the oldest message wait
# Of what is bad, this first: it concerns all mail.
_FIRST = (TroubleKind.API.value, TroubleKind.NO_ROOM.value)
# Whoever looks sees whether these are so.
_VISIBLE = (TroubleKind.UNVERIFIED, TroubleKind.CERTIFICATE, TroubleKind.WAITING_LONG, TroubleKind.REDIRECTED)


def find_concerns(
    now: Moment,
    accounts: Sequence[Account],
    certificates: Sequence[Certificate],
    *,
    redirect_all: Sequence[str],
    disk: Disk | None,
    queue: Queue | None,
    known: Sequence[Trouble] | None,
) -> tuple[Concern, ...]:
    """All of them, the worst first.

    Args:
        now: this moment.
        accounts: how they stand.
        certificates: of listeners and of the console.
        redirect_all: who gets all mail in place of its recipients.
        disk: what the spool's disk has left.
        queue: what waits.
        known: what the registry of a running service holds; None where none runs.
    """
    seen = list(find_visible(now, accounts, certificates, queue))
    if redirect_all:
        seen.append(Trouble(TroubleKind.REDIRECTED, "", explain_redirection(redirect_all), now))
    if known is None:
        # Nobody else says it.
        seen += find_unreported(now, accounts, disk)
    found = [_describe(one, now) for one in _join(known or (), seen)]
    return tuple(
        sorted(found, key=lambda one: (one.health is not Health.BAD, one.kind not in _FIRST, one.since))
    )


def _join(known: Iterable[Trouble], seen: Iterable[Trouble]) -> Iterable[Trouble]:
    """What the registry knows, as it is now: since it was told last something may have begun, or be over."""
    visible = {(one.kind, one.name): one for one in seen}
    for one in known:
        now = visible.pop((one.kind, one.name), None)
        if now is not None:
            yield replace(one, reason=now.reason, deadline=now.deadline, stage=now.stage)
        elif one.kind not in _VISIBLE:
            yield one
    yield from visible.values()


def find_visible(
    now: Moment, accounts: Iterable[Account], certificates: Iterable[Certificate], queue: Queue | None
) -> Iterable[Trouble]:
    """What nobody reports, and whoever looks can see."""
    for account in accounts:
        if account.grant.health is GrantHealth.UNVERIFIED:
            yield Trouble(TroubleKind.UNVERIFIED, account.name, account.grant.problem, now)
    for one in certificates:
        if (found := _judge_certificate(one, now)) is not None:
            stage, reason = found
            yield Trouble(TroubleKind.CERTIFICATE, one.place, reason, now, deadline=one.expires, stage=stage)
    if queue is not None and queue.oldest is not None and now - queue.oldest > LONG:
        reason = "the oldest message has waited for more than an hour"
        yield Trouble(TroubleKind.WAITING_LONG, "", reason, queue.oldest + LONG)


def explain_redirection(redirect_all: Sequence[str]) -> str:
    """What [delivery] redirect_all does."""
    return f"all mail goes to {', '.join(redirect_all)}, and none to its recipients"


def _judge_certificate(one: Certificate, now: float) -> tuple[str, str] | None:
    """How far it has come, and the sentence; None: nothing is wrong with it."""
    if one.problem:
        return "not used", f"what is in its place now is not used, and the older one is: {one.problem}"
    if one.expires is None:
        return "unreadable", f"the certificate {one.file} cannot be read"
    if one.expires <= now:
        return "expired", f"the certificate {one.file} has expired: clients that look at it go away"
    left = (one.expires - now) / _DAY
    mark = next((days for days in EXPIRY_MARKS if left <= days), None)
    if mark is None:
        return None
    return str(mark), f"the certificate {one.file} expires in at most {count(mark, 'day')}"


def find_unreported(now: Moment, accounts: Iterable[Account], disk: Disk | None) -> Iterable[Trouble]:
    """What a running service reports to its registry, seen where none runs."""
    causes = {
        GrantHealth.DEAD: Cause.GRANT_REFUSED,
        GrantHealth.MISSING: Cause.NO_GRANT,
        GrantHealth.UNREADABLE: Cause.NO_GRANT,
    }
    for account in accounts:
        grant = account.grant
        if grant.health in causes:
            yield Trouble(TroubleKind.ACCOUNT, account.name, grant.problem, now, cause=causes[grant.health])
        elif grant.health is GrantHealth.DUE:
            yield Trouble(TroubleKind.GRANT_EXPIRES, account.name, grant.problem, now, deadline=grant.dies_at)
    if disk is not None and not disk.accepting:
        yield Trouble(TroubleKind.NO_ROOM, "", disk.reason, now)


def _describe(trouble: Trouble, now: float) -> Concern:
    return Concern(
        kind=trouble.kind.value,
        name=trouble.name,
        health=judge(trouble, now),
        reason=trouble.reason,
        remedy=find_remedy(trouble),
        since=Moment(trouble.since),
        person=trouble.person,
        deadline=None if trouble.deadline is None else Moment(trouble.deadline),
        told=tuple(Told(to, Moment(at)) for to, at in trouble.told),
    )


def write_headline(
    concerns: Sequence[Concern], outage: Outage | None, queue: Queue | None, *, running: bool, sending: bool
) -> tuple[Health, Headline]:
    """How all of it is, and what matters most."""
    waiting = queue.waiting if queue else 0
    if not running:
        return Health.BAD, Headline("the relay does not run", waiting=waiting)
    if not sending:
        known = [one.reason for one in concerns if one.kind == TroubleKind.NO_SENDER]
        text = known[0] if known else "nothing is sent any more; the log says why"
        return Health.BAD, Headline(text, waiting=waiting)
    if outage is not None:
        return Health.BAD, Headline("Works is down", outage.since, outage.next_try, waiting)
    if not concerns:
        return Health.OK, Headline("mail is taken and sent", waiting=waiting)
    first = concerns[0]
    subject = f"{first.kind} {first.name}: " if first.name else ""
    return first.health, Headline(f"{subject}{first.reason}", first.since, waiting=waiting)
