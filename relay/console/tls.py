"""HTTPS for the console: a handshake in front of the HTTP protocol, within the same limits.

uvicorn's own TLS counts a connection only when its handshake is over, and gives that a minute: whoever opens
connections and says nothing would take all descriptors.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import structlog
from typing_extensions import override

from relay.smtp.limits import Notes
from relay.smtp.tls import Certificate

log = structlog.get_logger("console")
_PATIENCE = 10.0  # seconds for a handshake
Protocol = Callable[..., asyncio.Protocol]


class _Waiting(asyncio.Protocol):
    """Keeps what comes right after the handshake, until the HTTP protocol has its transport."""

    def __init__(self) -> None:
        self.octets = bytearray()
        self.lost = False

    @override
    def data_received(self, data: bytes) -> None:
        self.octets += data

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


def secure(http: Protocol, certificate: Certificate, most: int) -> type[asyncio.Protocol]:
    """The HTTP protocol `http`, spoken over TLS.

    Args:
        http: makes one for each connection.
        certificate: of the server; it is looked at again for each connection.
        most: connections at once, those in their handshake included.
    """
    handshaking: set[asyncio.Task[None]] = set()
    notes = Notes(log=log)

    class Secured(asyncio.Protocol):
        def __init__(self, **more: Any) -> None:
            self._http = http(**more)
            self._open = more["server_state"].connections

        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's
            if len(handshaking) + len(self._open) >= most:
                transport.abort()
                return
            transport.pause_reading()  # the client's hello is for the handshake
            task = asyncio.get_running_loop().create_task(self._shake_hands(transport))
            handshaking.add(task)
            task.add_done_callback(handshaking.discard)

        async def _shake_hands(self, transport: asyncio.Transport) -> None:
            certificate.refresh()
            waiting = _Waiting()
            loop = asyncio.get_running_loop()
            try:
                secured = await loop.start_tls(
                    transport,
                    waiting,
                    certificate.context,
                    server_side=True,
                    ssl_handshake_timeout=_PATIENCE,
                    ssl_shutdown_timeout=_PATIENCE,
                )
            except (OSError, EOFError) as error:
                transport.abort()
                reason = error.reason if isinstance(error, ssl.SSLError) else type(error).__name__
                notes.write("console handshake failed", reason=reason)
                return
            if waiting.lost or secured is None:
                return
            self._http.connection_made(secured)
            secured.set_protocol(self._http)
            if waiting.octets:
                self._http.data_received(bytes(waiting.octets))

    return Secured
