"""Content over 64 KiB: files beside the database, flushed before their row exists."""

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from relay.envelope import Content, ContentWriter
from relay.spool import SpoolError, SpoolFull
from relay.spool.rows import Damaged
from relay.spool.space import Space

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})


class Files:
    """The spool's folders: what is arriving, what is kept, and what belongs to no row."""

    def __init__(self, folder: Path, space: Space) -> None:
        self._space = space
        self._incoming = folder / "incoming"
        self._content = folder / "content"
        self._orphaned = folder / "orphaned"

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
            # The folders' own names are as durable as what will be kept in them.
            _flush(self._content.parent)
        except OSError as error:
            raise translate(error) from error

    def writer(self) -> ContentWriter:
        """Takes one message's content as it arrives."""
        return ContentWriter(self._incoming, fits=self._space.fits)

    def path(self, queue_id: str) -> Path:
        """Where this message's content lies."""
        return self._content / queue_id

    def keep(self, content: Content, queue_id: str) -> Content:
        """Flush an arrived file and move it to its place; blocks until it is on stable storage.

        Raises:
            SpoolError: it is not; the file is still where it was, or gone.
        """
        assert content.path is not None  # noqa: S101 - content in memory goes into the row
        kept = self.path(queue_id)
        try:
            _flush(content.path)
            if kept.exists():
                raise SpoolError(f"{kept} is there already")
            content.path.rename(kept)
            # The name is only as durable as its directory (fsync(2)).
            _flush(self._content)
        except OSError as error:
            raise translate(error) from error
        return Content(content.size, content.sha256, path=kept)

    def verify(self, content: Content) -> None:
        """Read a kept file and compare it with its row.

        Raises:
            Damaged: it is not what was put.
        """
        assert content.path is not None  # noqa: S101 - content in the row is verified where it is read
        try:
            with content.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
        except FileNotFoundError:
            raise Damaged("its content file is missing") from None
        except OSError as error:
            raise Damaged(f"its content file cannot be read: {error.strerror}") from None
        if size != content.size:
            raise Damaged(f"its content file has {size} octets instead of {content.size}")
        if digest != content.sha256:
            raise Damaged("its content file is not what was written (its hash differs)")

    def remove(self, queue_id: str) -> None:
        """Remove a message's content, if there is a file of it."""
        self.path(queue_id).unlink(missing_ok=True)

    def kept(self) -> Iterator[str]:
        """The queue ids for which there is a file."""
        with os.scandir(self._content) as found:
            for entry in found:
                yield entry.name

    def dismiss(self, name: str, before: float) -> bool:
        """Remove a file that no row knows: its message was never accepted.

        One that is older than the database itself is put aside instead: then it is the database that
        is new, and the file may be somebody's mail.

        Returns:
            Whether it was put aside.
        """
        path = self._content / name
        try:
            if path.stat().st_mtime >= before:
                path.unlink()
                return False
            self._orphaned.mkdir(mode=0o700, exist_ok=True)
            path.rename(self._orphaned / name)
        except FileNotFoundError:
            return False
        return True


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
