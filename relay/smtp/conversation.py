"""What a session is, below its commands: who the client is, octets in, replies out, what is under way.

The parts of a session (handshake, login, content, leave) stand on this, and the session on them.
A subclass of aiosmtpd's protocol, whose streams are replaced. Every reply is given in `say`.
"""

import asyncio
import secrets
import ssl
from typing import Any

from aiosmtpd.smtp import SMTP
from typing_extensions import override

from relay import metrics, reply
from relay.devices.recorder import DeviceFault
from relay.host.clock import time_since_boot
from relay.reply import Reply
from relay.smtp.client import Client
from relay.smtp.context import Door
from relay.smtp.stream import LineTooLong, Stream
from relay.smtp.timeouts import Pace
from relay.smtp.tls import name_reason
from relay.smtp.transaction import Transaction

# RFC 5321 §4.5.3.1.4 says 512 octets, RFC 4954 §4 12288 for AUTH; between them, room for all.
LONGEST_COMMAND = 12_288
# So much input a session may hold when all together hold too much.
_MODEST = 16 * 1024


# How a session ends, other than by itself: raised where it waits, caught where it began.
class Close(Exception):  # noqa: N818 - a wish, not an error
    """The session ends after what was said."""


class Cut(Close):
    """The session ends by our wish, while the client may still be sending."""


class TimedOut(Exception):  # noqa: N818
    """The client had its time."""


class Stopping(Exception):  # noqa: N818
    """The relay is stopping."""


class Flooded(Exception):  # noqa: N818
    """All sessions together hold more than they may."""


class Conversation(SMTP):
    """The state of one client's session, and the way its octets take.

    Args:
        door: The listener's.
        peer: The client's address, as a PROXY header named it where there is one.
    """

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop, peer: str) -> None:
        # Not aiosmtpd's own: it inspects class and handler, and makes streams that are not used.
        self.loop = loop
        self.door = door
        self.id = secrets.token_hex(4)
        self.client = Client(door, peer)
        self.record = door.recorder.open(peer, door.listener.address, self.id)
        self.pace = Pace(door.guard.limits.idle, since=loop.time())
        self.stream = Stream(loop, door.guard.budget.hold)
        self.transaction: Transaction | None = None
        self.answered = time_since_boot()  # before this the client had not sent what is not answered yet

    # What the transport says.

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.stream.transport = transport  # type: ignore[assignment]
        self.transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        try:
            greedy = len(data) + self.stream.pending > _MODEST
            if greedy and self.door.guard.budget.memory_is_full:
                self.stream.fail(Flooded())
            else:
                self.stream.feed(data)
        except Exception as error:  # noqa: BLE001 - the session logs it
            # The event loop would close the connection without a word.
            self.stream.fail(error)

    def eof_received(self) -> bool:
        """The client sends no more; it may still be listening, except over TLS."""
        self.stream.feed_end(EOFError())
        self.loop.call_soon(self.door.intake.hung_up, self.id)
        return not self.client.secure

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone; what it has handed over is settled all the same."""
        if isinstance(error, ssl.SSLError):
            # With TLS 1.3 a client says only after the handshake that it does not trust us.
            self.record.note(DeviceFault.TLS_FAILED, name_reason(error))
        self.stream.feed_end(ConnectionResetError("the client is gone"))
        self.loop.call_soon(self.door.intake.hung_up, self.id)
        self.stream.resume_writing()

    @override
    def pause_writing(self) -> None:
        self.stream.pause_writing()

    @override
    def resume_writing(self) -> None:
        self.stream.resume_writing()

    # Lines in, replies out.

    async def say(self, answer: Reply, *, now: bool = False) -> None:
        """Give a reply; it goes with the next ones to pipelined commands, or now."""
        if not self.stream.pending:  # else it did not wait for this reply
            self.answered = time_since_boot()
        self.stream.put(answer.encode())
        if answer.code >= 400:  # noqa: PLR2004 - 4yz and 5yz
            metrics.REFUSALS.labels(str(answer.code)).inc()
            if answer in reply.OURS:
                self.note("told to come again", reply=str(answer))
        if now or not self.stream.pending:
            await self.stream.flush()
        self.record.said(answer)

    async def ask(self, challenge: bytes) -> bytes:
        """Send a challenge of AUTH, already in Base64; gives the client's line, which nobody else sees."""
        self.stream.put(b"334 " + challenge + b"\r\n")
        await self.stream.flush()
        try:
            return await self.stream.line(LONGEST_COMMAND)
        except LineTooLong:
            await self.say(reply.LINE_TOO_LONG)
            raise Cut from None

    def note(self, event: str, **facts: object) -> None:
        """Log what the client did, within what a second may have of that."""
        self.door.guard.notes.write(event, client=self.client.peer, session=self.id, **facts)

    def ssl_object(self) -> Any:
        """The TLS of the connection; None without."""
        return self.stream.transport.get_extra_info("ssl_object") if self.stream.transport else None

    # The mail transaction.

    @property
    def is_in_transaction(self) -> bool:
        """Whether MAIL was accepted and the message is not yet there."""
        return self.transaction is not None

    @property
    def is_receiving(self) -> bool:
        """Whether content is on its way."""
        return self.transaction is not None and self.transaction.receiver is not None

    async def abandon(self) -> None:
        """Forget the transaction."""
        if self.transaction is not None:
            await self.transaction.abandon()
            self.transaction = None
