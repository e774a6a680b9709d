"""A machine without IPv4, in a network namespace of its own."""

import shutil
import subprocess
import sys

import pytest

# Loopback as the only network, and nothing of IPv4 on it.
WITHOUT_IPV4 = 'ip link set lo up && ip addr del 127.0.0.1/8 dev lo && exec "$@"'
SCRIPT = """
import asyncio, smtplib, socket, sys, urllib.request
from pathlib import Path
from relay.config.load import build
from relay.console.server import serving
from relay.console.service import open_console
from relay.sandbox import Sandbox
from relay.service import Service
from relay.works.auth.files import FileGrants
from tests.support.whole_relay import grant_of, tree

def submit(host, port):
    with smtplib.SMTP(host, port, timeout=30) as client:
        client.ehlo("device.test")
        client.mail("scanner@example.com")
        client.rcpt("a@example.net")
        return client.data(b"Subject: x\\r\\n\\r\\nhello")[1].decode()

async def main(folder):
    sandbox = Sandbox()
    async with serving(sandbox.app, host="::1") as http:
        listener = {"address": "[::]:0", "networks": ["::1/128"]}
        settings = tree(http, folder, listener=[listener], console={"address": "[::1]:0"})
        config = build(settings, environ={})
        await FileGrants(folder).store("scanner", grant_of(sandbox, "scanner@example.com"))
        service = Service(config)
        await service.start()
        try:
            async with open_console(service) as console:
                print(await asyncio.to_thread(submit, "::1", service.server.addresses[0][1]))
                answer = await asyncio.to_thread(urllib.request.urlopen, f"{console.url}/healthz")
                print(answer.status, len(sandbox.messages))
        finally:
            await service.stop()
    sandbox.close()

try:
    socket.create_connection(("127.0.0.1", 1), timeout=5)
except ConnectionRefusedError:
    sys.exit("there is IPv4")
except OSError:
    asyncio.run(main(Path(sys.argv[1])))
"""


def test_mail_is_taken_and_sent_without_ipv4(tmp_path):
    """Listener, control socket, console and the way to Works, each by IPv6 alone."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("unshare or ip (Debian: util-linux, iproute2) is not installed")
    command = ["unshare", "--net", "sh", "-c", WITHOUT_IPV4, "sh", sys.executable, "-c", SCRIPT]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("this user may not make a network namespace")
    assert "2.0.0 relayed" in done.stdout, done.stderr
    assert "200 1" in done.stdout
