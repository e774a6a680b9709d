"""Serves an ASGI application inside the running event loop, started and stopped cleanly.

uvicorn alone would take over the signals, end the process when the port is in use, and wait for
idle clients; here the caller keeps the signals, a port in use is an `OSError`, and the stop is
bounded.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

# How long a started answer may still take once the server is told to stop, in seconds.
GRACE = 2.0


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The relay handles signals itself, once for everything that runs."""
        yield

    def cut(self) -> None:
        """Close every connection that is still open, whatever it is doing."""
        for connection in list(self.server_state.connections):
            transport: asyncio.Transport | None = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()


class Server:
    """One listening socket and the application behind it."""

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> None:
        self.socket = _bind(host, port)
        # log_config=None: logging is the relay's business. Only what is an error is let through.
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="error",
            access_log=False,
            lifespan="off",
            http="h11",
            ws="none",
            server_header=False,
            timeout_keep_alive=30,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None
        self.host = host
        self.port: int = self.socket.getsockname()[1]

    @property
    def url(self) -> str:
        """`http://host:port`, with the port that was really given."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Begin to answer; returns when connections are taken."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self.socket]), name="http")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("the HTTP server ended at its start")
            await asyncio.sleep(0)

    async def stop(self, grace: float = GRACE) -> None:
        """Take no more connections, let started answers end for `grace` seconds, then cut them."""
        if self._task is None:
            self.socket.close()
            return
        # uvicorn closes the socket, within a tenth of a second. Closed here, its number could be given
        # to another listening socket while the event loop still watches it, and that one would never hear
        # of a connection.
        self._server.should_exit = True
        done, _ = await asyncio.wait({self._task}, timeout=grace)
        if not done:
            self._server.cut()
            self._server.force_exit = True
            await asyncio.wait({self._task}, timeout=grace)
        if not self._task.done():
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        OSError: the port is in use, or the address is not one of this machine.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class Front:
    """An application that can be replaced while it is served: the sandbox is up before the relay is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        await self.app(scope, receive, send)


@asynccontextmanager
async def serving(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Server]:
    """Serve `app` for as long as the context lasts.

    Raises:
        OSError: the port is in use, or the address is not one of this machine.
    """
    server = Server(app, host, port)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
