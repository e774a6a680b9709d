"""One client's session: its commands, read and answered one by one.

Stands on aiosmtpd's protocol class for the streams; its command loop, its DATA and its address
grammar are replaced, because stock ones hold whole messages in memory, end them at the wrong
moment and decode what they should not.
"""

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog
from aiosmtpd.smtp import SMTP

from relay import metrics, reply
from relay.config import Config, Listener, User
from relay.envelope import ContentWriter, Envelope, Submission
from relay.reply import Rejected, Reply
from relay.smtp import address, policy
from relay.smtp.auth import MECHANISMS, credentials
from relay.smtp.data import DataDecoder

log = structlog.get_logger("smtp")
# RFC 5321 §4.5.3.1.4 says 512 octets, RFC 4954 §4 12288 for AUTH; between them, room for all.
_LONGEST_COMMAND = 12_288
_BLOCK = 256 * 1024
_MOST_ERRORS = 20
_IDLE = 300.0  # seconds, RFC 5321 §4.5.3.2.7


class Intake(Protocol):
    """What the session needs of the other side of the door."""

    def writer(self) -> ContentWriter:
        """Where content flows."""

    def check_recipient(self, user: User | None, reverse_path: str) -> Reply | None:
        """A refusal, if no account can send for this sender."""

    async def accept(self, submission: Submission, user: User | None) -> Reply:
        """Take the message, or say why not."""


@dataclass(slots=True)
class Door:
    """What all sessions of one listener share."""

    config: Config
    listener: Listener
    intake: Intake
    tls_context: ssl.SSLContext | None

    @property
    def limit(self) -> int:
        """The SIZE advertised, in octets."""
        return self.config.message_limit(self.listener)


@dataclass(slots=True)
class Transaction:
    """A mail transaction (RFC 5321 §3.3) that MAIL opened."""

    reverse_path: str
    forward_paths: list[str]
    delivery_options: bool = False


class Close(Exception):  # noqa: N818 - a wish, not an error
    """The session ends after what was said."""


