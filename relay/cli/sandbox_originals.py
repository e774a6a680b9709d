"""What a relay before the simulated Works remembers of the mail that it took, for the inbox of that Works."""

from collections import OrderedDict

from relay.envelope import Envelope
from relay.host.texts import say
from relay.mail import KINDS, Weight
from relay.message import originators
from relay.sandbox.story import Loss, Source, Story, Teller
from relay.service import Service
from relay.spool import NoSuchMessage

_MOST_SOURCES = 10_000
_MOST, _MOST_OCTETS = 500, 64 * 1024 * 1024  # messages whose octets are remembered, and these


class Originals(Teller):
    """The latest messages, as they were handed over."""

    def __init__(self) -> None:
        self._service: Service | None = None
        self._sources: OrderedDict[str, Source] = OrderedDict()
        self._octets: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def watch(self, service: Service) -> None:
        """Answer from this service, which has `keep` as its on_kept."""
        self._service = service

    def keep(self, queue_id: str, envelope: Envelope, octets: bytes) -> None:
        """A message was taken."""
        self._sources[queue_id] = Source(envelope.source, _find_author(octets) or envelope.reverse_path)
        if len(self._sources) > _MOST_SOURCES:
            self._sources.popitem(last=False)
        self._octets[queue_id] = octets
        self._size += len(octets)
        while len(self._octets) > 1 and (len(self._octets) > _MOST or self._size > _MOST_OCTETS):
            _queue_id, oldest = self._octets.popitem(last=False)
            self._size -= len(oldest)

    def find_source(self, queue_id: str) -> Source | None:
        """Where a message came from; None: it is not known any more."""
        return self._sources.get(queue_id)

    async def tell(self, queue_id: str) -> Story | None:
        """What became of a message on its way; None: it is not known any more."""
        if self._service is None or not queue_id:
            return None
        try:
            entry = await self._service.spool.show(queue_id)
        except NoSuchMessage:
            return None
        losses = sorted(entry.losses, key=lambda loss: loss.weight is Weight.USUAL)
        return Story(
            f"/messages/{queue_id}",
            tuple(
                Loss(x.loss, say(KINDS[x.loss].meaning), x.detail, x.weight is Weight.NOTABLE) for x in losses
            ),
            self._octets.get(queue_id),
        )


def _find_author(octets: bytes) -> str:
    """The From, as people see it."""
    try:
        found = originators(octets)
    except Exception:  # noqa: BLE001 - a page for developers; whatever came, mail goes on
        return ""
    return ", ".join(
        f"{one.display_name} <{one.addr_spec}>" if one.display_name else one.addr_spec for one in found
    )
