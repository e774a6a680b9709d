"""Content over 64 KiB: files beside the database, flushed before their row exists."""

import errno
import os
from pathlib import Path

from relay.envelope import Content, ContentWriter
from relay.spool import SpoolError, SpoolFull

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})


class Files:
    """The spool's two folders: what is arriving, and what is kept."""

    def __init__(self, folder: Path) -> None:
        self._incoming = folder / "incoming"
        self._content = folder / "content"

    def prepare(self) -> None:
        """Make the folders; what was still arriving when the last owner ended was never accepted.

        Raises:
            SpoolError: they cannot be made.
        """
        try:
            for folder in (self._incoming, self._content):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self._incoming.iterdir():
                left.unlink()
        except OSError as error:
            raise translate(error) from error

    def writer(self) -> ContentWriter:
        """Takes one message's content as it arrives."""
        return ContentWriter(self._incoming)

    def path(self, queue_id: str) -> Path:
        """Where this message's content lies."""
        return self._content / queue_id

    def keep(self, content: Content, queue_id: str) -> Content:
        """Flush an arrived file and move it to its place; blocks until it is on stable storage.

        Raises:
            SpoolError: it is not.
        """
        if content.path is None:
            return content
        kept = self.path(queue_id)
        try:
            _flush(content.path)
            content.path.rename(kept)
            # The name is only as durable as its directory (fsync(2)).
            _flush(self._content)
        except OSError as error:
            raise translate(error) from error
        return Content(content.size, content.sha256, path=kept)

    def remove(self, queue_id: str) -> None:
        """Remove a message's content, if there is a file of it."""
        self.path(queue_id).unlink(missing_ok=True)


def _flush(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def translate(error: OSError) -> SpoolError:
    """The spool's own error for what the file system said."""
    kind = SpoolFull if error.errno in _FULL else SpoolError
    return kind(f"{error.strerror}: {error.filename}")
