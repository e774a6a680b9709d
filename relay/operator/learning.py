"""What the operator does about devices that were learned: see them, adopt them, turn them away.

Adopting writes a [[device]] to the document learned.toml, which becomes part of the configuration at once, on
every node, and releases the mail that was held for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from relay.config.model import Config, Device
from relay.config.networks import read_address
from relay.devices.adopted import Adopted, CannotAdopt
from relay.devices.learning import Learning, LearningRefused
from relay.host.clock import to_iso
from relay.operator.calling import Refused
from relay.outcome import Hold
from relay.spool import Entry, Spool, State

log = structlog.get_logger("learn")
_MOST_HELD = 10_000


@dataclass(frozen=True, slots=True)
class LearningVerbs:
    """The operator's verbs, for the control socket."""

    _config: Callable[[], Config]
    _learning: Learning
    _spool: Spool
    _adopted: Adopted

    async def learn(self, network: str, seconds: float, listener: str = "") -> dict[str, Any]:
        """Open a window."""
        known = [x.address for x in self._config().listener]
        if listener and listener not in known:
            raise Refused(f"{listener} is no listener; there are {', '.join(known)}")
        try:
            self._learning.open(network, seconds, listener)
        except LearningRefused as error:
            raise Refused(str(error)) from None
        await self._learning.settle()
        return await self.learning()

    async def learn_stop(self) -> dict[str, Any]:
        """Close all windows."""
        self._learning.stop()
        await self._learning.settle()
        return await self.learning()

    async def learning(self) -> dict[str, Any]:
        """The open windows, and the devices whose mail is held."""
        windows = [
            {
                "network": str(w.network),
                "listener": w.listener,
                "until": to_iso(w.until),
            }
            for w in self._learning.windows()
        ]
        waiting: dict[str, dict[str, Any]] = {}
        for entry in await self._held():
            device = waiting.setdefault(entry.envelope.client_address, _describe(entry))
            device["messages"] += 1
        return {"windows": windows, "waiting": list(waiting.values())}

    async def devices(self) -> dict[str, Any]:
        """The devices that may send without a login."""
        return {
            "devices": [
                {"address": one.address, "listener": one.listener, "note": one.note, "account": one.account}
                for one in self._config().device
            ]
        }

    async def device_name(self, address: str, note: str) -> dict[str, Any]:
        """Say whose an adopted device is.

        Raises:
            Refused: it was not adopted, or that cannot be written down.
        """
        try:
            await self._adopted.rename(address, note)
        except CannotAdopt as error:
            raise Refused(str(error)) from None
        return {"file": self._adopted.place}

    async def learn_adopt(self, address: str, note: str = "") -> dict[str, Any]:
        """Let this device send from now on, and let its held mail go; `note` says whose it is, for people."""
        entries = await self._held(address)
        if not entries:
            raise Refused(f"no mail of {address} is held; relay learn shows the devices that wait")
        listener = entries[0].envelope.listener
        note = note or f"HELO {entries[0].envelope.helo}, adopted {datetime.now(UTC):%Y-%m-%d}"
        try:
            device = Device(address=address, listener=listener, note=note)
        except ValueError:
            raise Refused(f"{address} is not a private address; let it log in instead") from None
        try:
            await self._adopted.add(device)
        except CannotAdopt as error:
            raise Refused(str(error)) from None
        for entry in entries:
            await self._spool.release(entry.queue_id)
        log.info("device adopted", client=address, listener=listener, released=len(entries))
        return {"file": self._adopted.place, "released": [e.queue_id for e in entries]}

    async def learn_refuse(self, address: str) -> dict[str, Any]:
        """Throw away what is held of this device."""
        entries = await self._held(address)
        for entry in entries:
            await self._spool.discard(entry.queue_id)
        log.info("device refused", client=address, discarded=len(entries))
        return {"discarded": [e.queue_id for e in entries]}

    async def learn_forget(self, address: str) -> dict[str, Any]:
        """Let a device that was adopted in no longer; sessions that are open go on.

        Raises:
            Refused: it was not adopted, or that cannot be written down.
        """
        try:
            await self._adopted.forget(address)
        except CannotAdopt as error:
            raise Refused(str(error)) from None
        log.info("device forgotten", client=address)
        return {"file": self._adopted.place}

    async def _held(self, address: str = "") -> list[Entry]:
        held = await self._spool.list([State.HELD], _MOST_HELD)
        return [
            e
            for e in held
            if e.hold is Hold.DEVICE and (not address or _same(address, e.envelope.client_address))
        ]


def _same(one: str, other: str) -> bool:
    address = read_address(one)
    return address is not None and address == read_address(other)


def _describe(entry: Entry) -> dict[str, Any]:
    envelope = entry.envelope
    return {
        "address": envelope.client_address,
        "listener": envelope.listener,
        "helo": envelope.helo,
        "reverse_path": envelope.reverse_path,
        "forward_path": envelope.forward_paths[0],
        "messages": 0,
    }
