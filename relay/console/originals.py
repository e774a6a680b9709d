"""What a relay before the simulated Works remembers of the mail that it took, for the inbox of that Works.

The API is told no queue id. A message that Works accepted is known again by its recipients and by the time of
the request that Works took.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

from relay.console.texts import gettext as _
from relay.envelope import Envelope
from relay.mail import KINDS, Weight
from relay.message import originators
from relay.service import Service
from relay.spool import Attempt, NoSuchMessage

_MOST, _MOST_OCTETS = 500, 64 * 1024 * 1024  # messages that are remembered, and their octets
_SLACK = 1.0  # seconds between our clock and the simulated one


class Arrival(Protocol):
    """A message that Works accepted."""

    @property
    def id(self) -> int:
        """Its number there."""

    @property
    def recipients(self) -> tuple[str, ...]:
        """All of them."""

    @property
    def time(self) -> float:
        """When it was accepted, in epoch seconds."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A loss, in words."""

    name: str
    meaning: str
    detail: str
    notable: bool


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message came from."""

    queue_id: str
    device: str
    author: str
    losses: tuple[Lost, ...]
    original: bytes | None = field(repr=False)

    @property
    def page(self) -> str:
        """The path of its page in the console."""
        return f"/messages/{self.queue_id}"


@dataclass(frozen=True, slots=True)
class _Kept:
    envelope: Envelope
    author: str
    octets: bytes = field(repr=False)


class Originals:
    """The latest messages, as they were handed over."""

    def __init__(self) -> None:
        self._service: Service | None = None
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._octets = 0
        self._known: OrderedDict[tuple[int, float], str] = OrderedDict()  # queue ids, by accepted message

    def watch(self, service: Service) -> None:
        """Answer from this service, which has `keep` as its on_kept."""
        self._service = service

    def keep(self, queue_id: str, envelope: Envelope, octets: bytes) -> None:
        """A message was taken."""
        self._kept[queue_id] = _Kept(envelope, _find_author(octets), octets)
        self._octets += len(octets)
        while len(self._kept) > 1 and (len(self._kept) > _MOST or self._octets > _MOST_OCTETS):
            _queue_id, oldest = self._kept.popitem(last=False)
            self._octets -= len(oldest.octets)

    async def tell(self, arrival: Arrival) -> Origin | None:
        """Where an accepted message came from; None: nobody knows."""
        if self._service is None:
            return None
        key = (arrival.id, arrival.time)
        queue_id = self._known.get(key) or await self._recognise(self._service, arrival)
        if queue_id is None:
            return None
        self._known[key] = queue_id
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        try:
            entry = await self._service.spool.show(queue_id)
        except NoSuchMessage:
            return None
        losses = sorted(entry.losses, key=lambda loss: loss.weight is Weight.USUAL)
        kept = self._kept.get(queue_id)
        return Origin(
            queue_id,
            entry.envelope.source,
            kept.author if kept else entry.envelope.reverse_path,
            tuple(
                Lost(x.loss, _(KINDS[x.loss].meaning), x.detail, x.weight is Weight.NOTABLE) for x in losses
            ),
            kept.octets if kept else None,
        )

    async def _recognise(self, service: Service, arrival: Arrival) -> str | None:
        wanted = {one.lower() for one in arrival.recipients}
        taken = set(self._known.values())
        found: list[tuple[float, str]] = []
        for queue_id, kept in reversed(self._kept.items()):
            if wanted <= {one.lower() for one in kept.envelope.forward_paths}:
                attempts = await service.spool.attempts(queue_id)
                fitting = [one for one in attempts if _is_it(one, wanted, arrival.time)]
                found += [(abs(one.started - arrival.time), queue_id) for one in fitting]
        # Of several at once, one that is not known as another message.
        free = [one for one in found if one[1] not in taken]
        return min(free or found)[1] if found else None


def _is_it(attempt: Attempt, recipients: set[str], at: float) -> bool:
    """Whether it was by this request that Works took the message."""
    ended = at if attempt.ended is None else attempt.ended
    in_time = attempt.started - _SLACK <= at <= ended + _SLACK
    took = attempt.outcome is None or attempt.outcome.may_have_been_taken
    return in_time and took and {one.lower() for one in attempt.recipients} == recipients


def _find_author(octets: bytes) -> str:
    """The From, as people see it."""
    try:
        found = originators(octets)
    except Exception:  # noqa: BLE001 - a page for developers; whatever came, mail goes on
        return ""
    return ", ".join(
        f"{one.display_name} <{one.addr_spec}>" if one.display_name else one.addr_spec for one in found
    )
