"""The console's application: its pages, `/metrics`, `/healthz`, `/readyz`."""

import secrets
from collections.abc import Mapping
from types import MappingProxyType

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from relay import metrics
from relay.config.model import Config
from relay.console.access import Access
from relay.console.accounts import AccountPages
from relay.console.devices import DevicePages
from relay.console.gauges import read_gauges
from relay.console.guard import Guard
from relay.console.journal import JournalPages
from relay.console.login import LoginPages
from relay.console.messages import MessagePages
from relay.console.overview import OverviewPages, find_problems, look
from relay.console.pages import page
from relay.console.sessions import Sessions
from relay.console.site import Site
from relay.console.status import Status
from relay.console.trial import TrialPages
from relay.mail import KINDS


def build(
    status: Status,
    config: Config | None = None,
    *,
    access: Access | None = None,
    beside: ASGIApp | None = None,
    links: Mapping[str, str] = MappingProxyType({}),
) -> Starlette:
    """The application.

    Args:
        status: whom it asks.
        config: by which names it is asked, and the limits of logins; None: the defaults.
        access: who may look and act; None: as the configuration says.
        beside: an application that answers for all other paths under the same guard (the sandbox's).
        links: its pages, by their names.
    """
    metrics.declare_losses(KINDS)
    settings = config or Config()
    console = settings.console
    access = access or Access(lambda: settings)
    site = Site(status, access, Sessions(access, settings.limits), links)
    machine = _Machine(status)
    routes: list[BaseRoute] = [
        Route("/metrics", machine.metrics),
        Route("/healthz", machine.health),
        Route("/readyz", machine.readiness),
        *LoginPages(site).routes(),
        *OverviewPages(site).routes(),
        *MessagePages(site).routes(),
        *AccountPages(site, console.url).routes(),
        *DevicePages(site).routes(),
        *TrialPages(site).routes(),
        *JournalPages(site).routes(),
    ]
    if beside is not None:
        routes.append(Mount("/", app=beside))
    middleware = [
        Middleware(Guard, hosts=console.hosts, url=console.url),
        # Whoever restarts the relay logs everybody out: what the cookie stands for is in memory anyhow.
        Middleware(
            SessionMiddleware,
            secret_key=secrets.token_hex(32),
            session_cookie="__Host-relay" if console.is_encrypted else "relay",
            max_age=None,
            https_only=console.is_encrypted,
        ),
    ]
    return Starlette(routes=routes, middleware=middleware, exception_handlers={404: _say_nothing_is_here})


async def _say_nothing_is_here(_: Request, __: Exception) -> Response:
    return page("nothing.html", 404)


class _Machine:
    """What machines ask; they do not log in."""

    def __init__(self, status: Status) -> None:
        self._status = status

    async def metrics(self, _: Request) -> Response:
        """Every series."""
        seen = await look(self._status)
        # Without the spool the counters are still worth having.
        states = generate_latest(read_gauges(seen)) if seen else b""
        return Response(generate_latest(metrics.REGISTRY) + states, media_type=CONTENT_TYPE_LATEST)

    async def health(self, _: Request) -> Response:
        """Whether a restart is needed."""
        alive = self._status.alive()
        return PlainTextResponse("ok\n" if alive else "not working\n", 200 if alive else 503)

    async def readiness(self, _: Request) -> Response:
        """Whether mail is taken."""
        problems = await find_problems(self._status)
        text = "\n".join(problems) or "ready"
        return PlainTextResponse(f"{text}\n", 503 if problems else 200)
