"""A simulated Works behind a real HTTP server, and a client with a grant."""

import asyncio
import base64
import struct
import zlib
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


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x1f\xc6\x7d" * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def attach(data: bytes, filename: str, media_type: str, **more):
    return {"data": base64.b64encode(data).decode(), "filename": filename, "fileType": media_type, **more}


RICH = {
    "to": "a@example.com; b@example.com",
    "cc": "c@example.com",
    "bcc": "d@example.com",
    "subject": "見積書の件",
    "userName": "複合機 3F",
    "body": "<p>ご確認ください</p><img src='cid:logo1'><img src=\"cid:a%40b\">"
    "<i style='background:url(cid:logo1)'>",
    "attachments": [
        attach(png(24, 8), "ロゴ.png", "image/png", cid="logo1", inline=True),
        attach(png(12, 4), "b.png", "image/png", cid="a@b", inline=True),
        attach(b"%PDF-1.7", '見積書; "最終".pdf', "application/pdf"),
    ],
}
