"""How bad a trouble is, and what to do about it: one line, which works as it is printed.

Every text that tells an operator of a trouble takes both from here.
"""

from collections.abc import Mapping

from relay.operator.trouble import Health
from relay.outcome import Cause, Trouble, TroubleKind

_LOGIN = "sudo relay login {name}"
_RELEASE = "sudo relay queue release --account {name}"
# An account's trouble by its cause; what is not here passes by itself, or is told by what waits.
_BY_CAUSE: Mapping[Cause, str] = {
    Cause.NO_GRANT: _LOGIN,
    Cause.GRANT_REFUSED: _LOGIN,
    Cause.UNAUTHORIZED: _LOGIN,
    Cause.APP_REFUSED: "compare client_id and client_secret with the Works Developer Console, "
    "then: sudo systemctl restart relay",
    # Held for it is only a grant that could not be renewed for an hour: it may be dead.
    Cause.AUTH_UNAVAILABLE: "see that the authorization server can be reached (sudo relay check), "
    "and if it can: sudo relay login {name}",
    Cause.NO_MAILBOX: "compare the account's user_id and works.api_url with: sudo relay help relay.toml, "
    "then: sudo systemctl reload relay",
    Cause.FORBIDDEN: f"let the account's owner and the app send mail in Works, then: {_RELEASE}",
    Cause.FOREIGN: f"find what answers in place of Works (sudo relay check), then: {_RELEASE}",
    Cause.UNCONFIGURED: "put the account back into relay.toml, or: sudo relay queue discard --account {name}",
    Cause.QUOTA: "wait for Works' limit, or look at what uses it: sudo relay queue list --account {name}",
}
_BY_KIND: Mapping[TroubleKind, str] = {
    TroubleKind.ACCOUNT: _RELEASE,
    TroubleKind.API: "",
    TroubleKind.GRANT_EXPIRES: _LOGIN,
    TroubleKind.UNVERIFIED: "send a test and see that it comes from the account's address, "
    "then: sudo relay accounts --confirm {name}",
    # A file without a row, and the database itself, cannot be traced.
    TroubleKind.DAMAGE: "sudo relay queue list --state held, and of what has no row: "
    "sudo relay help durability",
    TroubleKind.MESSAGE_HELD: "sudo relay trace {name}, then: sudo relay queue release {name}",
    TroubleKind.NOT_TOLD: "sudo relay trace {name}, and tell its sender",
    TroubleKind.NO_ROOM: "make room on the disk of state_dir",
    TroubleKind.CERTIFICATE: "put a new certificate and its own key in its place, "
    "which are read without a restart",
    TroubleKind.NOT_RELOADED: "sudo relay check, mend relay.toml, then: sudo systemctl reload relay",
    TroubleKind.RESTART: "sudo systemctl restart relay",
    TroubleKind.WAITING_LONG: "sudo relay queue list",
    TroubleKind.OVER_LIMIT: "look whether it repeats itself: sudo relay doctor",
    TroubleKind.CLOCK: "see that the clock is kept by the network: timedatectl",
    TroubleKind.CONVERTER: "look for its reason: sudo journalctl -u relay -g convert",
    TroubleKind.CONSOLE: "end the program that has the port, or name another [console] address",
    TroubleKind.REDIRECTED: "if it is not meant, take redirect_all out of [delivery], "
    "then: sudo systemctl reload relay",
    TroubleKind.ALERT: "sudo relay check --alert",
    TroubleKind.NODE: "look at that machine: sudo relay status; its relay.toml should be the same as here",
    TroubleKind.NO_SENDER: "look at each machine: sudo relay status, sudo journalctl -u relay -e",
}
_BAD = frozenset(
    {
        TroubleKind.API,
        TroubleKind.DAMAGE,
        TroubleKind.NOT_TOLD,
        TroubleKind.NO_ROOM,
        TroubleKind.NO_SENDER,
    }
)


def judge(trouble: Trouble, now: float) -> Health:
    """How bad it is.

    Args:
        trouble: which.
        now: seconds since the epoch: a deadline that has passed makes it bad.
    """
    passed = trouble.deadline is not None and trouble.deadline <= now
    own = trouble.kind is TroubleKind.ACCOUNT and trouble.person
    return Health.BAD if passed or own or trouble.kind in _BAD else Health.WARN


_BY_LACK = {
    Cause.SPOOL: "look at what keeps the spool, its database or its files: sudo relay check",
    Cause.MOST: "see why mail waits: sudo relay queue list; discard what failed, or raise most in [spool]",
}


def find_remedy(trouble: Trouble) -> str:
    """What a person can do; "" where it passes by itself."""
    if not trouble.person:
        return ""
    remedy = _BY_KIND[trouble.kind]
    if trouble.kind is TroubleKind.NO_ROOM:
        remedy = _BY_LACK.get(trouble.cause, remedy)
    if trouble.kind is TroubleKind.ACCOUNT:
        remedy = _BY_CAUSE.get(trouble.cause, remedy)
    return remedy.format(name=trouble.name)
