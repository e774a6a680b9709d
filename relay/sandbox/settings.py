"""What can be set about the simulated Works, and the clock that it lives by."""

import time
from dataclasses import dataclass

MEGABYTE = 1024 * 1024


class Clock:
    """Wall-clock time that can be moved. Share one with the relay to move both."""

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset  # seconds ahead of the machine's clock

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.offset

    def move(self, seconds: float) -> None:
        """Let `seconds` pass at once; a negative number goes back."""
        self.offset += seconds


@dataclass(frozen=True, slots=True)
class Settings:
    """One Works domain with one registered app. A limit of 0 is no limit."""

    client_id: str = "sandbox"
    client_secret: str = "sandbox-secret"  # noqa: S105 - a simulation's, known to everybody
    # Where consent may send the browser to; any port of a loopback address when empty.
    redirect_urls: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("mail", "mail.read", "user.read", "user.profile.read")  # of the app
    members: tuple[str, ...] = ("scanner@example.com", "erp@example.com", "info@example.com")  # login IDs
    open_membership: bool = True  # a login ID that consents and is not a member becomes one
    access_token_life: int = 86400  # seconds; Works offers 1 h or 24 h
    refresh_token_life: int = 90 * 86400  # seconds
    code_life: int = 600  # seconds
    rotation: bool = False  # each refresh gives a new refresh token, and the old one dies
    return_code_errors: bool = False  # all OAuth errors as {"returnCode", "returnMessage"}
    requests_per_minute: int = 240  # for each API, counted for the domain; 60 on the Free plan
    mails_per_minute: int = 60  # for a mailbox
    recipients_per_day: int = 20_000  # for a mailbox
    external_recipients_per_mail: int = 500
    attachment_limit: int = 20 * MEGABYTE  # decoded octets, all attachments together
    oversize_as_500: bool = False  # the older API called an oversized file a system error
    blocked_extensions: tuple[str, ...] = ()  # lower case, without the dot; an administrator's choice
    keep: int = 1000  # accepted messages that are kept whole; 0: counts and summaries only
    summaries: int = 200_000  # accepted messages of which the summary is kept
