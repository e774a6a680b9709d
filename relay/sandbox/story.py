"""What a relay beside the simulated Works knows of the messages that it sent: how it is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Arrival:
    """An accepted message, as far as a relay can know it again."""

    id: int
    recipients: tuple[str, ...]  # of To, Cc and Bcc
    time: float  # epoch seconds, when it was accepted


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


class Story(Protocol):
    """Where a message came from."""

    @property
    def queue_id(self) -> str:
        """The relay's name of it."""

    @property
    def page(self) -> str:
        """The path of the page that tells its life."""

    @property
    def device(self) -> str:
        """Who handed it over: a user, or an address."""

    @property
    def author(self) -> str:
        """The From of the original."""

    @property
    def losses(self) -> Sequence[Loss]:
        """What was lost on the way, the notable ones first."""

    @property
    def original(self) -> bytes | None:
        """The octets that were handed over; None: they are not kept any more."""


class Teller(Protocol):
    """The relay beside."""

    async def tell(self, arrival: Arrival) -> Story | None:
        """Where this message came from; None: nobody knows."""


class Silent:
    """No relay is beside."""

    async def tell(self, arrival: Arrival) -> Story | None:  # noqa: ARG002 - the contract's
        """Nobody knows."""
        return None
