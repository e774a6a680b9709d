"""The lock on a spool's folder: no two processes share a state directory, whatever engine they use."""

import fcntl
import os
from pathlib import Path

from relay.host.safeio import OWNER_ONLY
from relay.spool import SpoolLocked


def take_lock(folder: Path) -> int:
    """Lock the folder, which is there; the descriptor that holds the lock until it is closed.

    Raises:
        SpoolLocked: another process has it.
        OSError: the lock's file cannot be made.
    """
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise SpoolLocked(f"another relay is using {folder}") from None
    return fd
