"""What a relay beside the simulated Works knows of the messages that it sent: how it is asked."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Loss:
    """Something of the original that Works could not be given."""

    name: str  # in the relay's list
    meaning: str  # in words
    detail: str  # what it was here
    notable: bool  # whether it is worth attention


@dataclass(frozen=True, slots=True)
class Source:
    """Where a message came from."""

    device: str  # who handed it over: a user, or an address
    author: str  # the From of the original


@dataclass(frozen=True, slots=True)
class Story:
    """What became of a message on its way."""

    page: str  # the path of the page that tells its life
    losses: tuple[Loss, ...]  # what was lost on the way, the notable ones first
    original: bytes | None  # the octets that were handed over; None: they are not kept any more


class Teller(Protocol):
    """The relay beside."""

    def find_source(self, queue_id: str) -> Source | None:
        """Where this message came from; None: it is not known any more."""

    async def tell(self, queue_id: str) -> Story | None:
        """What became of this message on its way; None: it is not known any more."""
