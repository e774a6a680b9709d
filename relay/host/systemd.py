"""What systemd gives and is told: sockets, and ready, alive, reloading, stopping (sd_notify(3))."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Self

import structlog

from relay.config.fields import join_address

log = structlog.get_logger("systemd")
# As systemctl(1) shows ListenStream=25: "Listen=[::]:25 (Stream)".
_LISTENS = re.compile(r"^Listen=.*:(\d+) \(Stream\)$", re.MULTILINE)
_PATIENCE = 5.0  # seconds
_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)


@dataclass(frozen=True, slots=True)
class PassedSocket:
    """A listening socket that systemd opened, which needs no privilege here."""

    name: str  # FileDescriptorName= of its socket unit
    socket: socket.socket

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; no port for a socket of another family."""
        name = self.socket.getsockname()
        return (name[0], name[1]) if isinstance(name, tuple) else (str(name), -1)

    def __str__(self) -> str:
        return join_address(*self.address)


class PassedSockets:
    """The sockets of the .socket unit, each given to one listener at most."""

    def __init__(self, sockets: list[PassedSocket]) -> None:
        self._left = sockets
        self._claimed: list[PassedSocket] = []

    @classmethod
    def take(cls, environ: MutableMapping[str, str] = os.environ) -> Self:
        """What this process was started with; a second call, or a child, finds nothing.

        Descriptors that are no listening stream sockets are closed and logged.
        """
        # LISTEN_PID names the process that they are for: a child that inherits the variables
        # must not take its parent's descriptors (sd_listen_fds(3)).
        mine = environ.get("LISTEN_PID") == str(os.getpid())
        count = int(environ.get("LISTEN_FDS") or 0) if mine else 0
        names = (environ.get("LISTEN_FDNAMES") or "").split(":")
        for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            environ.pop(variable, None)
        found = []
        for number in range(count):
            passed = _adopt(_FIRST_DESCRIPTOR + number, names[number] if number < len(names) else "unknown")
            if passed is not None:
                found.append(passed)
        return cls(found)

    def claim(self, host: str, port: int) -> socket.socket | None:
        """The socket for a listener with this address, if one was passed.

        The exact address is preferred; else a wildcard one of the same port, because a socket unit
        that says only ListenStream=25 listens on [::]:25, IPv4 included (systemd.socket(5)).
        """
        candidates = [p for p in self._left if p.address[1] == port and port > 0]
        exact = [p for p in candidates if p.address[0] == host]
        wide = [p for p in candidates if p.address[0] in ("::", "0.0.0.0")]  # noqa: S104 - compared, not bound
        for passed in (*exact, *wide):
            self._left.remove(passed)
            self._claimed.append(passed)
            return passed.socket
        return None

    def give_back(self, sock: socket.socket) -> bool:
        """Take a socket back that no listener has any more; False: it was not passed, and is the caller's.

        systemd holds it open all the same: closed here, it would take connections that nobody answers, and
        could never be had again.
        """
        for passed in [one for one in self._claimed if one.socket is sock]:
            self._claimed.remove(passed)
            self._left.append(passed)
            return True
        return False

    @property
    def left(self) -> list[PassedSocket]:
        """What no listener has claimed."""
        return list(self._left)

    def close_rest(self) -> None:
        """Close what no listener has claimed."""
        for passed in self._left:
            passed.socket.close()
        self._left = []


def find_unit_ports() -> frozenset[int]:
    """The ports that systemd has open for the service, whether it runs or not; empty without systemd."""
    program = shutil.which("systemctl")
    if program is None:
        return frozenset()
    command = [program, "show", "relay.socket", "--property=ActiveState", "--property=Listen"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    if "ActiveState=active" not in done.stdout.splitlines():
        return frozenset()
    return frozenset(int(port) for port in _LISTENS.findall(done.stdout))


def _adopt(descriptor: int, name: str) -> PassedSocket | None:
    try:
        os.set_inheritable(descriptor, False)
        given = socket.socket(fileno=descriptor)
    except OSError as error:
        log.warning("descriptor is no socket", descriptor=descriptor, name=name, reason=error.strerror)
        return None
    listening = given.type == socket.SOCK_STREAM and given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listening:
        log.warning("socket does not listen", descriptor=descriptor, name=name)
        given.close()
        return None
    given.setblocking(False)
    return PassedSocket(name, given)


def notify(state: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send a state such as READY=1 to the service manager, if there is one."""
    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect(address)
            channel.sendall(state.encode())
    except OSError as error:
        # Mail goes on being taken, whoever has stopped listening.
        log.warning("service manager not told", state=state.partition("\n")[0], reason=error.strerror)


def notify_reloading(environ: Mapping[str, str] = os.environ) -> None:
    """Say that the configuration is being read again; READY=1 says that it is done."""
    # The time tells this reload from an earlier one (sd_notify(3), Type=notify-reload).
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", environ)


async def watch(environ: Mapping[str, str] = os.environ) -> None:
    """Tell the watchdog that the event loop turns, at half the time it allows, for ever."""
    allowed = int(environ.get("WATCHDOG_USEC") or 0) / 1e6
    # WATCHDOG_PID names the process that is watched (sd_watchdog_enabled(3)).
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while allowed:
        notify("WATCHDOG=1", environ)
        await asyncio.sleep(allowed / 2)
