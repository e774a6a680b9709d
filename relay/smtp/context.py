"""What the sessions of one listener share, and what they need of the other side of the door."""

import ssl
from asyncio import Task, create_task
from dataclasses import dataclass, field
from typing import Protocol

from relay.config.current import Current
from relay.config.model import Config, Listener
from relay.devices.learning import Learning
from relay.devices.recorder import Recorder
from relay.envelope import Submission
from relay.host.content import ContentWriter
from relay.reply import Reply
from relay.smtp.limits import Guard
from relay.smtp.resubmission import Arrivals
from relay.smtp.tls import Certificate


class Intake(Protocol):
    """What the session needs of the other side of the door."""

    def writer(self) -> ContentWriter:
        """Where content flows."""

    def check_recipient(self) -> Reply | None:
        """A refusal, if no account can send or there is no room."""

    async def accept(self, submission: Submission) -> Reply:
        """Take the message, or say why not."""

    def replied(self, session: str, answer: Reply) -> None:
        """This reply to the session's last message was written to its socket."""

    def hung_up(self, session: str) -> None:
        """The session's client sends no more; whether it listens, nobody knows before we write."""

    def ended(self, session: str) -> None:
        """The session is over."""


@dataclass(slots=True)
class Door:
    """One listener, as its sessions see it: by the configuration of the moment."""

    current: Current
    listener: Listener
    intake: Intake
    guard: Guard
    certificate: Certificate | None
    is_open: bool = True  # whether the listener is still configured; else only sessions that began here go on
    handing_over: set[Task[Reply]] = field(default_factory=set)
    arrivals: Arrivals = field(default_factory=Arrivals)
    recorder: Recorder = field(default_factory=Recorder)  # all listeners share one
    learning: Learning = field(default_factory=Learning)

    @property
    def config(self) -> Config:
        """The configuration of this moment."""
        return self.current.config

    def configure(self, listener: Listener, certificate: Certificate | None) -> None:
        """Go on as the new configuration has it, while sessions go on."""
        self.listener, self.certificate = listener, certificate

    @property
    def limit(self) -> int:
        """The SIZE advertised, in octets; 0: any."""
        return self.config.message_limit(self.listener)

    @property
    def context(self) -> ssl.SSLContext | None:
        """The TLS context of this moment; None without TLS."""
        return self.certificate.context if self.certificate else None

    def hand_over(self, submission: Submission) -> Task[Reply]:
        """Give a message to the other side, in a task that nobody's leaving ends."""
        task = create_task(self.intake.accept(submission), name="accept")
        self.handing_over.add(task)
        task.add_done_callback(self.handing_over.discard)
        return task
