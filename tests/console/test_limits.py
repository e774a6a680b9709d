"""The console's and the control socket's own limits: who holds their connections open costs SMTP nothing."""

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from relay.console import patience
from relay.console.app import build
from relay.console.server import FEW, serving
from relay.operator import calling, control
from tests.support.console import Relay
from tests.support.ports import free_port
from tests.support.relay import relaying, until
from tests.support.smtp import Client

# A relay with 1,024 descriptors, its console and a listener, without an account.
_RELAY = """
import asyncio, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
from pathlib import Path
from relay.config.load import build
from relay.console.service import open_console
from relay.service import Service

async def main():
    folder, smtp, http = sys.argv[1:]
    listener = {"address": f"127.0.0.1:{smtp}", "networks": ["127.0.0.0/8"]}
    config = build(
        {"state_dir": folder, "listener": [listener], "console": {"address": f"127.0.0.1:{http}"}}, environ={}
    )
    service = Service(config)
    await service.start()
    async with open_console(service):
        print("up", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    await service.stop()

asyncio.run(main())
"""
HALF = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-a: b"


def test_half_requests_at_the_console_leave_smtp_its_descriptors(tmp_path):
    """1,074 of them took all 1,024 descriptors, for as long as they liked: SMTP said 421 to everybody."""
    smtp, http = free_port(), free_port()
    child = subprocess.Popen(
        [sys.executable, "-c", _RELAY, str(tmp_path), str(smtp), str(http)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child, contextlib.ExitStack() as opened:
        while (line := child.stdout.readline()) != b"up\n":
            assert line, "the relay did not start"
        for _ in range(1_100):
            sock = opened.enter_context(socket.create_connection(("127.0.0.1", http), timeout=30))
            with contextlib.suppress(OSError):  # it was one too many
                sock.sendall(HALF)
        for _ in range(100):
            client = opened.enter_context(Client(smtp))
            assert client.greet().startswith("250-")
        child.stdin.close()
        assert child.wait(30) == 0


BODY = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
ASKED = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "said",
    [
        [b""],
        [HALF],
        [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", HALF],
        [BODY + b"a", b"b"],
        [ASKED * 5000],
    ],
    ids=["nothing", "half a head", "half a second head", "half a body", "an answer that is not read"],
)
async def test_who_owes_something_for_long_is_cut(monkeypatch, said):
    """Fifty that sent half a form, or read no answer, kept the operator out for as long as they liked."""
    monkeypatch.setattr(patience, "_REQUEST_PATIENCE", 0.2)
    monkeypatch.setattr(patience, "_ANSWER_PATIENCE", 0.2)
    async with serving(build(Relay())) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        for octets in said:
            writer.write(octets)
            await asyncio.sleep(0.05)
        await until(lambda: not server._server.server_state.connections)
        writer.transport.abort()


async def test_a_connection_too_many_is_closed(monkeypatch):
    async with serving(build(Relay()), connections=2) as server:
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        while len(server._server.server_state.connections) < 2:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        for _, one in [*held, (reader, writer)]:
            one.close()


async def test_a_broken_request_is_one_line_of_the_log(capfd):
    """A chunk that is none put 40 lines of uvicorn's stack on standard error, in the midst of JSON lines."""
    with capture_logs() as lines:
        async with serving(build(Relay())) as server:
            for _ in range(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(
                    b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0;a=\nb\r\n\r\n"
                )
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
        uvicorn = logging.getLogger("uvicorn.error")
        uvicorn.error("Exception in ASGI application", exc_info=ValueError("secret"))
    said = "".join(capfd.readouterr()) + repr(lines)
    assert "Traceback" not in said
    assert "secret" not in said
    assert any(line["event"] == "http request failed" for line in lines)


async def test_the_control_socket_has_limits_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(control, "_HEAD_PATIENCE", 0.5)
    async with relaying(tmp_path / "state"):
        path = tmp_path / "state" / "control.sock"
        held = [await control.asyncio.open_unix_connection(path) for _ in range(FEW)]
        refused = 0
        reader, writer = await control.asyncio.open_unix_connection(path)
        refused += b"too many" in await reader.read()
        writer.close()
        for reader, writer in held:  # they end by themselves
            assert await reader.read() == b""
            writer.close()
        assert refused
        assert await calling.call(path, "queue_list", states=["held"], limit=1)
