"""Content as it arrives: in memory while it is small, in a file once it is large."""

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from relay.envelope import IN_MEMORY, Content
from relay.host.writeback import begin_writeback

# So much of a file is sent to the disk at a time, while more arrives.
_WRITEBACK = 2 * 1024 * 1024


@dataclass(slots=True)
class ContentWriter:
    """Takes content block by block; beyond `threshold` octets it goes to a file in `directory`.

    `fits` says whether the disk may have so many octets more.
    """

    directory: Path
    threshold: int = IN_MEMORY
    fits: Callable[[int], bool] = lambda _: True
    size: int = 0
    _head: bytearray = field(default_factory=bytearray)
    _fd: int = -1
    _path: Path | None = None
    _begun: int = 0  # octets that are on their way to the disk
    _digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def keep_in_file(self) -> None:
        """Have all of it in a file, however small it is: memory is short."""
        self.threshold = 0

    def write(self, block: bytes | bytearray | memoryview) -> None:
        """Add a block.

        Raises:
            OSError: the file cannot be written, or must not (ENOSPC).
        """
        if self.size + len(block) > self.threshold and not self.fits(len(block)):
            raise OSError(errno.ENOSPC, "less than keep_free would be left on the disk")
        self.size += len(block)
        self._digest.update(block)
        if self._fd < 0 and self.size <= self.threshold:
            self._head += block
            return
        if self._fd < 0:
            self._fd, name = tempfile.mkstemp(prefix="in-", dir=self.directory)
            self._path = Path(name)
            self._write_all(self._head)
            self._head = bytearray()
        self._write_all(block)
        if self.size - self._begun >= _WRITEBACK:
            begin_writeback(self._fd, self._begun, self.size - self._begun)
            self._begun = self.size

    def _write_all(self, block: bytes | bytearray | memoryview) -> None:
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def finish(self) -> Content:
        """Close, and give the content; its file is flushed by the spool, not here.

        Raises:
            OSError: closing reported a write that failed.
        """
        if self._fd < 0:
            return Content(self.size, self._digest.hexdigest(), data=bytes(self._head))
        fd, self._fd = self._fd, -1
        os.close(fd)
        path, self._path = self._path, None
        return Content(self.size, self._digest.hexdigest(), path=path)

    def discard(self) -> None:
        """Throw away what was written; harmless after `finish`.

        A file that cannot be removed now is removed at the spool's next start.
        """
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._path = None
        self._head = bytearray()
