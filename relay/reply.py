"""Every reply that the relay gives, by name.

A reply is what the client hears: a reply code (RFC 5321 §4.2), an enhanced status code (RFC 3463)
and one sentence that a person at a printer's panel can use. The two codes always agree. No text of
an exception and no text of the API ever gets into one.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

# A reply line is at most 512 octets with its code and CRLF (RFC 5321 §4.5.3.1.5).
_LONGEST_TEXT = 450
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


class Verdict(StrEnum):
    """What a reply says of a whole message."""

    RELAYED = "relayed"
    QUEUED = "queued"
    HELD = "held"  # until its device is adopted
    REFUSED = "refused"


@dataclass(frozen=True)
class Reply:
    """One SMTP reply; its octets are made once, as most replies are given again and again.

    Raises:
        ValueError: the reply code and the enhanced status code disagree.
    """

    code: int  # RFC 5321 §4.2.1
    enhanced: str  # class.subject.detail, RFC 3463 §2; "" where the code has none (354)
    text: str
    lines: tuple[str, ...] = ()  # further lines, as EHLO has them (RFC 5321 §4.2.1)
    verdict: Verdict | None = None  # None: it is not about a whole message
    queue_id: str = ""  # of the message, if it has one

    def __post_init__(self) -> None:
        # A 4yz reply that carries 5.x.x tells the client two different things.
        if self.enhanced and self.enhanced[0] != str(self.code)[0]:
            raise ValueError(f"{self.code} cannot carry {self.enhanced}")

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code), self.enhanced, self.plain)))

    @property
    def plain(self) -> str:
        """The text as the client gets it."""
        # Replies are ASCII in one line (RFC 5321 §4.2): a line break would be a second reply.
        plain = self.text.isascii() and self.text.isprintable()
        return (self.text if plain else _UNPRINTABLE.sub(" ", self.text))[:_LONGEST_TEXT]

    def encode(self) -> bytes:
        """The octets on the wire."""
        return self._octets

    @cached_property
    def _octets(self) -> bytes:
        first = str(self)
        if not self.lines:
            return f"{first}\r\n".encode("ascii")
        further = [f"{self.code}-{line}" for line in self.lines[:-1]] + [f"{self.code} {self.lines[-1]}"]
        return "\r\n".join([f"{self.code}-{first[4:]}", *further, ""]).encode("ascii")

    @property
    def accepted(self) -> bool:
        """Whether the reply takes responsibility for the message (RFC 5321 §6.1)."""
        return str(self.code).startswith("2")


class Unanswered(Exception):  # noqa: N818 - it is no error of the session's
    """No reply would be true: nobody knows yet whether the message is kept.

    The session ends without one, and the client sends the message again (RFC 5321 §4.2.5, RFC 1047).
    """


class Rejected(Exception):  # noqa: N818 - a decision, not an error
    """A check said no; the reply is what the client hears."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def queued(queue_id: str) -> Reply:
    """The message lies on stable storage and will be tried until it is taken."""
    return Reply(250, "2.0.0", f"queued, id={queue_id}", verdict=Verdict.QUEUED, queue_id=queue_id)


def relayed(queue_id: str) -> Reply:
    """Works has taken the message."""
    return Reply(250, "2.0.0", f"relayed, id={queue_id}", verdict=Verdict.RELAYED, queue_id=queue_id)


def held(queue_id: str) -> Reply:
    """The message lies on stable storage until a person adopts the device that sent it."""
    text = f"held until this device is adopted, id={queue_id}"
    return Reply(250, "2.0.0", text, verdict=Verdict.HELD, queue_id=queue_id)


def refused(status: str, reason: str, queue_id: str = "") -> Reply:
    """Nothing was sent and nothing will be; `status` is an enhanced status code of class 5."""
    code = 552 if status == "5.3.4" else 554
    text = f"{reason} (id={queue_id})" if queue_id else reason
    return Reply(code, status, text, verdict=Verdict.REFUSED, queue_id=queue_id)


