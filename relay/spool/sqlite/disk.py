"""Room on the disk: a minimum that stays free, and a reserve that is given up to write down what happened.

On a full disk SQLite can neither insert nor update nor delete, so "sent" could not be written and
would be sent again. Three lines of defence, in the order in which the disk fills:

1. below `keep_free` new messages are refused (452), while sending goes on and makes room;
2. a write that must succeed and does not gives up the reserve file and is tried again;
3. without the reserve nothing is claimed or started, until it could be made anew.
"""

import contextlib
import os
import time
from pathlib import Path

import structlog

from relay.spool import Room, SpoolError

log = structlog.get_logger("spool")
_FRESH = 0.1  # seconds that a look at the file system is good for
# As Exim's check_spool_inodes: a file system without inodes is as full as one without blocks.
_FEWEST_INODES = 100
_BLOCK = 1024 * 1024
# A reserve that is given up again and again is made no more often than so, in seconds.
_AGAIN = 1.0


class DiskSpace:
    """What the file system of `folder` has left. Shared by the event loop and the writer's thread."""

    def __init__(self, folder: Path, keep_free: int, reserve: int) -> None:
        """Args:
        folder: of the spool.
        keep_free: octets; below it nothing new is accepted.
        reserve: octets of the reserve file.
        """
        self._folder = folder
        self._path = folder / "reserve"
        self._keep_free = keep_free
        self._size = reserve
        self.reserved = False  # the reserve file is in its place
        self._is_blocked = False  # something that must be written cannot be
        self._trouble = ""  # what else is wrong with the spool's folder: nothing new is kept
        self._free = 0
        self._inodes = True
        self._looked = float("-inf")
        self._tried = float("-inf")

    def block(self, *, blocked: bool) -> None:
        """Whether something that must be written cannot be: nothing is sent then."""
        self._is_blocked = blocked

    def refuse_for(self, trouble: str) -> str:
        """Keep nothing new for this reason ("": keep it); the reason until now."""
        before, self._trouble = self._trouble, trouble
        return before

    def look(self) -> Room:
        """What is left, as of a moment ago."""
        now = time.monotonic()
        if now - self._looked > _FRESH:
            self._looked = now
            self._measure()
        sending = self.reserved and not self._is_blocked
        accepting = sending and not self._trouble and self._inodes and self._free >= self._keep_free
        return Room(self._free, accepting, sending, self._trouble)

    def check(self) -> None:
        """Refuse what is new when nobody knows whether it would be there after a restart.

        Raises:
            SpoolError: the spool's folder cannot be used now.
        """
        if self._trouble:
            raise SpoolError(self._trouble)

    def fits(self, size: int) -> bool:
        """Whether so many octets may be written now, without leaving less than `keep_free`."""
        self._looked = float("-inf")  # much can come in the time that a look is good for
        room = self.look()
        return room.accepting and room.free - size >= self._keep_free

    def _measure(self) -> None:
        try:
            found = os.statvfs(self._folder)
        except OSError:
            self._free = 0
            return
        self._free = found.f_bavail * found.f_frsize
        self._inodes = not found.f_files or found.f_favail >= _FEWEST_INODES

    def look_for_reserve(self) -> None:
        """Notice that somebody removed the reserve: it is made anew then."""
        self.reserved = self.reserved and self._path.exists()

    def restore(self) -> None:
        """Make the reserve, if there is room for it."""
        if time.monotonic() - self._tried < _AGAIN:
            return
        self._tried = time.monotonic()
        try:
            there = self._path.stat().st_size == self._size
        except OSError:
            there = False
        self.reserved = there or self._make()

    def _make(self) -> bool:
        # Written and flushed, not only allotted, and not of zeros: a file system that compresses or
        # copies on write keeps no other promise.
        block = os.urandom(min(_BLOCK, self._size))
        try:
            with self._path.open("wb") as file:
                for at in range(0, self._size, _BLOCK):
                    file.write(block[: self._size - at])
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):  # something else may lie there
                self._path.unlink(missing_ok=True)
            return False
        return True

    def release_reserve(self, reason: str) -> None:
        """Give the reserve up, so that what happened can be written down."""
        if not self.reserved:
            return
        self.reserved = False
        log.error("no room on the spool's disk: its reserve is given up and sending stops", reason=reason)
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.error("the reserve cannot be removed", reason=error.strerror)
