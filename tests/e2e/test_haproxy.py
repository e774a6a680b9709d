"""HAProxy in front, as docs/cluster.md configures it."""

import asyncio
import shutil
import smtplib
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from relay.console.service import open_console
from tests.long.cluster.balancer import begin_balancer, configure
from tests.support.ports import free_port
from tests.support.whole_relay import whole_relay


def send(port):
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        return client.sendmail("a@example.com", ["b@example.com"], "Subject: scan\r\n\r\nbody\r\n")


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
async def test_the_documents_configuration_finds_who_is_there(tmp_path):
    """Its check sent no Host, to which the console answers nothing: every node counted as down."""
    console = free_port()
    sections = {
        "listener": [{"address": "127.0.0.1:0", "proxy_networks": ["127.0.0.1"]}],
        "console": {"address": f"127.0.0.1:{console}"},
    }
    async with whole_relay(tmp_path / "state", **sections) as whole, open_console(whole.service):
        here = SimpleNamespace(port=whole.smtp[1], console=console)
        gone = SimpleNamespace(port=free_port(), console=free_port())
        port, log = free_port(), tmp_path / "haproxy.log"
        with ExitStack() as stack:
            begin_balancer(stack, configure(tmp_path, [here, gone], port))
            async with asyncio.timeout(60):
                while "relays/b is DOWN" not in log.read_text():
                    await asyncio.sleep(0.1)
            await asyncio.to_thread(send, port)
            assert "relays/a is DOWN" not in log.read_text()
    assert [one.subject for one in whole.sandbox.messages] == ["scan"]