OK = Reply(250, "2.0.0", "OK")
BYE = Reply(221, "2.0.0", "bye")
START_DATA = Reply(354, "", "end the message with a dot on a line of its own")
START_TLS = Reply(220, "2.0.0", "ready to start TLS")
LOGGED_IN = Reply(235, "2.7.0", "logged in")
SENDER_OK = Reply(250, "2.1.0", "sender OK")
RECIPIENT_OK = Reply(250, "2.1.5", "recipient OK")
CANNOT_VERIFY = Reply(252, "2.5.0", "addresses are not verified; send the message")
HELP = Reply(214, "2.0.0", "this is an SMTP relay; its administrator can help")
BAD_SYNTAX = Reply(500, "5.5.2", "this is not an SMTP command")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "command not implemented")
UNKNOWN_COMMAND = Reply(500, "5.5.1", "command not recognized")
LINE_TOO_LONG = Reply(500, "5.5.2", "the command line is too long")
BAD_ARGUMENT = Reply(501, "5.5.4", "the command's argument is not understood")
BAD_PATH_SYNTAX = Reply(501, "5.5.4", "an address in angle brackets is expected")
BAD_SEQUENCE = Reply(503, "5.5.1", "commands are out of order")
NO_TRANSACTION = Reply(503, "5.5.1", "MAIL FROM comes first")
NO_RECIPIENTS = Reply(503, "5.5.1", "RCPT TO comes first: no recipient was accepted")
NESTED_MAIL = Reply(503, "5.5.1", "a mail transaction is open already; RSET ends it")
NO_TLS = Reply(502, "5.5.1", "this listener does not offer STARTTLS")
TLS_ACTIVE = Reply(503, "5.5.1", "TLS is active already")
NO_AUTH = Reply(503, "5.5.1", "no login is needed here, and none is offered")
AUTH_NEEDS_TLS = Reply(538, "5.7.11", "start TLS before you log in")
AUTH_NEEDS_OTHER_PORT = Reply(
    538, "5.7.11", "a login needs TLS, and this port has none: choose no authentication, or another port"
)
ALREADY_LOGGED_IN = Reply(503, "5.5.1", "already logged in")
UNKNOWN_MECHANISM = Reply(504, "5.5.4", "log in with PLAIN or LOGIN")
AUTH_OTHER_IDENTITY = Reply(
    535, "5.7.8", "a login for somebody else is not offered; leave the authorization identity empty"
)
AUTH_ABORTED = Reply(501, "5.7.0", "login given up")
AUTH_BAD_BASE64 = Reply(501, "5.5.2", "the login is not in Base64, or not in the form that PLAIN has")
MIXED_DATA = Reply(503, "5.5.1", "the message began with BDAT; end it with BDAT LAST, or RSET")
CHUNK_TAKEN = Reply(250, "2.0.0", "octets received")
NO_TLS_NOW = Reply(454, "4.7.0", "TLS is not available now, try again later")
SPEAK_TLS = Reply(
    554, "5.7.0", "this port speaks TLS from the first octet: choose SSL/TLS on the device, or another port"
)
NOT_HTTP = Reply(554, "5.5.1", "this is SMTP, not HTTP")
UNKNOWN_PARAMETER = Reply(555, "5.5.4", "a parameter of this command is not implemented")
NETWORK_NOT_ALLOWED = Reply(
    554, "5.7.1", "this address may not connect here; ask for its network to be added"
)
NO_ACCOUNT = Reply(
    550, "5.7.1", "no Works account sends for this address; name one, or set a default account"
)
LOGIN_REQUIRED = Reply(530, "5.7.0", "log in first: set the device's SMTP user name and password")
TLS_REQUIRED = Reply(530, "5.7.0", "start TLS first: choose STARTTLS in the device's settings")
LOGIN_REFUSED = Reply(535, "5.7.8", "user name or password is wrong")
LOGIN_LOCKED = Reply(
    421, "4.7.0", "too many failed logins; wait an hour, or correct the password on the device"
)
LOGIN_UNAVAILABLE = Reply(454, "4.7.0", "the login could not be checked, try again later")
ORIGINATOR_NOT_ALLOWED = Reply(
    550, "5.7.1", "sending with this From or Sender field is not allowed; see may_send_as"
)
RECIPIENT_NOT_ALLOWED = Reply(
    550, "5.7.1", "mail to this domain is not allowed from here; see recipient_domains"
)
SENDER_NOT_ALLOWED = Reply(550, "5.7.1", "sending as this address is not allowed; see may_send_as")
BAD_REVERSE_PATH = Reply(553, "5.1.7", "the sender's address is not one that mail can carry")
SMTPUTF8_NEEDED = Reply(553, "5.6.7", "an address that is not ASCII needs SMTPUTF8")
BAD_FORWARD_PATH = Reply(553, "5.1.3", "the recipient's address is not one that mail can carry")
# A sender's address has a detail of its own (RFC 3463 §3.2).
ONE_SENDER = Reply(501, "5.1.7", "one address is expected in MAIL FROM")
ONE_ADDRESS = Reply(501, "5.1.3", "one address is expected in each RCPT TO")
NO_DOMAIN = Reply(501, "5.1.3", "the recipient's address needs a domain: name@example.com")
TOO_LARGE = Reply(
    552, "5.3.4", "the message is larger than this relay takes; scan with fewer pages or less dpi"
)
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "too many recipients in one message")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "too many errors, closing")
TOO_MANY_SESSIONS = Reply(421, "4.7.0", "too many sessions, try again later")
TOO_MANY_LOGINS = Reply(421, "4.7.0", "too many failed logins, closing")
TOO_MANY_MESSAGES = Reply(450, "4.7.1", "this source has sent its messages for this hour, try again later")
DEVICE_WAITS = Reply(450, "4.7.1", "this device waits until its administrator adopts it, try again later")
FAR_TOO_LARGE = Reply(421, "4.3.4", "the message goes on beyond twice the limit, closing")
TOO_BUSY = Reply(452, "4.3.1", "too many messages are arriving at once, send it again later")
OUT_OF_MEMORY = Reply(421, "4.3.1", "the relay has no room for more input, send it again later")
IDLE_TOO_LONG = Reply(421, "4.4.2", "nothing was heard for too long, closing")
CONNECT_AGAIN = Reply(421, "4.7.0", "what is allowed here has changed, connect again")
NO_LISTENER = Reply(421, "4.3.2", "no listener is configured for this port")
SHUTTING_DOWN = Reply(421, "4.3.2", "the relay is stopping, send it again later")
SPOOL_FULL = Reply(452, "4.3.1", "no room to keep the message, send it again later")
SPOOL_UNAVAILABLE = Reply(451, "4.3.0", "the message could not be kept, send it again later")
INTERNAL = Reply(421, "4.3.0", "the relay had a fault of its own, closing; send it again later")
# Why a client has to come again, where the relay and not the client is the reason.
OURS = frozenset(
    {SPOOL_FULL, SPOOL_UNAVAILABLE, TOO_BUSY, OUT_OF_MEMORY, NO_TLS_NOW, LOGIN_UNAVAILABLE, INTERNAL}
)
