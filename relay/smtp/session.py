"""One client's session: its commands, read and answered one by one.

A subclass of aiosmtpd's protocol. Its streams, command loop, DATA and address grammar are replaced:
the stock ones hold whole messages in memory, end them at the wrong moment, decode what they should
not, and inspect the class anew for each connection. Every line is read in `_line`, every
reply given in `say`.
"""

import asyncio
import secrets
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, ClassVar

import structlog
from aiosmtpd.smtp import SMTP

from relay import reply
from relay.config import User
from relay.learn import Standing
from relay.reply import Rejected, Reply
from relay.smtp import login, policy
from relay.smtp.auth import MECHANISMS
from relay.smtp.content import take_chunk, take_data
from relay.smtp.door import Door
from relay.smtp.ends import Close, Cut, Flooded, Stopping, TimedOut
from relay.smtp.handshake import start_tls
from relay.smtp.heard import Hearing
from relay.smtp.hello import LONGEST_HELLO
from relay.smtp.leave import hang_up, linger, take_leave
from relay.smtp.limits import name_source
from relay.smtp.pace import Pace
from relay.smtp.receive import Overrun, read_chunk_size
from relay.smtp.recorder import Trouble
from relay.smtp.stream import LineTooLong, Stream
from relay.smtp.tls import explain, find_user, looks_like_tls, name_reason
from relay.smtp.transaction import Transaction

