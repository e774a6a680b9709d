"""The last session of each client address, in memory: what the doctor reads.

Commands and replies are kept without secrets and content: of AUTH only the mechanism, of what is no
command only its length, of DATA only how much came. Everything is bounded: addresses, lines of a
session, the length of a line.
"""

import asyncio
import re
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from relay.config.networks import read_address
from relay.devices.client_hello import read_hello
from relay.reply import Reply

_MOST_ADDRESSES = 1_000
_MOST_LINES = 120  # of a session: the first ones tell what a device is, the last ones what happened
_FIRST_LINES = 40
_LONGEST_LINE = 200
_MOST_MESSAGES = 10  # of a session, whose fate is looked up
_MOST_LIVE_LINES = 2_000  # for `relay doctor --live`
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]")
# Their arguments say how a device speaks and hold no secret.
_SHOWN = frozenset({"EHLO", "HELO", "MAIL", "RCPT", "BDAT"})
_BARE = frozenset({"DATA", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP", "STARTTLS", "TURN", "ETRN"})
# SASL mechanisms that clients try (IANA's registry); another word after AUTH may be a password.
_MECHANISMS = frozenset(
    {"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "NTLM", "GSSAPI", "XOAUTH2", "OAUTHBEARER", "EXTERNAL"}
    | {f"SCRAM-SHA-{size}{plus}" for size in ("1", "256", "512") for plus in ("", "-PLUS")}
)
# Other protocols that knock at a mail server's port.
_FOREIGN = frozenset({"GET", "POST", "HEAD", "OPTIONS", "CONNECT", "PROXY", "SSH-2.0", "USER"})
_COMMANDS = _SHOWN | _BARE | _FOREIGN | {"AUTH"}


# Blanks and controls that stand for one; what Python calls white space beyond ASCII is none to SMTP.
BLANKS = " \t\v\f\r"
_COMMAND = re.compile(rf"([^{BLANKS}]*)[{BLANKS}]*(.*)", re.DOTALL)


def split_command(line: str) -> tuple[str, str]:
    """A command line's verb, in capitals, and its argument (RFC 5321 §4.1.1)."""
    found = _COMMAND.fullmatch(line.strip(BLANKS))
    assert found is not None  # noqa: S101 - it matches every line
    return found[1].upper(), found[2]


class DeviceFault(StrEnum):
    """What went wrong in a way that no reply tells."""

    TLS_ON_PLAIN_PORT = "tls-on-plain-port"
    PLAIN_ON_TLS_PORT = "plain-on-tls-port"
    TLS_FAILED = "tls-failed"  # detail: OpenSSL's name of the reason
    LOGIN_FAILED = "login-failed"  # detail: the user name
    TIMEOUT = "timeout"  # detail: command, data, tls
    HUNG_UP = "hung-up"  # without QUIT; detail: greeting (on a TLS port), command, data, tls, reply
    BARE_DOT = "bare-dot"  # LF.LF stood where CRLF.CRLF ends the data
    BAD_PROXY_HEADER = "bad-proxy-header"


class Mark(StrEnum):
    """What kind of line it is, as far as anything is decided by it."""

    TEXT = "text"
    CONTENT = "content"  # content came to its end
    END = "end"  # of the session


class Line(NamedTuple):
    """One line of a session, or a reply of several."""

    at: float  # seconds since the epoch
    side: str  # C: the client, S: the relay, -: a remark
    text: str  # "" of a reply
    mark: Mark = Mark.TEXT
    reply: Reply | None = None

    @property
    def texts(self) -> list[str]:
        """What was said, line by line: what EHLO is answered has one for each extension."""
        if self.reply is None:
            return [self.text]
        return [text[:_LONGEST_LINE] for text in self.reply.encode().decode("ascii").splitlines()]


class LiveLine(NamedTuple):
    """One line, for whoever follows all sessions."""

    serial: int
    client: str
    session: str
    line: Line


@dataclass(slots=True)
class Record:
    """One session, as it is told to the doctor."""

    client: str
    listener: str
    session: str
    started: float  # seconds since the epoch
    _recorder: "Recorder"
    ended: float | None = None
    helo: str = ""
    user: str | None = None
    tls: str = ""  # version and cipher
    offered: str = ""  # the highest TLS version that the client offers
    size: int = 0  # octets of the last content that came, whole or not
    lines: list[Line] = field(default_factory=list)
    left_out: int = 0  # lines between the first and the last ones
    replies: list[Reply] = field(default_factory=list)  # the last refusals, each once
    verbs: list[str] = field(default_factory=list)  # the first of each, in order
    troubles: dict[DeviceFault, str] = field(default_factory=dict)
    taken: int = 0  # messages that had their 250
    queue_ids: list[str] = field(default_factory=list)  # of the last of these

    def hung_up(self, phase: str) -> None:
        """The client left without QUIT, as many do once their message is taken."""
        if phase != "command" or not self.taken:
            self.note(DeviceFault.HUNG_UP, phase)

    def heard(self, line: str) -> tuple[str, str]:
        """Record a command line; its verb and argument, as `split_command` tells them."""
        verb, argument = split_command(line)
        if verb in _SHOWN:
            self._add("C", f"{verb} {argument}".strip())
            self.helo = _clean(argument) if verb in ("EHLO", "HELO") else self.helo
        elif verb == "AUTH":
            mechanism = argument.partition(" ")[0].upper()
            self._add("C", f"AUTH {mechanism if mechanism in _MECHANISMS else ''}…")
        elif verb in _BARE or verb in _FOREIGN:
            self._add("C", verb)
        else:
            # It may be a password that came at the wrong moment.
            self._add("C", f"(not an SMTP command, {len(line)} characters)")
        known = verb if verb in _COMMANDS else "?"
        if known not in self.verbs:
            self.verbs.append(known)
        return verb, argument

    def said(self, answer: Reply) -> None:
        """The relay gave this reply."""
        self._keep(Line(time.time(), "S", "", reply=answer))
        if answer.code >= 400 and answer not in self.replies:  # noqa: PLR2004 - 4yz and 5yz
            del self.replies[:-19]
            self.replies.append(answer)

    def took(self, size: int, answer: Reply) -> None:
        """Content came to its end, and will be answered by this reply."""
        self.size = size
        self.taken += answer.accepted
        if answer.accepted and answer.queue_id:
            del self.queue_ids[: 1 - _MOST_MESSAGES]
            self.queue_ids.append(answer.queue_id)
        self._add("-", f"content of {size} octets", Mark.CONTENT)

    def broke_off(self, size: int) -> None:
        """The session is over before its content came to an end."""
        self.size = size
        self._add("-", f"{size} octets of content, and no end")

    def hello(self, octets: bytes) -> None:
        """These octets begin a TLS handshake."""
        found = read_hello(octets)
        if found is not None:
            self.offered = found.version
            self._add("-", f"TLS offered up to {found.version}, {len(found.ciphers)} ciphers")

    def secured(self, version: str, cipher: str) -> None:
        """TLS was agreed on, with this version and cipher."""
        self.tls = f"{version} {cipher}"
        self._add("-", self.tls)

    def logged_in(self, user: str) -> None:
        """A login was accepted, as this user."""
        self.user = user
        self._add("-", f"logged in as {user}")

    def note(self, trouble: DeviceFault, detail: str = "") -> None:
        """Record a fault that no reply tells; of several details the last one counts."""
        self.troubles[trouble] = _clean(detail)
        self._add("-", f"{trouble.value.replace('-', ' ')} {detail}")

    def remark(self, text: str) -> None:
        """Record what is neither a command nor a reply."""
        self._add("-", text)

    def close(self) -> None:
        """The session is over."""
        if self.ended is None:
            self.ended = time.time()
            self._add("-", "closed", Mark.END)
            self._recorder.ended(self)

    @property
    def owes_reply(self) -> bool:
        """Whether the relay had not answered yet when nothing more was heard."""
        return bool(self.lines) and self.lines[-1].mark is Mark.CONTENT

    @property
    def troubled(self) -> bool:
        """Whether anything went wrong in it."""
        return bool(self.replies or self.troubles)

    def _add(self, side: str, text: str, mark: Mark = Mark.TEXT) -> None:
        self._keep(Line(time.time(), side, _clean(text), mark))

    def _keep(self, line: Line) -> None:
        if len(self.lines) >= _MOST_LINES:
            del self.lines[_FIRST_LINES]
            self.left_out += 1
        self.lines.append(line)
        self._recorder.follow(self, line)


@dataclass(slots=True)
class ClientHistory:
    """The records that are kept of one client address."""

    last: Record
    troubled: Record | None = None  # the last one in which something went wrong


class Recorder:
    """Keeps records; the address that was heard longest ago is forgotten first."""

    def __init__(self, most: int = _MOST_ADDRESSES) -> None:
        self._most = most
        self._visits: OrderedDict[str, ClientHistory] = OrderedDict()
        self._live: deque[tuple[int, str, str, Line]] = deque(maxlen=_MOST_LIVE_LINES)
        self._serial = 0
        self._news = asyncio.Event()
        self.started = time.time()

    def open(self, client: str, listener: str, session: str) -> Record:
        """A client connected."""
        client = str(read_address(client) or client)
        record = Record(client, listener, session, time.time(), self)
        visits = self._visits.get(client)
        if visits is None:
            self._visits[client] = ClientHistory(record)
        else:
            visits.last = record
        self._visits.move_to_end(client)
        while len(self._visits) > self._most:
            self._visits.popitem(last=False)
        record.remark(f"connected to {listener}")
        return record

    def ended(self, record: Record) -> None:
        """A session is over: its record is kept as the troubled one if it was that."""
        visits = self._visits.get(record.client)
        if visits is not None and record.troubled:
            visits.troubled = record

    def visits(self, client: str) -> ClientHistory | None:
        """What is known of an address."""
        return self._visits.get(client)

    def all(self) -> list[ClientHistory]:
        """What is known of every address, the latest first."""
        return list(reversed(self._visits.values()))

    def follow(self, record: Record, line: Line) -> None:
        """Pass a session's line on to whoever follows them."""
        self._serial += 1
        self._live.append((self._serial, record.client, record.session, line))
        self._news.set()

    async def news(self, after: int, patience: float) -> tuple[int, list[LiveLine]]:
        """Lines with a serial above `after`, waited for so many seconds; and the last serial."""
        if after >= self._serial:
            self._news.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._news.wait()
            except TimeoutError:
                return self._serial, []
        return self._serial, [LiveLine(*one) for one in self._live if one[0] > after]

    @property
    def serial(self) -> int:
        """The last line's."""
        return self._serial


def _clean(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text[:_LONGEST_LINE]
    return _UNPRINTABLE.sub("?", text)[:_LONGEST_LINE]
