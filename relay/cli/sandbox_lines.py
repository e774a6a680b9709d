"""One line for each mail that goes through the sandbox, for whoever plays with it at a terminal."""

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from relay.cli.terminal import echo

if TYPE_CHECKING:
    from relay.cli.sandbox_originals import Originals
    from relay.envelope import Envelope
    from relay.sandbox import Sandbox
    from relay.service import Service

_PAUSE = 0.2  # seconds between looks
_MOST, _MOST_AT_ONCE = 500, 50  # messages that are remembered; that are looked up in one go


class Lines:
    """Says what became of each message, once that is known."""

    def __init__(self, sandbox: "Sandbox", originals: "Originals") -> None:
        self._sandbox = sandbox
        self._originals = originals
        self._seen = 0  # the number of the last message of the inbox
        self._waiting: OrderedDict[str, Envelope] = OrderedDict()

    def keep(self, queue_id: str, envelope: "Envelope", octets: bytes) -> None:
        """A message was taken."""
        self._originals.keep(queue_id, envelope, octets)
        self._waiting[queue_id] = envelope
        while len(self._waiting) > _MOST:
            self._waiting.popitem(last=False)

    async def watch(self, service: "Service") -> None:
        """Print lines until cancelled."""
        while True:
            await asyncio.sleep(_PAUSE)
            self._tell_arrivals()
            await self._tell_rest(service)

    def _tell_arrivals(self) -> None:
        """What the simulated Works has taken, with its place in the inbox."""
        for message in [one for one in self._sandbox.messages if one.id > self._seen]:
            self._seen = message.id
            envelope = self._waiting.pop(message.queue_id, None)
            source = self._originals.find_source(message.queue_id)
            if source is not None:
                came = _from(envelope) if envelope else source.device
                _say(came, message.to, f"relayed, see /inbox/{message.id}")

    async def _tell_rest(self, service: "Service") -> None:
        """What waits or failed."""
        for queue_id in list(self._waiting)[:_MOST_AT_ONCE]:
            entry = await service.verbs.queue_show(queue_id)
            if entry["reason"] and entry["state"] not in ("queued", "sending", "relayed"):
                envelope = self._waiting.pop(queue_id)
                to = ", ".join(envelope.forward_paths)
                _say(_from(envelope), to, f"{entry['state']}: {entry['reason']}; see /messages/{queue_id}")


def _from(envelope: "Envelope") -> str:
    return f"{envelope.client_address} {envelope.reverse_path or '<>'}"


def _say(came: str, to: str, what: str) -> None:
    echo(f"← {came} → {to} {what}", err=True)
