"""What the tests of works/ share: payloads, grants, and a peer that misbehaves by the byte."""

import asyncio
import contextlib
import hashlib
import json
import socket
import struct
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

from pydantic import SecretStr

from relay.console.server import serving
from relay.envelope import Content
from relay.grants import Grant
from relay.sandbox import Sandbox, Settings
from relay.works.auth.authorizer import Authorizer
from relay.works.auth.escrow import Escrow
from relay.works.auth.files import FileGrants, GrantFiles
from relay.works.auth.keeping import Keeping
from relay.works.auth.oauth import AuthServer
from relay.works.client import Client
from relay.works.http.exchange import Timeouts

FAST = Timeouts(connect=5, write=5, read=5, read_per_megabyte=0)
HASTY = Timeouts(connect=5, write=0.5, read=0.5, read_per_megabyte=0)  # where the time runs out
ACCOUNT = SimpleNamespace(name="scanner", user_id="me", mails_per_minute=0, recipients_per_day=0)


def content_of(octets=b""):
    return Content(len(octets), hashlib.sha256(octets).hexdigest(), data=octets)


@dataclass
class Body:
    """A payload of given octets, in blocks."""

    octets: bytes
    block: int = 65536
    made: int = 0  # blocks that were asked for

    @property
    def length(self):
        return len(self.octets)

    def blocks(self, _):
        for at in range(0, len(self.octets), self.block):
            self.made += 1
            yield self.octets[at : at + self.block]


def mail(**more):
    return Body(
        json.dumps(
            {"to": "a@example.com", "subject": "s", "body": "b", "contentType": "text"} | more
        ).encode()
    )


def works_at(port, **more):
    base = {
        "api_url": f"http://127.0.0.1:{port}/v1.0",
        "auth_url": f"http://127.0.0.1:{port}/oauth2/v2.0",
        "client_id": "sandbox",
        "client_secret": SecretStr("sandbox-secret"),
        "redirect_url": "http://localhost:8484/callback",
        "scope": "mail",
        "proxy": SecretStr(""),
        "connect_timeout": 2.0,
        "read_timeout": 5.0,
    }
    return SimpleNamespace(**(base | more))


@dataclass
class FixedTokens:
    """Access tokens by hand."""

    now: str = "token-1"
    rejected: list[str] = field(default_factory=list)

    async def token(self, account, rejected=""):
        if rejected:
            self.rejected.append(rejected)
            self.now = f"token-{len(self.rejected) + 1}"
        return self.now


def grant_of(tokens, *, now=None, **more):
    """A grant from the token endpoint's answer."""
    now = time.time() if now is None else now
    base = {
        "access_token": tokens["access_token"],
        "expires_at": now + float(tokens["expires_in"]),
        "refresh_token": tokens["refresh_token"],
        "consented_at": now,
        "issued_at": now,
        "refresh_issued_at": now,
    }
    return Grant(**(base | more))


class Peer:
    """A raw TCP server: `script(peer, reader, writer)` is run for each connection."""

    def __init__(self, script):
        self.script = script
        self.connections = 0
        self.requests = []  # heads
        self.bodies = []
        self._tasks = set()

    async def read_head(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head)
        return head

    async def read_request(self, reader):
        head = await self.read_head(reader)
        length = int(
            next(
                line.split(b":")[1]
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
        )
        self.bodies.append(await reader.readexactly(length))
        return head

    async def _serve(self, reader, writer):
        self.connections += 1
        self._tasks.add(asyncio.current_task())
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await self.script(self, reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def running(self, **options):
        # A small receive buffer: a body that is not read stops in the sender's kernel, not in ours.
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.bind(("127.0.0.1", 0))
        server = await asyncio.start_server(self._serve, sock=sock, **options)
        self.port = sock.getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)


def reset(writer):
    """Close with an RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


def keeping(directory):
    """Grants as the service keeps them."""
    return Keeping(FileGrants(directory), Escrow(directory))


@contextlib.asynccontextmanager
async def relaying(directory, **settings):
    """A simulated Works, and a client with a grant for it."""
    sandbox = Sandbox(Settings(**settings))
    try:
        async with serving(sandbox.app) as server:
            works = works_at(server.port)
            GrantFiles(directory).write("scanner", grant_of(sandbox.issue_grant("scanner@example.com")))
            authorizer = Authorizer(AuthServer(works), keeping(directory))
            client = Client(works, authorizer, timeouts=Timeouts(2, 2, 1, 1))
            yield sandbox, client
            await client.aclose()
    finally:
        sandbox.close()
    await asyncio.sleep(0)
