"""What became of one attempt to send, in the words of RFC 3464 §2.3.3.

An API that refuses mail is the relay's daily work, so a refusal is a value and not an exception.
"""

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What happened to the message."""

    RELAYED = "relayed"  # Works took it
    DELAYED = "delayed"  # it certainly was not taken; try again
    FAILED = "failed"  # it can never be taken
    HELD = "held"  # it waits for a person, and spends no attempts
    UNKNOWN = "unknown"  # it may have been taken: there is no idempotency key


class Blame(StrEnum):
    """Whose trouble it is."""

    MESSAGE = "message"  # this mail can never go
    REMOTE = "remote"  # the API is down, slow, or throttles
    GATEWAY = "gateway"  # our grant, our secret, our quota


class Scope(StrEnum):
    """What else must wait because of it."""

    MESSAGE = "message"  # this message only
    ACCOUNT = "account"  # every message of this account
    API = "api"  # every message: the domain's budget, or an outage


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt's end."""

    action: Action
    status: str  # enhanced status code, RFC 3463
    blame: Blame
    reason: str  # a sentence of ours; may stand in a reply
    scope: Scope = Scope.MESSAGE
    http_status: int | None = None  # None: no status line was read
    code: str = ""  # the API's own code, if it has the form [A-Z_]{1,40}
    diagnostic: str = ""  # the API's description, shortened; for the trace only
    retry_after: float | None = None  # seconds, when the answer said so
    # What is in trouble when a second, different message meets the same at once after this one: one
    # message's refusal may be its own, two are the account's or the API's.
    if_repeated: Scope | None = None

    @property
    def may_have_been_taken(self) -> bool:
        """Whether sending the message again could make a second mail of it."""
        return self.action in (Action.RELAYED, Action.UNKNOWN)
