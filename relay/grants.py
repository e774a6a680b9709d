"""An account's grant, and the contract of whatever keeps it.

A grant is what a consent gave: an access token that lives an hour or a day and a refresh token that
lives 90 days (Works API §2). The contract is small, so that files can hold grants, or a database.
"""

import contextlib
import hashlib
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Protocol

REFRESH_TOKEN_LIFE = 90 * 86400.0  # seconds; Works API §2
# Days before a grant dies that nothing but a person can renew: at each of them it is said so.
EXPIRY_MARKS = (1, 7, 14, 30)


class GrantError(Exception):
    """The store cannot be read or written; says which file and why."""


class GrantReplacedError(GrantError):
    """Another grant is there than the one named, or none: somebody consented, or logged out."""

    def __init__(self, account: str) -> None:
        super().__init__(f"the grant of {account} was replaced or removed meanwhile; see: relay accounts")


class Mark(StrEnum):
    """A time that is noted beside a grant. It changes nothing of what the grant is good for."""

    REFRESH_STARTED = "refresh_started_at"
    USED = "used_at"


@dataclass(frozen=True, slots=True)
class Grant:
    """The tokens of one account. Times are seconds since the epoch."""

    access_token: str = field(repr=False)
    expires_at: float
    refresh_token: str = field(repr=False)
    consented_at: float  # when a person last consented
    issued_at: float  # when the access token was issued
    refresh_issued_at: float  # when the refresh token was: its 90 days count from here
    scope: str = ""
    rotation: bool | None = None  # None: no refresh has shown it yet
    used_at: float | None = None  # when it last sent a message, about
    refresh_started_at: float | None = None  # a refresh was begun, and its answer is not stored
    whose: str = ""  # the mailbox's address, if it could be asked
    confirmed_at: float | None = None  # when a person said that he has seen whose mailbox it is

    @property
    def fingerprint(self) -> str:
        """Names this grant's refresh token without showing it: its SHA-256, in hexadecimal."""
        return hashlib.sha256(self.refresh_token.encode()).hexdigest()

    @property
    def is_verified(self) -> bool:
        """Whether it is known whose mailbox it is: the API was asked, or a person has confirmed it."""
        return bool(self.whose) or self.confirmed_at is not None

    @property
    def refresh_expires_at(self) -> float:
        """When the refresh token dies."""
        return self.refresh_issued_at + REFRESH_TOKEN_LIFE

    @property
    def half_life_at(self) -> float:
        """When to refresh: half of the access token's life is left to get it done."""
        return (self.issued_at + self.expires_at) / 2


def explain_unverified(account: str, address: str) -> str:
    """What to say of a grant for which it is not known whose mailbox it is, and what to do."""
    return (
        f"unverified whose mailbox consented for {account}: send a test, see that it comes from {address}, "
        f"then run: sudo relay accounts --confirm {account}"
    )


def to_values(grant: Grant) -> dict[str, object]:
    """A grant as plain values, for JSON. They hold the tokens."""
    return asdict(grant)


def from_values(values: object) -> Grant | None:
    """The grant that `to_values` gave these values for; None: they are no grant's.

    Names that this release does not know are left out: a later one may have written them.
    """
    known = {f.name for f in fields(Grant)}
    if isinstance(values, dict):
        with contextlib.suppress(TypeError):
            grant = Grant(**{name: value for name, value in values.items() if name in known})
            if _is_sound(grant):
                return grant
    return None


def _is_sound(grant: Grant) -> bool:
    texts = (grant.access_token, grant.refresh_token, grant.scope, grant.whose)
    times = (grant.expires_at, grant.consented_at, grant.issued_at, grant.refresh_issued_at)
    # A line break in one of them would be a line of its own at a terminal.
    is_text = all(isinstance(text, str) and text.isprintable() for text in texts)
    return is_text and all(isinstance(t, int | float) for t in times)


class GrantStore(Protocol):
    """Where grants are kept. Each method may take its time, and raises GrantError if it cannot be done.

    Nobody holds a lock from reading a grant to replacing it. Whoever replaces or marks one names it by its
    `fingerprint`, and a grant that somebody else has stored meanwhile stays.
    """

    async def load(self, account: str) -> Grant | None:
        """The account's grant with its marks; None when nobody has consented."""

    async def store(self, account: str, grant: Grant, *, replaces: str | None = None) -> object:
        """Keep a grant durably: when this returns it survives a power cut.

        Args:
            account: whose.
            grant: the new one.
            replaces: the fingerprint of the grant that was refreshed. What a person has confirmed of it, and
                when it was used, stay; a refresh that had begun is over. None: a new consent, which takes
                the place of whatever is there.

        Returns:
            The version that the account's grant has now.

        Raises:
            GrantReplacedError: the grant that is there is not `replaces`. It stays.
            GrantError: it cannot be written; the old one is still there.
        """

    async def mark(self, account: str, of: str, mark: Mark, at: float | None) -> None:
        """Note a time beside a grant, durably; the version stays as it is.

        Args:
            account: whose.
            of: the grant's fingerprint.
            mark: what for.
            at: seconds since the epoch; None takes the mark away.

        Raises:
            GrantReplacedError: the grant that is there is another one.
        """

    async def confirm(self, account: str, of: str, at: float) -> None:
        """Note that a person has seen whose mailbox it is, durably. The version becomes another one.

        Raises:
            GrantReplacedError: the grant that is there is another one.
        """

    async def remove(self, account: str) -> None:
        """Forget a grant, durably; one that is not there is no error."""

    async def version(self, account: str) -> object:
        """Another value whenever the grant is another one; cheap enough for every message.

        None: there is no grant.
        """

    def refreshing(self, account: str) -> AbstractAsyncContextManager[bool]:
        """The right to refresh the account's grant, for as long as the context lasts.

        False: another process has it, and what that one stores is to be waited for.
        """


class Seal(Protocol):
    """Makes octets unreadable to whoever has not the key."""

    def close(self, octets: bytes) -> bytes:
        """The octets, sealed."""

    def open(self, octets: bytes) -> bytes:
        """What was sealed.

        Raises:
            ValueError: it was not sealed by this key, or was changed since.
        """
