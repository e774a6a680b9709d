"""What the console shows, as plain values, and the contract by which it asks for them.

Nothing here holds a secret, a token, a subject or content; addresses are the configuration's own and
the reverse-path.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    """Where clients may speak SMTP."""

    address: str  # as it listens: ADDRESS:PORT
    tls: str  # none | starttls | implicit
    auth: str  # off | optional | required
    networks: tuple[str, ...]
    sessions: int | None = None  # open now; None: not known
    remark: str = ""  # what an administrator should know: legacy TLS, AUTH without TLS


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """A Works mailbox, and the grant by which the relay sends as it."""

    name: str
    address: str
    default: bool = False
    granted: float | None = None  # epoch seconds of the consent; None: there is no grant
    expires: float | None = None  # epoch seconds of the refresh token's end; None: not known
    rotation: bool | None = None  # None: not yet seen
    last_used: float | None = None  # epoch seconds
    verified: bool = True  # whether it is known whose mailbox the grant is
    held: str = ""  # why its mail waits for a person; "" when it does not


@dataclass(frozen=True, slots=True)
class MessageStatus:
    """One message's life until now."""

    queue_id: str
    arrival: float  # epoch seconds
    account: str
    client: str  # the user, else the client's address
    reverse_path: str
    recipients: int
    size: int  # octets
    state: str
    attempts: int
    status: str = ""  # of the last attempt, RFC 3463
    reason: str = ""  # of the last attempt, a sentence of ours
    next_attempt: float = 0.0  # epoch seconds; 0: none is planned
    losses: tuple[str, ...] = ()  # names; the notable ones first


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the page, at one moment."""

    hostname: str
    version: str
    now: float  # epoch seconds
    started: float  # epoch seconds
    listeners: tuple[ListenerStatus, ...]
    accounts: tuple[AccountStatus, ...]
    queue: Mapping[str, int]  # state → messages; every state, also those with none
    oldest: float | None  # arrival of the oldest message that still waits, epoch seconds
    messages: tuple[MessageStatus, ...]  # the newest ones, newest first
    warnings: tuple[str, ...] = ()  # what needs a person soon, in sentences


class Status(Protocol):
    """Whom the console asks."""

    async def overview(self, messages: int) -> Overview:
        """Everything, with the newest `messages` messages. May raise: the page then says so."""

    async def ask(self, name: str, verb: str, **arguments: Any) -> dict[str, Any]:
        """Ask the relay for something.

        Args:
            name: of the console user who asks; "": nobody logs in.
            verb: as for the control socket.
            arguments: the verb's.

        Raises:
            Refused, SpoolError, ValueError: it will not, or cannot; the text says why.
        """

    async def problems(self) -> tuple[str, ...]:
        """Why mail would not be taken now, in sentences; none: the relay is ready."""

    def alive(self) -> bool:
        """Whether the relay works at all; when not, a restart is the remedy."""
