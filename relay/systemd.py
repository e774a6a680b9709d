"""What systemd is told: ready, alive, stopping (sd_notify(3))."""

import asyncio
import os
import socket
from collections.abc import Mapping


def notify(state: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send a state such as READY=1 to the service manager, if there is one."""
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect(address)
        channel.sendall(state.encode())


async def watch(environ: Mapping[str, str] = os.environ) -> None:
    """Tell the watchdog that the event loop turns, at half the time it allows, for ever."""
    allowed = int(environ.get("WATCHDOG_USEC") or 0) / 1e6
    while allowed:
        notify("WATCHDOG=1", environ)
        await asyncio.sleep(allowed / 2)
