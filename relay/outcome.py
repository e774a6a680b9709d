"""What became of one attempt to send, in the words of RFC 3464 §2.3.3; and what is wrong for longer.

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


class Cause(StrEnum):
    """Why an attempt ended as it did, as far as anything is decided by it."""

    OTHER = "other"  # nothing is decided by it, or an older release stored it without a cause
    REFUSED = "refused"  # Works refuses the message, in its own words
    FOREIGN = "foreign"  # refused like a message, but not in Works' own words: a proxy, a gateway, a filter
    UNAUTHORIZED = "unauthorized"  # the API does not accept the access token (401)
    FORBIDDEN = "forbidden"  # the API does not permit the call (403)
    NO_MAILBOX = "no mailbox"  # the API does not know the mailbox, or the address (404)
    QUOTA = "quota"  # Works' own limit of the mailbox
    THROTTLED = "throttled"  # too many requests (429)
    UNAVAILABLE = "unavailable"  # the API says that it is not well, or gives an answer that nobody knows
    UNREACHABLE = "unreachable"  # no connection, or it broke
    NO_GRANT = "no grant"  # nobody has consented for the account
    GRANT_REFUSED = "grant refused"  # the authorization server refuses the account's grant
    APP_REFUSED = "app refused"  # the authorization server refuses client_id or client_secret
    AUTH_UNAVAILABLE = "auth unavailable"  # the authorization server cannot be used
    DAY_IS_FULL = "day is full"  # the account's own limit of recipients, before Works is asked
    INTERRUPTED = "interrupted"  # the relay ended while it was sending
    FAULT = "fault"  # a fault of the relay's own
    UNCONFIGURED = "unconfigured"  # the account is not in the configuration
    SPOOL = "spool"  # the spool itself cannot be used: its database, or its files
    MOST = "most"  # what is in the database has reached spool.most

    @classmethod
    def _missing_(cls, value: object) -> "Cause":  # noqa: ARG003 - enum's signature
        # A release that is gone back to may meet causes of a later one: the outcome is good all the same.
        return cls.OTHER


class Hold(StrEnum):
    """What a held message waits for."""

    NONE = ""  # it is not held
    DEVICE = "device"  # a person adopts the device that sent it
    PERSON = "person"  # a person held it, and releases it
    DAMAGE = "damage"  # its row or its content is not what was written
    OUTCOME = "outcome"  # its last attempt: nobody knows whether it was sent, or it cannot go as it is

    @property
    def reason(self) -> str:
        """The sentence for a message that waits for this before its first attempt."""
        return "held until its device is adopted; `relay learn` shows how" if self is Hold.DEVICE else ""


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
    cause: Cause = Cause.OTHER

    @property
    def may_have_been_taken(self) -> bool:
        """Whether sending the message again could make a second mail of it."""
        return self.action in (Action.RELAYED, Action.UNKNOWN)

    def is_news_after(self, before: "Outcome") -> bool:
        """Whether it is another sort of end; the same one in a sentence with another number is not."""
        return (self.action, self.cause) != (before.action, before.cause)


class TroubleKind(StrEnum):
    """What is wrong with the relay, or with what it needs."""

    ACCOUNT = "account"  # an account's mail waits
    API = "api"  # Works is down
    GRANT_EXPIRES = "grant expires"  # a grant dies soon, and does not renew itself
    DAMAGE = "damage"  # something in the spool is not what was written
    MESSAGE_HELD = "message held"  # a message waits for a person
    NOT_TOLD = "not told"  # a message failed, and its sender could not be told
    NO_ROOM = "no room"  # new mail is not accepted
    UNVERIFIED = "unverified"  # nobody knows whose mailbox consented for an account
    CERTIFICATE = "certificate"  # a listener's certificate expires soon, has expired or cannot be used
    NOT_RELOADED = "not reloaded"  # the relay goes on by an older configuration than the one on the disk
    RESTART = "restart needed"  # what changed in the configuration holds from the next start on
    WAITING_LONG = "waiting long"  # the oldest message waits for longer than an hour
    OVER_LIMIT = "over limit"  # a source sends more than it may
    CLOCK = "clock"  # the machine's clock was set
    CONVERTER = "converter"  # large messages cannot be converted
    CONSOLE = "console"  # the console has no port
    REDIRECTED = "redirected"  # all mail goes to redirect_all, and none to its recipients
    ALERT = "alert"  # a way to tell people does not work
    NODE = "node"  # a node of several is silent, or goes by another configuration than the one that sends
    NO_SENDER = "no sender"  # of several nodes none sends


# What is wrong with the whole relay, however many nodes it has: the one that sends finds it, and tells.
SHARED = frozenset(
    {
        TroubleKind.ACCOUNT,
        TroubleKind.API,
        TroubleKind.GRANT_EXPIRES,
        TroubleKind.DAMAGE,
        TroubleKind.MESSAGE_HELD,
        TroubleKind.NOT_TOLD,
        TroubleKind.UNVERIFIED,
        TroubleKind.WAITING_LONG,
        TroubleKind.REDIRECTED,
        TroubleKind.NODE,
    }
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a person should know of. Times are seconds since the epoch."""

    kind: TroubleKind
    name: str  # of the account or the message; "" where there is only one
    reason: str  # a sentence
    since: float
    person: bool = True  # whether a person must act; otherwise it passes by itself
    cause: Cause = Cause.OTHER  # of an account's trouble: it says what helps
    deadline: float | None = None  # when it gets worse by itself
    ended: float | None = None  # None: it goes on
    told: tuple[tuple[str, float], ...] = ()  # who was told, and when
    # How far it has come, or which one it is of those that its kind knows: a value. Another one is news.
    stage: str = ""

    @property
    def sort(self) -> str:
        """By what news is known, which a sentence with another number in it is not."""
        return "/".join((self.cause.value, self.stage, "person" if self.person else ""))

    def name_among(self, node: str) -> str:
        """Its name among those of all nodes: what is wrong with one node alone begins with that node's name.

        Args:
            node: that has found it; "" where there is only one.
        """
        return self.name if not node or self.kind in SHARED else f"{node} {self.name}".rstrip()
