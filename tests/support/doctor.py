"""A running relay for the doctor: real sockets, a real state directory, nobody at Works' end."""

import ssl
from contextlib import asynccontextmanager
from pathlib import Path

from relay.config.load import build
from relay.service import Service
from tests.support.ports import free_port

PASSWORD = "a made-up password"


def tree(state_dir, listeners, **more):
    """The configuration with these listeners, each on a free port of loopback."""
    return {
        "hostname": "relay.example.com",
        "state_dir": str(state_dir),
        "works": {
            "client_id": "i",
            "client_secret": "s",
            "api_url": "http://127.0.0.1:9",
            "auth_url": "http://127.0.0.1:9",
        },
        "account": [{"name": "scanner", "address": "scanner@example.com", "default": True}],
        "console": {"address": ""},
        "delivery": {"wait": "0"},
        "listener": [{"address": f"127.0.0.1:{free_port()}", **x} for x in listeners],
        **more,
    }


@asynccontextmanager
async def running(state_dir: Path, *listeners, **more):
    """A service with these listeners."""
    service = Service(build(tree(state_dir, listeners, **more), {}))
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


def client_context(certificate=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate["certificate_file"])
    return context
