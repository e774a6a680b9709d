"""Ports for what is told beforehand where to listen, each given to one alone.

The kernel's own choice (port 0) is best, but a configuration file is written before anything listens. A port
that was bound and let go again is anybody's: another test's listener, or the near end of any connection.
So these lie outside the kernel's range for such ends where there is room, and each is locked for as long as
the process that asked lives, against all other processes of the suite.
"""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_FIRST, _BEYOND = 10_000, 65_536
_ROOM = 2_000  # ports outside the kernel's range that are enough for a suite
_FOLDER = Path(tempfile.gettempdir(), f"relay-test-ports-{os.getuid()}")
_locks = []  # held until this process ends


def free_port():
    """A port that nobody listens on, on no address, and that no other caller is given meanwhile."""
    choice = _candidates()
    while True:
        port = random.choice(choice)
        if _is_locked(port) and _is_free(port):
            return port


def _candidates():
    every = range(_FIRST, _BEYOND)
    try:
        least, most = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except (OSError, ValueError):
        return every
    outside = [x for x in every if not least <= x <= most]
    return outside if len(outside) >= _ROOM else every


def _is_locked(port):
    """Whether this call has got the lock of `port`."""
    _FOLDER.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(_FOLDER / str(port), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _locks.append(lock)
    return True


def _is_free(port):
    """Whether it can be listened on, on every address (a machine without IPv6 has the others)."""
    try:
        if socket.has_dualstack_ipv6():
            socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True).close()
        else:
            socket.create_server(("", port)).close()
    except OSError:
        return False
    return True
