"""A mail transaction (RFC 5321 §3.3): what MAIL and RCPT said, and the content on its way."""

import asyncio
from dataclasses import dataclass, field

from relay import reply
from relay.config.model import User
from relay.config.rules import Rules
from relay.devices.recorder import BLANKS
from relay.reply import Rejected, Reply
from relay.smtp import policy
from relay.smtp.address import check_forward_path, check_reverse_path, split_path
from relay.smtp.context import Door
from relay.smtp.parameters import read_mail_parameters, read_rcpt_parameters
from relay.smtp.receive import Receiver
from relay.smtp.resubmission import Arrival
from relay.smtp.stream import Stream
from relay.smtp.timeouts import Pace

# Recipients over the limit that hear 452; a client that goes on after them is not listening.
_MOST_OVERSHOOT = 1_000
# What a recipient takes beside its octets.
_OBJECT = 64


@dataclass(slots=True)
class Transaction:
    """One message on its way in."""

    door: Door
    rules: Rules
    reverse_path: str
    announced: int  # octets, by SIZE=; 0: not announced
    utf8: bool
    delivery_options: bool
    forward_paths: list[str] = field(default_factory=list)
    receiver: Receiver | None = None  # content is arriving
    _arrival: Arrival | None = None
    _held: int = 0
    _overshoot: int = 0

    @classmethod
    def open(cls, door: Door, rules: Rules, argument: str) -> "Transaction":
        """The transaction that MAIL with this argument opens.

        Raises:
            Rejected: it does not.
        """
        path, words = split_path(_after(argument, "FROM:"), reply.ONE_SENDER)
        parameters = read_mail_parameters(words)
        if door.limit and parameters.size > door.limit:
            raise Rejected(reply.TOO_LARGE)
        reverse_path = check_reverse_path(path, door.config.hostname, utf8=parameters.utf8)
        policy.check_sender(rules, reverse_path)
        return cls(door, rules, reverse_path, parameters.size, parameters.utf8, parameters.delivery_options)

    @property
    def user(self) -> User | None:
        """Who logged in, as the configuration was at MAIL."""
        return self.rules.user

    def add(self, argument: str) -> Reply:
        """Take the recipient that RCPT with this argument names.

        Raises:
            Rejected: it is not one that mail may go to.
        """
        path, words = split_path(_after(argument, "TO:"), reply.ONE_ADDRESS)
        parameters = read_rcpt_parameters(words)
        forward_path = check_forward_path(self._qualify(path), utf8=self.utf8)
        policy.check_recipient(self.door.listener, self.user, forward_path)
        refusal = self.door.intake.check_recipient() or self._check_room()
        if refusal is not None:
            return refusal
        self.delivery_options |= parameters.delivery_options
        self.forward_paths.append(forward_path)
        self._held += len(forward_path) + _OBJECT
        self.door.guard.budget.hold(len(forward_path) + _OBJECT)
        return reply.RECIPIENT_OK

    def _qualify(self, path: str) -> str:
        # RFC 5321 §4.5.1: "postmaster" needs no domain. Here that is who hears of failures.
        notify = self.door.config.delivery.notify
        return notify if path.lower() == "postmaster" and notify else path

    def _check_room(self) -> Reply | None:
        if len(self.forward_paths) >= self.door.guard.limits.recipients:
            self._overshoot += 1
            return reply.TOO_MANY_ERRORS if self._overshoot > _MOST_OVERSHOOT else reply.TOO_MANY_RECIPIENTS
        return reply.SPOOL_FULL if self.door.guard.budget.memory_is_full else None

    async def begin(self, stream: Stream, pace: Pace, source: str) -> Receiver:
        """Make ready for content.

        Raises:
            Rejected: there is nobody to send to, or no room now.
        """
        guard = self.door.guard
        if not self.forward_paths:
            raise Rejected(reply.NO_RECIPIENTS)
        with pace.working():
            if not await guard.budget.admit(self.announced):
                raise Rejected(reply.TOO_BUSY)
        writer = self.door.intake.writer()
        if self.announced and not writer.fits(self.announced):
            raise Rejected(reply.SPOOL_FULL)
        own = self.user.messages_per_hour if self.user else None
        if not guard.rates.take(source, guard.limits.messages_per_hour if own is None else own):
            raise Rejected(reply.TOO_MANY_MESSAGES)
        self.receiver = Receiver(stream, writer, self.door.limit, pace, guard.budget)
        key = (source, self.reverse_path, tuple(self.forward_paths))
        self._arrival = self.door.arrivals.begin(key, stream)
        return self.receiver

    async def let_pass(self) -> None:
        """Wait for the same client's earlier try, if it is gone and has not been handed over."""
        if self._arrival is not None:
            await self._arrival.let_pass()

    @property
    def is_alone(self) -> bool:
        """Whether nobody submits another content of this envelope at this moment."""
        return self._arrival is None or self._arrival.is_alone

    def arrived(self) -> None:
        """The content was handed over."""
        if self._arrival is not None:
            self._arrival.end()

    def close(self) -> None:
        """Give back what the recipients took."""
        self.door.guard.budget.hold(-self._held)
        self._held = 0

    async def abandon(self) -> None:
        """Forget the transaction, and what came of its content."""
        self.close()
        self.arrived()
        receiver, self.receiver = self.receiver, None
        if receiver is not None and receiver.is_finished:
            receiver.release()
        elif receiver is not None:
            # Also when the session is cancelled: a file left behind is nobody's.
            await asyncio.shield(asyncio.ensure_future(receiver.discard()))


def _after(argument: str, keyword: str) -> str:
    name, colon, rest = argument.partition(":")
    # `MAIL FROM : <a@b>` is seen; a space changes nothing that could be meant.
    if not colon or f"{name.strip(BLANKS).upper()}:" != keyword:
        raise Rejected(reply.BAD_PATH_SYNTAX)
    return rest
