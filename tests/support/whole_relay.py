"""The whole relay in one process: SMTP on a free port, a simulated Works behind, real HTTP between them."""

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.config.load import build
from relay.console.server import Server, serving
from relay.grants import Grant
from relay.sandbox import Sandbox, Settings
from relay.service import Service
from relay.stores import open_grants

CLIENT = {"client_id": "sandbox", "client_secret": "sandbox-secret"}


@dataclass
class Whole:
    sandbox: Sandbox
    http: Server
    service: Service

    @property
    def smtp(self) -> tuple[str, int]:
        return self.service.server.addresses[0]

    def last(self) -> dict:
        """The request of the message that Works accepted last."""
        return self.sandbox.request(self.sandbox.messages[-1].id)


def tree(http: Server, state_dir: Path, **sections) -> dict:
    """A configuration for this simulated Works, as relay.toml would give it."""
    return {
        "hostname": "relay.test",
        "state_dir": str(state_dir),
        "works": {**CLIENT, "api_url": f"{http.url}/v1.0", "auth_url": f"{http.url}/oauth2/v2.0"},
        "account": [{"name": "scanner", "address": "scanner@example.com", "default": True}],
        "listener": [{"address": "127.0.0.1:0"}],
        "console": {"address": ""},
        **sections,
    }


def grant_of(sandbox: Sandbox, address: str) -> Grant:
    answer, now = sandbox.issue_grant(address), time.time()
    return Grant(
        access_token=answer["access_token"],
        expires_at=now + float(answer["expires_in"]),
        refresh_token=answer["refresh_token"],
        consented_at=now,
        issued_at=now,
        refresh_issued_at=now,
        scope="mail",
        whose=address,
    )


@asynccontextmanager
async def whole_relay(state_dir: Path, settings: Settings | None = None, **sections):
    sandbox = Sandbox(settings)
    async with serving(sandbox.app) as http:
        config = build(tree(http, state_dir, **sections), environ={})
        state_dir.mkdir(exist_ok=True)
        keeping = open_grants(config)
        for account in config.account:
            await keeping.begin(account.name, grant_of(sandbox, account.address))
        service = Service(config)
        await service.start()
        try:
            yield Whole(sandbox, http, service)
        finally:
            await service.stop()
            sandbox.close()


@pytest.fixture
async def whole(tmp_path):
    async with whole_relay(tmp_path / "state") as one:
        yield one
