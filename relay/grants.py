"""An account's grant, and where it is kept.

A grant is what a consent gave: an access token that lives an hour or a day and a refresh token that
lives 90 days (Works API §2). The contract is small, so that an engine other than files can hold it.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

REFRESH_TOKEN_LIFE = 90 * 86400.0  # seconds; Works API §2
# Days before a grant dies that nothing but a person can renew: at each of them it is said so.
EXPIRY_MARKS = (1, 7, 14, 30)


class GrantError(Exception):
    """The store cannot be read or written; says which file and why."""


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
        f"then run: relay accounts --confirm {account}"
    )


class GrantStore(Protocol):
    """Where grants are kept. Every method may block on disk."""

    def load(self, account: str) -> Grant | None:
        """The account's grant; None when nobody has consented.

        Raises:
            GrantError: it cannot be read.
        """

    def store(self, account: str, grant: Grant) -> None:
        """Keep a grant durably: on return it survives a power cut.

        Raises:
            GrantError: it cannot be written; the old one is still there.
        """

    def remove(self, account: str) -> None:
        """Forget a grant, durably; one that is not there is no error.

        Raises:
            GrantError: it cannot be removed.
        """

    def version(self, account: str) -> object:
        """Changes whenever somebody stored a grant; cheap enough for every message."""

    def lock(self, account: str) -> AbstractContextManager[bool]:
        """Whoever refreshes or replaces a grant holds this; False: somebody else does."""
