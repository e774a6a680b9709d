"""What a relay beside the simulated Works knows of the messages that it sent: how it is asked."""

from collections.abc import Sequence
from typing import Protocol


class Loss(Protocol):
    """Something of the original that Works could not be given."""

    @property
    def name(self) -> str:
        """Its name in the relay's list."""

    @property
    def meaning(self) -> str:
        """What it means, in words."""

    @property
    def detail(self) -> str:
        """What it was here."""

    @property
    def notable(self) -> bool:
        """Whether it is worth attention."""


class Source(Protocol):
    """Where a message came from."""

    @property
    def device(self) -> str:
        """Who handed it over: a user, or an address."""

    @property
    def author(self) -> str:
        """The From of the original."""


class Story(Protocol):
    """What became of a message on its way."""

    @property
    def page(self) -> str:
        """The path of the page that tells its life."""

    @property
    def losses(self) -> Sequence[Loss]:
        """What was lost on the way, the notable ones first."""

    @property
    def original(self) -> bytes | None:
        """The octets that were handed over; None: they are not kept any more."""


class Teller(Protocol):
    """The relay beside."""

    def find_source(self, queue_id: str) -> Source | None:
        """Where this message came from; None: it is not known any more."""

    async def tell(self, queue_id: str) -> Story | None:
        """What became of this message on its way; None: it is not known any more."""


class Silent:
    """No relay is beside."""

    def find_source(self, queue_id: str) -> Source | None:  # noqa: ARG002 - the contract's
        """Nobody knows."""
        return None

    async def tell(self, queue_id: str) -> Story | None:  # noqa: ARG002 - the contract's
        """Nobody knows."""
        return None
