"""A console that asks for a login."""

from contextlib import asynccontextmanager

import httpx2 as httpx

from relay.config.model import Config, Console, ConsoleUser, Limits
from relay.console.app import build
from relay.console.server import serving
from tests.support.cheap import hash_password
from tests.support.console import Relay

PASSWORD = "correct horse"
HASH = hash_password(PASSWORD)
ADMIN = ConsoleUser(name="admin", password_hash=HASH, role="operator")
GUEST = ConsoleUser(name="guest", password_hash=HASH)


def settings(*users, delay=0.0, **console):
    limits = Limits().model_copy(update={"login_delay": delay})
    return Config(console=Console(**console), console_user=users, limits=limits)


@asynccontextmanager
async def browsing(config, relay=None, access=None):
    """A client with a cookie jar, before a console of this configuration."""
    async with (
        serving(build(relay or Relay(), config, access=access)) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
    ):
        yield http


async def log_in(http, name="admin", password=PASSWORD, **more):
    return await http.post("/login", data={"name": name, "password": password, **more})
