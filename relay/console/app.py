"""The console's application: `/`, `/metrics`, `/healthz`, `/readyz`. It reads and never changes."""

from collections.abc import Iterable

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from relay import metrics
from relay.console.gauges import read_gauges
from relay.console.guard import Guard
from relay.console.pages import page
from relay.console.status import Overview, Status
from relay.mail import KINDS

log = structlog.get_logger("console")
_LISTED = 50  # messages on the page


def build(status: Status, *, hosts: Iterable[str] = (), beside: ASGIApp | None = None) -> Starlette:
    """The application.

    `hosts` are further names that it may be asked by; `beside` is an application that answers for all
    other paths under the same guard (the sandbox's).
    """
    metrics.declare_losses(KINDS)
    console = _Console(status)
    routes: list[BaseRoute] = [
        Route("/", console.overview),
        Route("/metrics", console.metrics),
        Route("/healthz", console.health),
        Route("/readyz", console.readiness),
    ]
    if beside is not None:
        routes.append(Mount("/", app=beside))
    return Starlette(routes=routes, middleware=[Middleware(Guard, hosts=tuple(hosts))])


class _Console:
    def __init__(self, status: Status) -> None:
        self._status = status

    async def overview(self, _: Request) -> Response:
        seen = await self._look(_LISTED)
        if seen is None:
            return page("unavailable.html", 503)
        return page("overview.html", seen=seen, problems=await self._problems())

    async def metrics(self, _: Request) -> Response:
        seen = await self._look(0)
        # Without the spool the counters are still worth having.
        states = generate_latest(read_gauges(seen)) if seen else b""
        return Response(generate_latest(metrics.REGISTRY) + states, media_type=CONTENT_TYPE_LATEST)

    async def health(self, _: Request) -> Response:
        alive = self._status.alive()
        return PlainTextResponse("ok\n" if alive else "not working\n", 200 if alive else 503)

    async def readiness(self, _: Request) -> Response:
        problems = await self._problems()
        text = "\n".join(problems) or "ready"
        return PlainTextResponse(f"{text}\n", 503 if problems else 200)

    async def _look(self, messages: int) -> Overview | None:
        try:
            return await self._status.overview(messages)
        except Exception:
            # A page that asks must never bring the relay down; what went wrong is in the log.
            log.exception("overview unavailable")
            return None

    async def _problems(self) -> tuple[str, ...]:
        try:
            return await self._status.problems()
        except Exception:
            log.exception("problems unavailable")
            return ("the relay's state cannot be read; see its log",)