class Session(SMTP):
    """One client's session."""

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(handler=object(), hostname=door.config.hostname, timeout=_IDLE, loop=loop)
        self._door = door
        self._id = secrets.token_hex(4)
        self._log = log.bind(session=self._id)
        self._peer = ""
        self._helo = ""
        self._user: User | None = None
        self._transaction: Transaction | None = None
        self._errors = 0
        self._secure = False
        self._verbs: dict[str, Callable[[str], Awaitable[Reply | None]]] = {
            "HELO": self._helo_verb,
            "EHLO": self._ehlo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": self._noop,
            "QUIT": self._quit,
            "VRFY": self._vrfy,
            "HELP": self._help,
        }

    async def _say(self, answer: Reply) -> None:
        self._writer.write(f"{answer}\r\n".encode("ascii"))
        await self._writer.drain()

    async def _handle_client(self) -> None:
        assert self.transport is not None  # noqa: S101 - aiosmtpd calls this from connection_made
        self._reader._limit = _BLOCK  # type: ignore[attr-defined]  # blocks, not lines, set the pace
        self._peer = (self.transport.get_extra_info("peername") or ("",))[0]
        self._secure = self.transport.get_extra_info("ssl_object") is not None
        if not policy.may_connect(self._door.listener, self._peer):
            self._log.info("session refused", client=self._peer, reason="network")
            metrics.CONNECTIONS.labels("refused").inc()
            await self._say(reply.NETWORK_NOT_ALLOWED)
            self._writer.close()
            return
        self._log.debug("session opened", client=self._peer)
        metrics.CONNECTIONS.labels("accepted").inc()
        with (
            metrics.SESSIONS.track_inprogress(),
            contextlib.suppress(Close, ConnectionError, asyncio.IncompleteReadError),
        ):
            await self._say(Reply(220, "", f"{self._door.config.hostname} ESMTP relay"))
            while True:
                await self._one_command(await self._line())
        self._writer.close()
        self._log.debug("session closed", client=self._peer)

    async def _line(self) -> str:
        self._reset_timeout()
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            line = b" " * (_LONGEST_COMMAND + 1)
        if len(line) > _LONGEST_COMMAND:
            await self._say(reply.LINE_TOO_LONG)
            raise Close
        return line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")

    async def _one_command(self, line: str) -> None:
        verb, _, argument = line.strip().partition(" ")
        try:
            answer = await self._verbs.get(verb.upper(), self._unknown)(argument.strip())
        except Rejected as rejected:
            answer = rejected.reply
        except (Close, ConnectionError, asyncio.IncompleteReadError):
            raise
        except Exception:  # noqa: BLE001 - logged, answered
            # The client hears a fixed sentence; what happened goes to the log.
            self._log.exception("command failed", verb=verb.upper()[:10])
            answer = reply.INTERNAL
        if answer is not None:
            await self._say(answer)
            await self._count(answer)

    async def _count(self, answer: Reply) -> None:
        self._errors += int(answer.code >= 500)  # noqa: PLR2004 - 5yz, RFC 5321 §4.2.1
        if self._errors > _MOST_ERRORS:
            await self._say(reply.TOO_MANY_ERRORS)
            raise Close

    async def _unknown(self, _: str) -> Reply:
        return reply.UNKNOWN_COMMAND

    async def _helo_verb(self, argument: str) -> Reply:
        self._helo, self._transaction = argument, None
        return Reply(250, "", self._door.config.hostname)

    async def _ehlo(self, argument: str) -> None:
        self._helo, self._transaction = argument, None
        lines = [self._door.config.hostname, "PIPELINING", f"SIZE {self._door.limit}", "8BITMIME", "SMTPUTF8"]
        lines.append("ENHANCEDSTATUSCODES")
        if self._door.listener.tls == "starttls" and not self._secure:
            lines.append("STARTTLS")
        if self._may_login():
            lines.append(f"AUTH {' '.join(MECHANISMS)}")
        text = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
        self._writer.write(text.encode("ascii"))
        await self._writer.drain()

    def _may_login(self) -> bool:
        listener = self._door.listener
        return listener.auth != "off" and (self._secure or listener.auth_without_tls)

    async def _starttls(self, _: str) -> None:
        if self._secure or self._door.tls_context is None or self._door.listener.tls != "starttls":
            raise Rejected(reply.NO_TLS)
        # What came in plain text after STARTTLS is not the client's (RFC 3207 §6).
        self._reader._buffer.clear()  # type: ignore[attr-defined]
        await self._say(reply.START_TLS)
        assert self.transport is not None  # noqa: S101 - the session is open
        secured = await self.loop.start_tls(self.transport, self, self._door.tls_context, server_side=True)  # type: ignore[arg-type]
        self._reader._transport = self._writer._transport = self.transport = secured  # type: ignore[attr-defined]
        self._secure, self._helo, self._transaction, self._user = True, "", None, None

    async def _auth(self, argument: str) -> Reply:
        if self._user is not None:
            return reply.ALREADY_LOGGED_IN
        if self._door.listener.auth == "off":
            return reply.NO_AUTH
        if not self._may_login():
            return reply.AUTH_NEEDS_TLS
        name, password = await credentials(argument, self._challenge)
        self._user = await policy.login(self._door.config, name, password)
        self._log.info("login", client=self._peer, user=name, accepted=self._user is not None)
        metrics.LOGINS.labels("accepted" if self._user else "refused").inc()
        return reply.LOGGED_IN if self._user else reply.LOGIN_REFUSED

    async def _challenge(self, text: bytes) -> bytes:
        import base64

        self._writer.write(b"334 " + base64.b64encode(text) + b"\r\n")
        await self._writer.drain()
        self._reset_timeout()
        return await self._reader.readuntil(b"\n")

    async def _mail(self, argument: str) -> Reply:
        if self._transaction is not None:
            return reply.NESTED_MAIL
        if self._door.listener.auth == "required" and self._user is None:
            return reply.LOGIN_REQUIRED
        path, parameters = address.split_path(_after(argument, "FROM:"))
        given = _parameters(parameters)
        if int(given.get("SIZE", "0") or 0) > self._door.limit:
            return reply.TOO_LARGE
        reverse_path = address.check_reverse_path(path, self._door.config.hostname)
        policy.check_sender(self._user, reverse_path)
        self._transaction = Transaction(reverse_path, [], "RET" in given or "ENVID" in given)
        return reply.SENDER_OK

    async def _rcpt(self, argument: str) -> Reply:
        if self._transaction is None:
            return reply.NO_TRANSACTION
        path, parameters = address.split_path(_after(argument, "TO:"))
        forward_path = address.check_forward_path(path)
        refusal = self._door.intake.check_recipient(self._user, self._transaction.reverse_path)
        if refusal is not None:
            return refusal
        given = _parameters(parameters)
        self._transaction.delivery_options |= "NOTIFY" in given or "ORCPT" in given
        self._transaction.forward_paths.append(forward_path)
        return reply.RECIPIENT_OK

    async def _data(self, _: str) -> Reply:
        transaction = self._transaction
        if transaction is None:
            return reply.NO_TRANSACTION
        if not transaction.forward_paths:
            return reply.NO_RECIPIENTS
        await self._say(reply.START_DATA)
        self._transaction = None
        writer = self._door.intake.writer()
        try:
            refusal = await self._receive(writer)
            if refusal is not None:
                return refusal
            submission = Submission(self._envelope(transaction), await asyncio.to_thread(writer.finish))
        finally:
            writer.discard()
        # Whoever hangs up now changes nothing for the message: it is taken or refused all the same.
        return await asyncio.shield(asyncio.ensure_future(self._door.intake.accept(submission, self._user)))

    async def _receive(self, writer: ContentWriter) -> Reply | None:
        decoder, refusal = DataDecoder(), None
        while not decoder.done:
            self._reset_timeout()
            block = await self._reader.read(_BLOCK)
            if not block:
                raise ConnectionError("the client left within DATA")
            content = decoder.feed(block)
            if refusal is None and writer.size + len(content) > self._door.limit:
                refusal = reply.TOO_LARGE
                writer.discard()
            if refusal is None:
                refusal = _write(writer, content)
        self._reader._buffer[:0] = decoder.rest  # type: ignore[attr-defined]  # pipelined commands
        return refusal

    def _envelope(self, transaction: Transaction) -> Envelope:
        tls = self.transport.get_extra_info("ssl_object") if self.transport else None
        return Envelope(
            reverse_path=transaction.reverse_path,
            forward_paths=tuple(transaction.forward_paths),
            arrival_date=datetime.now(UTC),
            client_address=self._peer,
            helo=self._helo,
            user=self._user.name if self._user else None,
            listener=self._door.listener.address,
            tls=f"{tls.version()} {tls.cipher()[0]}" if tls else "",
            session=self._id,
            delivery_options=transaction.delivery_options,
            priority=(self._user.priority if self._user else "") or self._door.listener.priority,
        )

    async def _rset(self, _: str) -> Reply:
        self._transaction = None
        return reply.OK

    async def _noop(self, _: str) -> Reply:
        return reply.OK

    async def _vrfy(self, _: str) -> Reply:
        return reply.CANNOT_VERIFY

    async def _help(self, _: str) -> Reply:
        return reply.HELP

    async def _quit(self, _: str) -> None:
        await self._say(reply.BYE)
        raise Close


def _after(argument: str, keyword: str) -> str:
    if argument[: len(keyword)].upper() != keyword:
        raise Rejected(reply.BAD_PATH_SYNTAX)
    return argument[len(keyword) :]


def _parameters(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for word in text.split():
        keyword, _, value = word.partition("=")
        given[keyword.upper()] = value
    if not given.get("SIZE", "0").isdecimal():
        raise Rejected(reply.BAD_ARGUMENT)
    return given


def _write(writer: ContentWriter, content: bytes) -> Reply | None:
    try:
        writer.write(content)
    except OSError as error:
        log.error("content cannot be written", reason=error.strerror)
        writer.discard()
        return reply.SPOOL_FULL
    return None
