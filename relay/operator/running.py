"""What the running relay knows to be wrong, as findings of a check: the same as `relay status` says."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from relay.config.model import Config
from relay.host.clock import to_local
from relay.operator import calling
from relay.operator.findings import Finding, Level
from relay.operator.trouble import Health
from relay.outcome import TroubleKind

# What the checks of accounts, listeners and [delivery] look at themselves.
_CHECKED = frozenset(
    {
        TroubleKind.ACCOUNT,
        TroubleKind.GRANT_EXPIRES,
        TroubleKind.UNVERIFIED,
        TroubleKind.CERTIFICATE,
        TroubleKind.REDIRECTED,
    }
)

# Bad as they are, mail goes on beside them.
_BESIDE = frozenset({TroubleKind.DAMAGE, TroubleKind.NOT_TOLD})

Concerns = tuple[dict[str, Any], ...]


async def ask_concerns(config: Config) -> Concerns:
    """What is wrong with it; nothing where none runs, or may be asked."""
    state = await calling.ask_state(config.control_socket)
    return tuple(state["concerns"]) if state else ()


def check_running(config: Config, concerns: Concerns) -> Iterable[Finding]:
    """What is wrong beside what is checked anyway."""
    names = {account.name for account in config.account}
    # An account that has left the configuration is checked by nobody else.
    return [
        _describe(one)
        for one in concerns
        if one["kind"] not in _CHECKED or (one["kind"] == TroubleKind.ACCOUNT and one["name"] not in names)
    ]


def find_held(concerns: Concerns) -> dict[str, Finding]:
    """Whose mail waits for a person, by the account's name."""
    return {
        one["name"]: _describe({**one, "reason": f"the running relay holds its mail: {one['reason']}"})
        for one in concerns
        if one["kind"] == TroubleKind.ACCOUNT and one["person"]
    }


def _describe(concern: dict[str, Any]) -> Finding:
    level = Level.PROBLEM if concern["health"] == Health.BAD else Level.WARNING
    since = to_local(datetime.fromisoformat(concern["since"]).timestamp())
    subject = f"{concern['kind']} {concern['name']}".rstrip()
    text, goes = f"{concern['reason']}; since {since}", concern["kind"] in _BESIDE
    return Finding(subject, level, text, concern["remedy"], mail_goes=goes)
