"""Learning mode: for some minutes, unknown devices of a private network are let in, and their mail is held.

What a listener asks for every connection: is this client known by its network, known as an adopted
device, to be learned, or a stranger? Nothing of this sends anything: mail of a device that is being
learned waits, held, until the operator adopts the device.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_network

import structlog

from relay.config.model import Config, Listener
from relay.config.networks import Address, Network, is_private, read_address
from relay.config.rules import find_device
from relay.host.documents import LEARNING, Documents
from relay.host.shared_value import Codec, SharedValue

log = structlog.get_logger("learn")
LONGEST = 24 * 3600.0  # seconds; a window that nobody closes is a hole
_MOST_WINDOWS = 20
_MOST_DEVICES = 200  # of one window
_MOST_MESSAGES = 20  # held of one device; further ones are told to come back


class LearningRefused(Exception):  # noqa: N818 - the relay will not; the text says why
    """The window cannot be opened."""


class Admission(Enum):
    """Whether a listener lets a client in, and as what."""

    STRANGER = "stranger"  # may not connect
    KNOWN = "known"  # its network is the listener's
    DEVICE = "device"  # adopted: needs no login
    LEARNED = "learned"  # let in for now; its mail is held

    @property
    def needs_login(self) -> bool:
        """Whether the listener's auth = "required" holds for it."""
        return self in (Admission.STRANGER, Admission.KNOWN)


@dataclass(slots=True)
class Window:
    """A network that is being learned, until a time."""

    network: Network
    listener: str  # the address of one listener, or "" for every one
    until: float  # seconds since the epoch
    devices: dict[str, int]  # address → messages that were held, by this node


_Open = dict[tuple[str, str], float]  # network and listener → until when


class Learning:
    """The open windows.

    Args:
        clock: seconds since the epoch.
        documents: where all nodes see the windows; None: in memory only, so that a restart closes them.
    """

    def __init__(self, clock: Callable[[], float] = time.time, documents: Documents | None = None) -> None:
        self._clock = clock
        self._open: SharedValue[_Open] = SharedValue(documents, LEARNING, Codec(_read, _write))
        self._devices: dict[tuple[str, str, float], dict[str, int]] = {}  # of each window

    def open(self, network: str, seconds: float, listener: str = "") -> Window:
        """Learn this network for so long.

        Raises:
            LearningRefused: it is no private network, the time is too long, or too many are open.
        """
        window = Window(_private(network), listener, self._clock() + seconds, {})
        if not 0 < seconds <= LONGEST:
            raise LearningRefused(
                "expected a time from 1s to 24h: a network that is learned for ever is open"
            )
        key = str(window.network), listener
        if len([w for w in self.windows() if (str(w.network), w.listener) != key]) >= _MOST_WINDOWS:
            raise LearningRefused(
                f"{_MOST_WINDOWS} networks are being learned already; end one: relay learn --stop"
            )
        now = self._clock()
        self._open.change(lambda windows: _add(windows, key, window.until, now))
        log.warning("learning", network=str(window.network), listener=listener or None, seconds=seconds)
        return window

    def stop(self) -> None:
        """Learn nothing any more."""
        if self._open.value:
            self._open.change(dict.clear)

    async def settle(self) -> None:
        """Wait until the other nodes can see the change, if the database answers."""
        await self._open.settle()

    def windows(self) -> list[Window]:
        """The windows that are open now."""
        if not self._open.value:
            return []
        now = self._clock()
        keys = [(*key, until) for key, until in self._open.value.items() if until > now]
        self._devices = {key: self._devices.get(key, {}) for key in keys}
        return [Window(ip_network(key[0]), *key[1:], self._devices[key]) for key in keys]

    def judge(self, config: Config, listener: Listener, client: str) -> Admission:
        """Whether this listener lets this client in, and as what."""
        address = read_address(client)
        if address is None:
            return Admission.STRANGER
        if find_device(config, listener.address, client) is not None:
            return Admission.DEVICE
        known = any(address in network for network in listener.networks)
        if known and listener.auth != "required":
            return Admission.KNOWN
        if self._window(listener, address) is not None:
            return Admission.LEARNED
        return Admission.KNOWN if known else Admission.STRANGER

    def may_hold(self, listener: Listener, client: str) -> bool:
        """Whether one more message of this client may be held."""
        address = read_address(client)
        window = self._window(listener, address) if address else None
        return window is not None and window.devices.get(str(address), 0) < _MOST_MESSAGES

    def held(self, listener: Listener, client: str, helo: str, reverse_path: str) -> None:
        """A message was held; the first of each device asks the operator, once."""
        address = read_address(client)
        window = self._window(listener, address) if address else None
        if window is None:
            return
        first = str(address) not in window.devices
        window.devices[str(address)] = window.devices.get(str(address), 0) + 1
        if first:
            log.warning(
                "unknown device",
                client=str(address),
                listener=listener.address,
                helo=helo,
                reverse_path=reverse_path,
                remedy=f"adopt it: relay learn --adopt {address}",
            )

    def _window(self, listener: Listener, address: Address) -> Window | None:
        return next(
            (
                w
                for w in self.windows()
                if address in w.network
                and w.listener in ("", listener.address)
                and (str(address) in w.devices or len(w.devices) < _MOST_DEVICES)
            ),
            None,
        )


def _add(windows: _Open, key: tuple[str, str], until: float, now: float) -> None:
    for other in [one for one, end in windows.items() if end <= now]:
        del windows[other]
    windows[key] = until


def _read(text: str) -> _Open:
    windows: _Open = {}
    with suppress(ValueError, TypeError):  # what is no window ends the list
        for network, listener, until in json.loads(text or "[]"):
            if is_private(ip_network(network)):
                windows[network, str(listener)] = float(until)
    return windows


def _write(windows: _Open) -> str:
    return json.dumps([[*key, until] for key, until in windows.items()])


def _private(text: str) -> Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise LearningRefused(f'{text!r}: expected a network such as "192.168.1.0/24"') from None
    if not is_private(network):
        raise LearningRefused(
            f"{network} is public: anybody there could send in your name. Only private networks are learned; "
            'let a device outside log in (auth = "required")'
        )
    return network
