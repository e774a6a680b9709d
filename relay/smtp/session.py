"""One client's session: its commands, read and answered one by one.

aiosmtpd's command loop, DATA and address grammar are replaced: the stock ones hold whole messages in
memory, end them at the wrong moment, and decode what they should not. Every command line is read in `_line`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import ClassVar, NoReturn

import structlog

from relay import reply
from relay.devices.recorder import DeviceFault
from relay.reply import Rejected, Reply, Unanswered
from relay.smtp import login
from relay.smtp.acknowledgement import Acknowledgement
from relay.smtp.auth import MECHANISMS
from relay.smtp.closing import hang_up, linger, take_leave
from relay.smtp.conduct import Conduct
from relay.smtp.content import take_chunk, take_data
from relay.smtp.context import Door
from relay.smtp.conversation import LONGEST_COMMAND, Close, Conversation, Cut, Flooded, Stopping, TimedOut
from relay.smtp.handshake import start_tls
from relay.smtp.peek import LONGEST_HELLO
from relay.smtp.receive import Overrun, read_chunk_size
from relay.smtp.stream import LineTooLong
from relay.smtp.tls import explain, looks_like_tls
from relay.smtp.transaction import Transaction

log = structlog.get_logger("smtp")
# Commands that a session may have done before others are looked at.
_AT_A_TURN = 20
# Commands of RFC 5321 and its extensions that the relay does not implement.
_NOT_IMPLEMENTED = frozenset({"EXPN", "SEND", "SOML", "SAML", "TURN", "ETRN", "ATRN", "BURL", "XCLIENT"})
# HTTP methods: a browser, or a page that makes one speak to this port (the ALPACA attack).
_HTTP = frozenset({"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "TRACE", "PATCH"})


class Session(Conversation):
    """One client's session: see `Conversation` for its arguments."""

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop, peer: str) -> None:
        super().__init__(door, loop, peer)
        self._conduct = Conduct()
        self._stopping = False

    # The session's life.

    async def run(self) -> None:
        """Hold the session, from the banner to its end."""
        try:
            await self._converse()
        except TimedOut:
            self.record.note(DeviceFault.TIMEOUT, self._phase())
            self.note("session timed out", hint=self._look_at_unfinished())
            await take_leave(self, reply.IDLE_TOO_LONG)
        except Stopping:
            await take_leave(self, reply.SHUTTING_DOWN)
        except Flooded:
            self.note("session cut off", reason="no room for input")
            await take_leave(self, reply.OUT_OF_MEMORY)
        except Cut:
            await linger(self)
        except Close:
            pass
        except Unanswered as error:
            self.note("session ended without a reply", reason=str(error))
        except (ConnectionError, EOFError):
            self.record.hung_up(self._phase())
            # A device gives up sooner than the relay: most have half a minute for a reply.
            if hint := self._look_at_unfinished():
                self.note("session hung up", hint=hint)
        except Exception:
            # It may have been in the middle of content, whose rest may not be read as commands. The client
            # hears a fixed sentence; what happened goes to the log.
            log.exception("session broke off", session=self.id)
            await take_leave(self, reply.INTERNAL)
        finally:
            await self._end()

    async def _converse(self) -> None:
        self._identify()
        if self.stream.pending:
            self.record.remark("it talked before the banner")  # harmless: nothing has to change
        await self.say(Reply(220, "", f"{self.door.config.hostname} ESMTP relay"))
        while True:
            for _ in range(_AT_A_TURN):
                await self._answer(*await self._command())
            # A thousand pipelined commands are read without waiting once: others have their turn too.
            await asyncio.sleep(0)

    def _phase(self) -> str:
        """What the session was doing: receiving content, owing a reply, or waiting for a command."""
        if self.is_receiving:
            return "data"
        return "reply" if self.record.owes_reply else "command"

    async def _end(self) -> None:
        try:
            await self.abandon()
        finally:
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

    def _look_at_unfinished(self) -> str | None:
        """Record content that has no end; a hint if its client takes it for ended."""
        receiver = self.transaction.receiver if self.transaction else None
        if receiver is None:
            return None
        self.record.broke_off(receiver.arrived)
        if not receiver.ends_barely:
            return None
        self.record.note(DeviceFault.BARE_DOT)
        return "it ended its data with a bare line end; only CR LF . CR LF ends data: see its line ends"

    # Lines in, replies out.

    async def _command(self) -> tuple[str, str]:
        """The next command's verb and argument."""
        if self._stopping:
            raise Stopping
        try:
            if not self.client.secure and await self._starts_tls():
                self.note(
                    "TLS on a plain port",
                    listener=self.door.listener.address,
                    remedy='choose STARTTLS on the device, or give it a listener with tls = "implicit"',
                )
                self.record.note(DeviceFault.TLS_ON_PLAIN_PORT)
                self.record.hello(self.stream.peek(LONGEST_HELLO))
                raise Close
            line = await self.stream.line(LONGEST_COMMAND)
        except LineTooLong:
            await self.say(reply.LINE_TOO_LONG)
            raise Cut from None
        return self.record.heard(line.decode("utf-8", "surrogateescape"))

    async def _starts_tls(self) -> bool:
        if not self.stream.pending:
            await self.stream.more()
        return not self._conduct.idle and not self.client.helo and looks_like_tls(self.stream.peek(3))

    async def _answer(self, verb: str, argument: str) -> None:
        try:
            answer = await self._obey(verb, argument)
        except Rejected as rejected:
            answer = rejected.reply
        except Overrun:
            answer = reply.FAR_TOO_LARGE
        if answer is not None:
            await (self._conclude(answer) if verb in ("DATA", "BDAT") else self.say(answer))
            await self._weigh(verb, answer)

    async def _conclude(self, answer: Reply) -> None:
        """Reply to a message, and tell the intake if the client acknowledged the reply."""
        with Acknowledgement(self.stream) as hearing:
            await self.say(answer, now=True)  # on record once it is written: who is gone had none
            heard = await hearing.heard()
        if heard:
            self.door.intake.replied(self.id, answer)
        if answer.accepted and not self.is_in_transaction:
            self._conduct.begin_anew()
            if not heard:
                self.record.hung_up("reply")  # the event loop may hear of it only later

    async def _weigh(self, verb: str, answer: Reply) -> None:
        """Count errors and idle chatter, and note a step forward."""
        if answer.code == 421:  # noqa: PLR2004 - RFC 5321 §3.8: the channel closes
            raise Cut
        forward = self._conduct.weigh(verb, answer)
        if self._conduct.errors > self.door.guard.limits.errors:
            self.note("session cut off", reason="too many errors")
            await self.say(reply.TOO_MANY_ERRORS)
            raise Cut
        if forward:
            self.pace.step(self.loop.time())

    async def _obey(self, verb: str, argument: str) -> Reply | None:
        method = self._VERBS.get(verb)
        return await method(self, argument) if method else await self._unknown(verb)

    async def _unknown(self, verb: str) -> Reply:
        if verb in _HTTP:
            await self.say(reply.NOT_HTTP)
            raise Cut
        if verb.startswith("BDAT"):
            await self._cut_unreadable_chunk()
        if verb == "PROXY" and self.record.verbs == [verb]:
            self.record.note(DeviceFault.BAD_PROXY_HEADER)
        return reply.NOT_IMPLEMENTED if verb in _NOT_IMPLEMENTED else reply.UNKNOWN_COMMAND

    # Hello, and TLS.

    async def _hello(self, argument: str) -> Reply:
        await self.abandon()
        self.client.greet(argument)
        return Reply(250, "", self.door.config.hostname)

    async def _extended_hello(self, argument: str) -> Reply:
        return replace(await self._hello(argument), lines=self._extensions())

    def _extensions(self) -> tuple[str, ...]:
        lines = ["PIPELINING", f"SIZE {self.door.limit}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        lines += ["CHUNKING", f"LIMITS RCPTMAX={self.door.guard.limits.recipients}"]
        if self.door.listener.tls == "starttls" and not self.client.secure:
            lines.append("STARTTLS")
        if self.client.may_login:
            lines.append(f"AUTH {' '.join(MECHANISMS)}")
        if self.client.rules.options_by_field:
            # A program can know that its options count, before it sends what must not go without them.
            lines.append("X-WORKS-OPTIONS")
        return tuple(lines)

    async def _start_tls(self, argument: str) -> None:
        context, transport = self.door.context, self.stream.transport
        if self.client.secure:
            raise Rejected(reply.TLS_ACTIVE)
        if context is None or self.door.listener.tls != "starttls" or transport is None:
            raise Rejected(reply.NO_TLS)
        if argument:
            raise Rejected(reply.BAD_ARGUMENT)
        # From here on nothing in plain text is the client's (RFC 3207 §6).
        transport.pause_reading()
        injected = self.stream.forget()
        if injected:
            self.note("plain text after STARTTLS thrown away", octets=injected)
        await self.abandon()
        await self.say(reply.START_TLS, now=True)
        try:
            self.stream.transport = await start_tls(self, transport, context)
        except (OSError, EOFError) as error:
            self.note("TLS handshake failed", listener=self.door.listener.address, reason=explain(error))
            raise Close from None
        self.transport = self.stream.transport
        self._identify()

    def _identify(self) -> None:
        tls = self.ssl_object()
        self.client.identify(tls)
        self.pace.step(self.loop.time())
        if tls is not None:
            self.record.secured(tls.version(), tls.cipher()[0])

    async def _auth(self, argument: str) -> Reply:
        return await login.log_in(self, argument)

    # The mail transaction.

    async def _mail(self, argument: str) -> Reply:
        if self.transaction is not None:
            return reply.NESTED_MAIL
        if not self.client.may_go_on():
            return reply.CONNECT_AGAIN
        if self.client.needs_tls:
            return reply.TLS_REQUIRED
        if (
            self.door.listener.auth == "required"
            and self.client.user is None
            and self.client.admission.needs_login
        ):
            return reply.LOGIN_REQUIRED if self.client.may_login else reply.TLS_REQUIRED
        if self.client.is_learned and not self.door.learning.may_hold(self.door.listener, self.client.peer):
            return reply.DEVICE_WAITS
        self.transaction = Transaction.open(self.door, self.client.rules, argument)
        return reply.SENDER_OK

    async def _rcpt(self, argument: str) -> Reply:
        if self.transaction is None:
            return reply.NO_TRANSACTION
        if self.is_receiving:
            return reply.MIXED_DATA
        return self.transaction.add(argument)

    async def _data(self, argument: str) -> Reply:
        if self.transaction is None:
            return reply.NO_TRANSACTION
        if argument:
            return reply.BAD_ARGUMENT
        if self.is_receiving:
            return reply.MIXED_DATA
        return await take_data(self, self.transaction)

    async def _bdat(self, argument: str) -> Reply:
        chunk = read_chunk_size(argument)
        if chunk is None:
            return await self._cut_unreadable_chunk()
        size, last = chunk
        if not (size or last) and self._conduct.chatter():
            return reply.TOO_MANY_ERRORS
        return await take_chunk(self, self.transaction, size, last=last)

    async def _cut_unreadable_chunk(self) -> NoReturn:
        # Nobody knows how many octets follow, so they cannot be told from commands.
        await self.say(reply.BAD_ARGUMENT, now=True)
        raise Cut

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
