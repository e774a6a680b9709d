"""What a node keeps on its own disk, and whether there is room: here, and in the database."""

import asyncio
import os
import shutil
import time
from pathlib import Path

import structlog

from relay.host.content import ContentWriter
from relay.host.safeio import DISK_FULL
from relay.postgres.database import Database
from relay.postgres.node import read_home, write_home
from relay.spool import Room, SpoolError, SpoolFull
from relay.spool.lock import take_lock

log = structlog.get_logger("spool")
_FOLDER_MODE = 0o700
_GOOD_FOR = 0.25  # seconds that a look at the disk is good for
_EVERY = 5.0  # seconds between looks at what waits in the database
_PATIENCE_FACTOR = 20  # what takes long to add up is added up anew after so many times as long
_NO_ANSWER = "the database does not answer"
_WAITING = (
    "SELECT coalesce(sum(size), 0)::bigint FROM relay.message"
    " WHERE state IN ('queued', 'sending', 'delayed', 'held', 'failed')"
)


class LocalRoom:
    """The node's lock and scratch folder in its state directory, and the limits.

    Args:
        state_dir: the relay's; made if it is not there.
        keep_free: octets; with less on its disk nothing new is accepted.
        most: octets of content in the database; 0: no limit.
    """

    def __init__(self, state_dir: Path, keep_free: int, most: int) -> None:
        self._state_dir = state_dir
        self._folder = state_dir / "spool"
        self.scratch = self._folder / "incoming"
        self.home = ""
        self._keep_free = keep_free
        self._most = most
        self._lock_fd = -1
        self._free = 0
        self._looked = float("-inf")  # monotonic
        self._kept = 0  # octets of what waits in the database

    def take(self) -> None:
        """Make the folders and lock them; what was on its way when the last process ended goes. Blocks.

        Raises:
            SpoolLocked: another process has them.
            SpoolError: they cannot be made.
        """
        try:
            self._state_dir.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            self.scratch.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            self._lock_fd = take_lock(self._folder)
            self.home = read_home(self._state_dir)
            for left in self.scratch.iterdir():
                left.unlink()
            if (self._folder / "spool.db").exists():
                self.release()
                raise SpoolError(
                    f"the embedded spool lies in {self._folder}, and its mail would be forgotten: "
                    "run `relay spool move`"
                )
        except OSError as error:
            kind = SpoolFull if error.errno in DISK_FULL else SpoolError
            raise kind(f"{error.strerror}: {error.filename}") from error

    def rename(self) -> str:
        """Give the state directory a new name. Blocks; raises OSError."""
        self.home = write_home(self._state_dir)
        return self.home

    def release(self) -> None:
        """Let go of the folders."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def writer(self) -> ContentWriter:
        """Takes one message's content as it arrives."""
        return ContentWriter(
            self.scratch, fits=lambda octets: self._look_at_disk() - octets > self._keep_free
        )

    @property
    def is_short(self) -> bool:
        """Whether this machine's disk has less free than it should."""
        return self._look_at_disk() < self._keep_free

    def _look_at_disk(self) -> int:
        now = time.monotonic()
        if now - self._looked >= _GOOD_FOR:
            self._looked = now
            try:
                self._free = shutil.disk_usage(self.scratch).free
            except OSError:
                self._free = 0
        return self._free

    def room(self, *, answers: bool, sends: bool) -> Room:
        """What is left.

        Args:
            answers: whether the database does.
            sends: whether this node may begin to send.
        """
        free = self._look_at_disk()
        full = bool(self._most) and self._kept >= self._most
        accepting = answers and free >= self._keep_free and not full
        return Room(free, accepting, answers and sends, "" if answers else _NO_ANSWER, reached=full)

    async def look(self, database: Database) -> None:
        """Add up what waits, if there is a limit on it. Raises SpoolError."""
        if self._most:
            self._kept = (await database.read(_WAITING))[0][0]

    async def watch(self, database: Database) -> None:
        """Look for ever."""
        while True:
            began = time.monotonic()
            try:
                await self.look(database)
            except SpoolError:
                log.debug("what waits cannot be added up now")
            await asyncio.sleep(max(_EVERY, (time.monotonic() - began) * _PATIENCE_FACTOR))
