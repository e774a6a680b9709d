"""A relay with its console, looked at by a browser without script."""

import html
from contextlib import asynccontextmanager

import httpx2 as httpx

from relay.config.model import ConsoleUser
from relay.console.access import OPEN, Access
from relay.console.app import build
from relay.console.server import serving
from relay.console.service import ServiceStatus
from tests.support.console_login import settings
from tests.support.relay import relaying


@asynccontextmanager
async def looking(state_dir, access: Access | None = None, **sections):
    """A relay that holds what comes, and a browser without script before its console."""
    sections = {"delivery": {"wait": "0s", "on_unknown": "hold"}} | sections
    async with relaying(state_dir, **sections) as relay:
        app = build(ServiceStatus(relay.service), relay.service.config, access=access or OPEN)
        async with (
            serving(app) as server,
            httpx.AsyncClient(base_url=server.url, trust_env=False, follow_redirects=True) as http,
        ):
            yield relay, http


def users(*given: ConsoleUser) -> Access:
    return Access(lambda: settings(*given))


async def text_of(http, path, status=200):
    answer = await http.get(path)
    assert answer.status_code == status, answer.text
    return html.unescape(answer.text)
