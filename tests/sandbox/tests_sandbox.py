"""A simulated Works behind a real HTTP server, and a client with a grant."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx

from relay.console.server import serving
from relay.sandbox import Sandbox, Settings

LOGIN = "scanner@example.com"
MAIL = {"to": "a@example.com", "subject": "Scan", "body": "Hello", "contentType": "text"}


@dataclass
class Works:
    """One simulated Works as a program on the other side of the socket sees it."""

    sandbox: Sandbox
    http: httpx.AsyncClient
    token: str
    refresh_token: str
    port: int

    async def send(self, mail: Any = MAIL, *, user: str = "me", **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        if isinstance(mail, bytes):
            options["content"] = mail
            headers.setdefault("content-type", "application/json")
        else:
            options["json"] = mail
        return await self.http.post(f"/v1.0/users/{user}/mail", headers=headers, **options)

    async def ask_token(self, **form: str) -> httpx.Response:
        secrets = {"client_id": "sandbox", "client_secret": "sandbox-secret"}
        return await self.http.post("/oauth2/v2.0/token", data={**secrets, **form})

    async def fault(self, kind: str, **wish: Any) -> None:
        answer = await self.http.post("/sandbox/faults", json={"kind": kind, **wish})
        assert answer.status_code == 201, answer.text

    async def accepted(self, **query: Any) -> list[dict[str, Any]]:
        return (await self.http.get("/sandbox/messages", params=query)).json()


@asynccontextmanager
async def running(settings: Settings | None = None, **options: Any):
    sandbox = Sandbox(settings, **options)
    try:
        async with (
            serving(sandbox.app) as server,
            httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=10) as http,
        ):
            tokens = sandbox.issue_grant(LOGIN)
            yield Works(sandbox, http, tokens["access_token"], tokens["refresh_token"], server.port)
    finally:
        sandbox.close()
    # Nothing of a connection that was cut may be left to complain when the loop ends.
    await asyncio.sleep(0)
