"""The whole relay in this process, against a simulated Works behind a real HTTP server."""

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path

from relay.config.load import build
from relay.console.server import serving
from relay.grants import Grant
from relay.sandbox import Sandbox, Settings
from relay.service import Service
from relay.works.auth.files import GrantFiles

LOGIN = "scanner@example.com"
NO_LIMITS = Settings(requests_per_minute=0, mails_per_minute=0, recipients_per_day=0)


def content(number, size=0):
    return b"From: s@example.com\r\nSubject: m-%d\r\n\r\nbody" % number + b"x" * size


def grant(sandbox):
    tokens, now = sandbox.issue_grant(LOGIN), time.time()
    return Grant(
        access_token=tokens["access_token"],
        expires_at=now + 86400,
        refresh_token=tokens["refresh_token"],
        consented_at=now,
        issued_at=now,
        refresh_issued_at=now,
        whose=LOGIN,
    )


def configuration(folder: Path, url: str, **tables):
    works = {
        "client_id": "sandbox",
        "client_secret": "sandbox-secret",
        "api_url": f"{url}/v1.0",
        "auth_url": f"{url}/oauth2/v2.0",
        "requests_per_minute": 0,
        **tables.pop("works", {}),
    }
    account = {"name": "scanner", "address": LOGIN, "mails_per_minute": 0, "recipients_per_day": 0}
    tree = {
        "hostname": "relay.example.com",
        "state_dir": str(folder / "state"),
        "works": works,
        "account": [{**account, "default": True}],
        "listener": [{"address": "127.0.0.1:0"}],
        "console": {"address": ""},
        **tables,
    }
    return build(tree, environ={})


class Running:
    """One relay, and the Works it sends to."""

    def __init__(self, config, sandbox):
        self.config = config
        self.sandbox = sandbox

    async def start(self):
        self.service = Service(self.config)
        await self.service.start()

    async def restart(self):
        await self.service.stop()
        await self.start()

    @property
    def port(self):
        return self.service.server.addresses[0][1]

    async def until(self, fact, seconds=10.0):
        end = time.monotonic() + seconds
        while not fact():
            assert time.monotonic() < end, "it did not come to pass"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def relay(folder, settings=NO_LIMITS, **tables):
    sandbox = Sandbox(settings, state_dir=folder / "works")
    async with serving(sandbox.app) as http:
        config = configuration(folder, http.url, **tables)
        config.state_dir.mkdir(parents=True, exist_ok=True)
        GrantFiles(config.state_dir).write("scanner", grant(sandbox))
        one = Running(config, sandbox)
        await one.start()
        try:
            yield one
        finally:
            await one.service.stop()
            sandbox.close()
