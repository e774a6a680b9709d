"""Serves an ASGI application inside the running event loop, started and stopped cleanly.

uvicorn alone would take over the signals, end the process when the port is in use, and wait for
idle clients; here the caller keeps the signals, a port in use is an `OSError`, and the stop is
bounded.
"""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.config.fields import join_address
from relay.console.patience import limit
from relay.console.tls import secure
from relay.host.sockets import listen
from relay.smtp.limits import Notes
from relay.smtp.tls import Certificate

# How long a started answer may still take once the server is told to stop, in seconds.
GRACE = 2.0
# Connections of a server that tests and benches ask, and of the console: people and what collects metrics.
MANY, FEW = 1_000, 50
log = structlog.get_logger("console")


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

    def __init__(
        self,
        app: ASGIApp,
        host: str = "127.0.0.1",
        port: int = 0,
        connections: int = MANY,
        certificate: Certificate | None = None,
    ) -> None:
        # Whoever waits in the queue is accepted all at once: no more than may be open.
        self.socket = listen(host, port, connections)
        _take_over_log()
        http = limit(connections)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            backlog=connections,
            http=secure(http, certificate, connections) if certificate else http,
            ws="none",
            server_header=False,
            timeout_keep_alive=30,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None
        self._scheme = "https" if certificate else "http"
        self.host = host
        self.port: int = self.socket.getsockname()[1]

    @property
    def url(self) -> str:
        """`http://host:port`, or https, with the port that was really given."""
        return f"{self._scheme}://{join_address(self.host, self.port)}"

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


class _OneLine(logging.Handler):
    """What uvicorn says, as one line of the relay's log each, and a few of them a second."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._notes = Notes(log=log)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        frames = traceback.extract_tb(error.__traceback__) if error else []
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None
        # Its text may hold what a client sent.
        self._notes.write("http request failed", reason=type(error).__name__, place=place)


def _take_over_log() -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    if not any(isinstance(one, _OneLine) for one in logger.handlers):
        logger.addHandler(_OneLine())


class Front:
    """An application that can be replaced while it is served: the sandbox is up before the relay is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def replace(self, app: ASGIApp) -> None:
        """Serve this one from now on."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        await self._app(scope, receive, send)


@asynccontextmanager
async def serving(
    app: ASGIApp, host: str = "127.0.0.1", port: int = 0, connections: int = MANY
) -> AsyncIterator[Server]:
    """Serve `app` for as long as the context lasts.

    Raises:
        OSError: the port is in use, or the address is not one of this machine.
    """
    server = Server(app, host, port, connections)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
