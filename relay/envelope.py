"""What a client handed over: the envelope, and the content that came after DATA.

Content is never held whole in memory once it is large: it flows into a file as it arrives, and is
read from a map of that file.
"""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from relay.outcome import Hold

# Octets. Smaller content stays in memory while it arrives, is kept and converted; more flows into a file.
IN_MEMORY = 192 * 1024

Buffer = bytes | memoryview | mmap.mmap


class Origin(StrEnum):
    """By which way a message came."""

    SMTP = "smtp"
    COMMAND = "command"  # put in by a command on this machine
    NOTICE = "notice"  # the relay's own mail, to a sender or to the operator


@dataclass(frozen=True, slots=True)
class Envelope:
    """What MAIL and RCPT said. The message may say otherwise."""

    reverse_path: str  # "" is the null reverse-path; never answer it, RFC 5321 §4.5.5
    forward_paths: tuple[str, ...]  # in RCPT order, duplicates kept
    arrival_date: datetime  # aware, UTC; RFC 3464 §2.2.5
    client_address: str = ""  # the peer's IP address; "" for a message put in by a command
    helo: str = ""
    user: str | None = None  # None: the client did not log in
    listener: str = ""  # the address of the listener that took it; "" unless it came by SMTP
    tls: str = ""  # protocol version and cipher; "" without TLS
    session: str = ""  # the session's id, the thread through the log
    delivery_options: bool = False  # NOTIFY, RET, ENVID or ORCPT were given (RFC 3461)
    priority: str = "normal"  # urgent | normal | bulk: the user's, else the listener's
    origin: Origin = Origin.SMTP

    @property
    def source(self) -> str:
        """Who shares a budget: the SMTP user, else the client's address."""
        return self.user or self.client_address

    @property
    def line(self) -> str:
        """The line it stands in: a source's urgent mail does not wait behind its own bulk.

        A priority stands before a tab, which no user's name begins with: somebody may be called "bulk".
        """
        return self.source if self.priority == "normal" else f"{self.priority}\t{self.source}"


@dataclass(slots=True)
class Content:
    """The octets of one message, in memory, in a file or in both.

    Line ends are CRLF, dots are unstuffed. Whoever holds it last calls `discard`.
    """

    size: int  # octets
    sha256: str  # hex, of the octets
    data: bytes | None = None  # in memory; None: only in the file
    path: Path | None = None

    @contextmanager
    def map(self) -> Iterator[Buffer]:
        """The octets as a bytes-like object, for as long as the context lasts.

        Raises:
            OSError: the file is gone or cannot be read.
        """
        if self.data is not None or self.path is None:
            yield self.data or b""
            return
        if not self.size:
            yield b""
            return
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped

    def discard(self) -> None:
        """Remove the file, if there is one; what cannot be removed now the spool's next start removes."""
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Submission:
    """One message as it was handed over: envelope and content."""

    envelope: Envelope
    content: Content
    hold: Hold = Hold.NONE  # what it waits for before its first attempt
    # Since when the client may have sent it to another node as well, by `Clock.boot`; 0: since now.
    since: float = 0.0
