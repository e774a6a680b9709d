"""The certificates that clients are shown. Their library is loaded only where there is one to read."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from relay.config.model import Config
from relay.operator.state import Certificate, Moment
from relay.smtp import tls

if TYPE_CHECKING:  # a command beside no service begins without them
    from relay.smtp.server import Server

_MOST_KNOWN = 100


class Certificates:
    """Those of a service that runs, or those that one would show."""

    def __init__(self, server: "Server | None") -> None:
        """Args:
        server: has the listeners; None: it does not run.
        """
        self._server = server
        self._others: dict[str, tls.Certificate] = {}  # beside the listeners': the console's
        self._expiries = _Expiries()

    @contextmanager
    def showing(self, place: str, certificate: tls.Certificate) -> Iterator[None]:
        """Watch one that is shown beside the listeners', for as long as the context lasts."""
        self._others[place] = certificate
        try:
            yield
        finally:
            del self._others[place]

    async def read(self, config: Config) -> tuple[Certificate, ...]:
        """How they are now: of those that are in use, and not of what is in their files."""
        if self._server is None:
            return await _read_files(config)
        shown = [(one.name, one.certificate) for one in self._server.look() if one.certificate is not None]
        found = []
        for place, one in (*shown, *self._others.items()):
            one.refresh()
            expires = await self._expiries.read(one.chain)
            found.append(Certificate(place, one.file, _moment(expires), one.problem))
        return tuple(found)


def name_console(address: str) -> str:
    """What the console's certificate is known by among those of listeners."""
    return f"console {address}"


async def _read_files(config: Config) -> tuple[Certificate, ...]:
    named = [(one.address, one.certificate_file) for one in config.listener if one.tls != "none"]
    if config.console.address and config.console.certificate_file:
        named.append((name_console(config.console.address), config.console.certificate_file))
    expiries = await read_expiries(file for _, file in named)
    return tuple(Certificate(place, file, _moment(expiries.get(file))) for place, file in named)


def _moment(seconds: float | None) -> Moment | None:
    return None if seconds is None else Moment(seconds)


async def read_expiries(files: Iterable[str]) -> dict[str, float]:
    """When the certificates in these files expire, seconds since the epoch; without those not to be read."""
    found, expiries = {}, _Expiries()
    for name in {name for name in files if name}:
        try:
            chain = await asyncio.to_thread(Path(name).read_bytes)
        except (OSError, ValueError):
            continue
        if (expires := await expiries.read(chain)) is not None:
            found[name] = expires
    return found


class _Expiries:
    """Reads when certificates expire, each once."""

    def __init__(self) -> None:
        self._known: dict[bytes, float | None] = {}

    async def read(self, chain: bytes) -> float | None:
        """When a PEM file's chain does, in seconds since the epoch; None: it holds no certificate."""
        if chain not in self._known:
            while len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[chain] = await asyncio.to_thread(_read, chain)
        return self._known[chain]


def _read(chain: bytes) -> float | None:
    from relay.host.certificate import read_expiry

    try:
        return read_expiry(chain).timestamp()
    except ValueError:
        return None