log = structlog.get_logger("smtp")
# RFC 5321 §4.5.3.1.4 says 512 octets, RFC 4954 §4 12288 for AUTH; between them, room for all.
_LONGEST_COMMAND = 12_288
_LONGEST_HELO = 255
# Commands that a session may have done before others are looked at.
_AT_A_TURN = 20
# So much input a session may hold when all together hold too much.
_MODEST = 16 * 1024
# Commands without a step forward that cost nothing; each further one counts as an error.
_MOST_IDLE_COMMANDS = 100
_IDLE_COMMANDS = frozenset({"HELO", "EHLO", "NOOP", "RSET", "VRFY", "HELP"})
# RFC 5321 and others know them, the relay does not do them.
_NOT_IMPLEMENTED = frozenset({"EXPN", "SEND", "SOML", "SAML", "TURN", "ETRN", "ATRN", "BURL", "XCLIENT"})
# A browser, or a page that makes one speak to this port (ALPACA).
_HTTP = frozenset({"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "TRACE", "PATCH"})


class Session(SMTP):
    """One client's session.

    Args:
        door: The listener's.
        peer: The client's address, as a PROXY header named it where there is one.
    """

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop, peer: str) -> None:
        # Not aiosmtpd's own: it inspects class and handler, and makes streams that are not used.
        self.loop = loop
        self.door = door
        self.id = secrets.token_hex(4)
        self.peer = peer
        self.source = name_source(peer)
        self.record = door.recorder.open(peer, door.listener.address, self.id)
        self._standing = door.learning.judge(door.config, door.listener, peer)
        self.helo = ""
        self.user: User | None = None  # by AUTH, or by a client certificate
        self.has_logged_in = False
        self.secure = False
        self.pace = Pace(door.guard.limits.idle, since=loop.time())
        self.stream = Stream(loop, door.guard.budget.hold)
        self.failed_logins = 0
        self._transaction: Transaction | None = None
        self._errors = 0
        self._idle_commands = 0
        self._stopping = False

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self.stream.transport = transport  # type: ignore[assignment]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Octets came."""
        greedy = len(data) + self.stream.pending > _MODEST
        if greedy and self.door.guard.budget.memory_is_full:
            self.stream.fail(Flooded())
            return
        self.stream.feed(data)

    def eof_received(self) -> bool:
        """The client sends no more; it may still be listening, except over TLS."""
        self.stream.feed_end(EOFError())
        self.loop.call_soon(self.door.intake.hung_up, self.id)
        return not self.secure

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone; what it has handed over is settled all the same."""
        if isinstance(error, ssl.SSLError):
            # With TLS 1.3 a client says only after the handshake that it does not trust us.
            self.record.note(Trouble.TLS_FAILED, name_reason(error))
        self.stream.feed_end(ConnectionResetError("the client is gone"))
        self.loop.call_soon(self.door.intake.hung_up, self.id)
        self.stream.resume_writing()

    def pause_writing(self) -> None:
        """The client does not read."""
        self.stream.pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self.stream.resume_writing()

    # The session's life.

    async def run(self) -> None:
        """Hold the session, from the banner to its end."""
        try:
            await self._converse()
        except TimedOut:
            self.record.note(Trouble.TIMEOUT, self._phase())
            hint = self._hint()
            if hint:
                self.record.note(Trouble.BARE_DOT)
            self._note("session timed out", hint=hint)
            await take_leave(self, reply.IDLE_TOO_LONG)
        except Stopping:
            await take_leave(self, reply.SHUTTING_DOWN)
        except Flooded:
            self._note("session cut off", reason="no room for input")
            await take_leave(self, reply.OUT_OF_MEMORY)
        except Cut:
            await linger(self)
        except Close:
            pass
        except (OSError, EOFError):
            self.record.hung_up(self._phase())
        finally:
            await self._end()

    async def _converse(self) -> None:
        self._identify()
        if self.stream.pending:
            log.debug("client talked before the banner", client=self.peer, session=self.id)
        await self.say(Reply(220, "", f"{self.door.config.hostname} ESMTP relay"))
        while True:
            for _ in range(_AT_A_TURN):
                await self._command(await self._line())
            # A thousand pipelined commands are read without waiting once: others have their turn too.
            await asyncio.sleep(0)

    def _phase(self) -> str:
        """What the session was at."""
        if self.is_receiving:
            return "data"
        return "reply" if self.record.owes_reply else "command"

    async def _end(self) -> None:
        await self.abandon()
        self.door.intake.ended(self.id)
        self.record.close()
        await hang_up(self)

    def expire(self, now: float, *, scarce: bool) -> None:
        """End the session if the client has had its time."""
        if self.pace.is_over(now, scarce=scarce):
            self.stream.fail(TimedOut())

    def stop(self, *, at_once: bool = False) -> None:
        """End the session between two messages, or at once."""
        self._stopping = True
        if self.pace.waits and (at_once or not self.is_receiving):
            self.stream.fail(Stopping())

    def abort(self) -> None:
        """Close the connection for good; what was said is written, or will not be."""
        if self.stream.transport is not None:
            self.stream.transport.abort()

    @property
    def is_receiving(self) -> bool:
        """Whether content is on its way."""
        return self._transaction is not None and self._transaction.receiver is not None

    def _hint(self) -> str | None:
        receiver = self._transaction.receiver if self._transaction else None
        if receiver is not None and receiver.ends_barely:
            return "it ended its data with a bare line end; only CR LF . CR LF ends data: see its line ends"
        return None

    def _note(self, event: str, **facts: object) -> None:
        self.door.guard.notes.write(event, client=self.peer, session=self.id, **facts)

    # Lines in, replies out.

    async def _line(self) -> str:
        if self._stopping:
            raise Stopping
        try:
            if not self.secure and await self._starts_tls():
                self._note(
                    "TLS on a plain port",
                    listener=self.door.listener.address,
                    remedy='choose STARTTLS on the device, or give it a listener with tls = "implicit"',
                )
                self.record.note(Trouble.TLS_ON_PLAIN_PORT)
                self.record.hello(self.stream.peek(LONGEST_HELLO))
                raise Close
            line = await self.stream.line(_LONGEST_COMMAND)
        except LineTooLong:
            await self.say(reply.LINE_TOO_LONG)
            raise Cut from None
        return self.record.heard(line.decode("utf-8", "surrogateescape"))

    async def _starts_tls(self) -> bool:
        if not self.stream.pending:
            await self.stream.more()
        return not self._idle_commands and not self.helo and looks_like_tls(self.stream.peek(3))

    async def say(self, answer: Reply, *, now: bool = False) -> None:
        """Give a reply; it goes with the next ones to pipelined commands, or now."""
        self.stream.put(answer.encode())
        if now or not self.stream.pending:
            await self.stream.flush()
        self.record.said(answer)

    async def ask(self, challenge: bytes) -> bytes:
        """Send a challenge of AUTH, already in Base64; gives the client's line, which nobody else sees."""
        self.stream.put(b"334 " + challenge + b"\r\n")
        await self.stream.flush()
        try:
            return await self.stream.line(_LONGEST_COMMAND)
        except LineTooLong:
            await self.say(reply.LINE_TOO_LONG)
            raise Cut from None

    async def _command(self, line: str) -> None:
        verb, _, argument = line.strip().partition(" ")
        verb = verb.upper()
        try:
            answer = await self._obey(verb, argument.strip())
        except Rejected as rejected:
            answer = rejected.reply
        except Overrun:
            answer = reply.FAR_TOO_LARGE
        except (Close, TimedOut, Stopping, Flooded, ConnectionError, EOFError):
            raise
        except Exception:
            # The client hears a fixed sentence; what happened goes to the log.
            log.exception("command failed", session=self.id, verb=verb if verb in self._VERBS else None)
            answer = reply.INTERNAL
        if answer is not None:
            await (self._conclude(answer) if verb in ("DATA", "BDAT") else self.say(answer))
            await self._weigh(verb, answer)

    async def _conclude(self, answer: Reply) -> None:
        """Answer a message, and tell the other side whether the client was there to hear it."""
        with Hearing(self.stream) as hearing:
            await self.say(answer)
            await self.stream.flush()
            if await hearing.heard():
                self.door.intake.replied(self.id)
        if answer.accepted and not self.is_in_transaction:
            self._idle_commands = 0  # a message: it has business here

    async def _weigh(self, verb: str, answer: Reply) -> None:
        """Count errors and idle chatter, and note a step forward."""
        if answer.code == 421:  # noqa: PLR2004 - RFC 5321 §3.8: the channel closes
            raise Cut
        idle = verb in _IDLE_COMMANDS
        self._idle_commands += idle
        wrong = answer.code >= 500 or (idle and self._idle_commands > _MOST_IDLE_COMMANDS)  # noqa: PLR2004
        self._errors += wrong
        if self._errors > self.door.guard.limits.errors:
            self._note("session cut off", reason="too many errors")
            await self.say(reply.TOO_MANY_ERRORS)
            raise Cut
        if not (idle or wrong):
            self.pace.step(self.loop.time())

    async def _obey(self, verb: str, argument: str) -> Reply | None:
        method = self._VERBS.get(verb)
        return await method(self, argument) if method else await self._unknown(verb)

    async def _unknown(self, verb: str) -> Reply:
        if verb in _HTTP:
            await self.say(reply.NOT_HTTP)
            raise Cut
        return reply.NOT_IMPLEMENTED if verb in _NOT_IMPLEMENTED else reply.UNKNOWN_COMMAND

    # Hello, and TLS.

    async def _hello(self, argument: str) -> Reply:
        await self.abandon()
        self.helo = "".join(c for c in argument if c.isprintable())[:_LONGEST_HELO]
        return Reply(250, "", self.door.config.hostname)

    async def _extended_hello(self, argument: str) -> Reply:
        return replace(await self._hello(argument), lines=self._extensions())

    def _extensions(self) -> tuple[str, ...]:
        lines = ["PIPELINING", f"SIZE {self.door.limit}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        lines += ["CHUNKING", f"LIMITS RCPTMAX={self.door.guard.limits.recipients}"]
        if self.door.listener.tls == "starttls" and not self.secure:
            lines.append("STARTTLS")
        if self.may_login:
            lines.append(f"AUTH {' '.join(MECHANISMS)}")
        return tuple(lines)

    @property
    def may_login(self) -> bool:
        """Whether AUTH is offered now."""
        listener = self.door.listener
        return listener.auth != "off" and (self.secure or listener.auth_without_tls)

    async def _start_tls(self, argument: str) -> None:
        context, transport = self.door.context, self.stream.transport
        if self.secure:
            raise Rejected(reply.TLS_ACTIVE)
        if context is None or self.door.listener.tls != "starttls" or transport is None:
            raise Rejected(reply.NO_TLS)
        if argument:
            raise Rejected(reply.BAD_ARGUMENT)
        # From here on nothing in plain text is the client's (RFC 3207 §6).
        transport.pause_reading()
        injected = self.stream.forget()
        if injected:
            self._note("plain text after STARTTLS thrown away", octets=injected)
        await self.abandon()
        await self.say(reply.START_TLS, now=True)
        try:
            self.stream.transport = await start_tls(self, transport, context)
        except (OSError, EOFError) as error:
            self._note("TLS handshake failed", listener=self.door.listener.address, reason=explain(error))
            raise Close from None
        self.transport = self.stream.transport
        self.helo, self.user, self.has_logged_in = "", None, False
        self._identify()

    def _identify(self) -> None:
        tls = self.ssl_object()
        self.secure = tls is not None
        self.pace.step(self.loop.time())
        if tls is not None:
            self.record.secured(tls.version(), tls.cipher()[0])
        if tls is not None and self.door.listener.client_ca_file:
            self.user = find_user(self.door.config, tls.getpeercert())

    def ssl_object(self) -> Any:
        """The TLS of the connection; None without."""
        return self.stream.transport.get_extra_info("ssl_object") if self.stream.transport else None

    async def _auth(self, argument: str) -> Reply:
        return await login.log_in(self, argument)

    # The mail transaction.

    @property
    def is_in_transaction(self) -> bool:
        """Whether MAIL was accepted and the message is not yet there."""
        return self._transaction is not None

    async def _mail(self, argument: str) -> Reply:
        if self._transaction is not None:
            return reply.NESTED_MAIL
        if self.door.listener.auth == "required" and self.user is None and self._standing.needs_login:
            return reply.LOGIN_REQUIRED if self.may_login else reply.TLS_REQUIRED
        if self.is_learned and not self.door.learning.may_hold(self.door.listener, self.peer):
            return reply.DEVICE_WAITS
        self._transaction = Transaction.open(self.door, self.user, argument)
        return reply.SENDER_OK

    @property
    def is_learned(self) -> bool:
        """Whether what this client sends is held until an operator adopts it."""
        known = self.user is not None and policy.may_connect(self.door.listener, self.peer)
        return self._standing is Standing.LEARNED and not known

    async def _rcpt(self, argument: str) -> Reply:
        if self._transaction is None:
            return reply.NO_TRANSACTION
        if self.is_receiving:
            return reply.MIXED_DATA
        return self._transaction.add(argument)

    async def _data(self, argument: str) -> Reply:
        if self._transaction is None:
            return reply.NO_TRANSACTION
        if argument:
            return reply.BAD_ARGUMENT
        if self.is_receiving:
            return reply.MIXED_DATA
        return await take_data(self, self._transaction)

    async def _bdat(self, argument: str) -> Reply:
        chunk = read_chunk_size(argument)
        if chunk is None:
            # Nobody knows how many octets follow, so they cannot be told from commands.
            await self.say(reply.BAD_ARGUMENT, now=True)
            raise Cut
        size, last = chunk
        if not (size or last):
            self._idle_commands += 1
            if self._idle_commands > _MOST_IDLE_COMMANDS:
                return reply.TOO_MANY_ERRORS
        return await take_chunk(self, self._transaction, size, last=last)

    @property
    def spender(self) -> str:
        """Whose messages an hour are counted: the user's, else the source's."""
        return self.user.name if self.user else self.source

    async def abandon(self) -> None:
        """Forget the transaction."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            await transaction.abandon()

    # The rest.

    async def _reset(self, _: str) -> Reply:
        await self.abandon()
        return reply.OK

    async def _noop(self, _: str) -> Reply:
        return reply.OK

    async def _verify(self, _: str) -> Reply:
        return reply.CANNOT_VERIFY

    async def _help(self, _: str) -> Reply:
        return reply.HELP

    async def _quit(self, _: str) -> None:
        await self.say(reply.BYE, now=True)
        raise Close

    # Looked up in place of aiosmtpd's hooks, and made once.
    _VERBS: ClassVar[dict[str, Callable[["Session", str], Awaitable[Reply | None]]]] = {
        "HELO": _hello,
        "EHLO": _extended_hello,
        "STARTTLS": _start_tls,
        "AUTH": _auth,
        "MAIL": _mail,
        "RCPT": _rcpt,
        "DATA": _data,
        "BDAT": _bdat,
        "RSET": _reset,
        "NOOP": _noop,
        "QUIT": _quit,
        "VRFY": _verify,
        "HELP": _help,
    }
