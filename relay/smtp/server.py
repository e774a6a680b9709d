"""The listeners: sockets, TLS, and the sessions that they open."""

import asyncio
import ssl

import structlog

from relay.config import Config, Listener, split_address
from relay.smtp.session import Door, Intake, Session

log = structlog.get_logger("smtp")


class ListenError(Exception):
    """A listener cannot be opened; the text says which and what to do."""


class Server:
    """All listeners of the configuration."""

    def __init__(self, config: Config, intake: Intake) -> None:
        self._config = config
        self._intake = intake
        self._servers: list[asyncio.Server] = []
        self._sessions: set[Session] = set()

    async def start(self) -> None:
        """Open every listener, or none.

        Raises:
            ListenError: one cannot be opened.
        """
        try:
            for listener in self._config.listener:
                self._servers.append(await self._listen(listener))
        except BaseException:
            await self.stop()
            raise

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens: host and port of each socket."""
        return [s.getsockname()[:2] for server in self._servers for s in server.sockets]

    async def _listen(self, listener: Listener) -> asyncio.Server:
        context = tls_context(listener)
        door = Door(self._config, listener, self._intake, context)
        loop = asyncio.get_running_loop()
        host, port = split_address(listener.address)
        try:
            server = await loop.create_server(
                lambda: Session(door, loop),
                host,
                port,
                ssl=context if listener.tls == "implicit" else None,
                backlog=1024,
            )
        except OSError as error:
            raise ListenError(f"{listener.address}: cannot listen: {error.strerror or error}") from error
        log.info("listening", address=listener.address, tls=listener.tls, auth=listener.auth)
        return server

    async def stop(self) -> None:
        """Close the listeners; sessions end by themselves or with the process."""
        for server in self._servers:
            server.close()
        self._servers.clear()


def tls_context(listener: Listener) -> ssl.SSLContext | None:
    """The listener's certificate and protocol versions.

    Raises:
        ListenError: the certificate or key cannot be read.
    """
    if listener.tls == "none":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(listener.certificate_file, listener.private_key_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ListenError(f"{listener.address}: certificate_file cannot be used: {error}") from error
    return context
