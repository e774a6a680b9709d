"""Content over 64 KiB: files beside the database, flushed before their row exists.

In the database a backlog of them would make a file that never becomes smaller.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from relay.envelope import Content
from relay.host.content import ContentWriter
from relay.host.safeio import DISK_FULL, OWNER_ONLY
from relay.spool import SpoolError, SpoolFull
from relay.spool.rows.codecs import Damaged
from relay.spool.sqlite.disk import DiskSpace

IN_ROW = 64 * 1024  # octets; what is smaller stands in the database
# The process is short of something for a while; that says nothing about the file.
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_BETWEEN_READS = 1.0  # seconds; a disk on a bus or a network that was reset is back by then


class Files:
    """The spool's folders: what is arriving, what is kept, and what belongs to no row."""

    def __init__(self, folder: Path, space: DiskSpace) -> None:
        self._space = space
        self._incoming = folder / "incoming"
        self._content = folder / "content"
        self._orphaned = folder / "orphaned"
        self.keeping: set[str] = set()  # queue ids whose row is on its way: their files are no orphans
        self._needless: list[Content] = []  # will be removed at the end of this turn of the event loop
        self._leaving: set[asyncio.Future[None]] = set()

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
            flush(self._content.parent)
        except OSError as error:
            raise translate(error) from error

    def writer(self) -> ContentWriter:
        """Takes one message's content as it arrives."""
        return ContentWriter(self._incoming, fits=self._space.fits)

    def path(self, queue_id: str) -> Path:
        """Where this message's content lies."""
        return self._content / queue_id

    def keep(self, content: Content, queue_id: str) -> Content:
        """Move an arrived file to its place, or write one; blocks until it is on stable storage.

        Raises:
            SpoolError: it is not; the file is still where it was, or gone.
        """
        kept = self.path(queue_id)
        try:
            # The name is only as durable as its directory (fsync(2)), which is opened first: without a
            # descriptor for it nothing has been moved, and the same can be tried again.
            with _opened(self._content) as folder:
                if content.path is None:
                    self._write(kept, content.data or b"")
                else:
                    _move(content.path, kept)
                os.fsync(folder)
        except OSError as error:
            raise translate(error) from error
        return replace(content, path=kept)

    def _write(self, path: Path, octets: bytes) -> None:
        if not self._space.fits(len(octets)):
            raise OSError(errno.ENOSPC, "less than keep_free would be left on the disk", str(path))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY)
        try:
            rest = memoryview(octets)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    def is_there(self, content: Content) -> bool:
        """Whether its file, if it has one, still has its size: a cheap look that proves no more."""
        if content.path is None:
            return True
        try:
            return content.path.stat().st_size == content.size
        except OSError:
            return False

    def verify(self, content: Content) -> None:
        """Read a kept file and compare it with its row; blocks.

        Raises:
            Damaged: it is not what was put.
            SpoolError: nothing can be opened now, whatever it is.
        """
        assert content.path is not None  # noqa: S101 - content in the row is verified where it is read
        try:
            digest, size = _read(content.path)
        except FileNotFoundError:
            raise Damaged("its content file is missing") from None
        except OSError as error:
            if error.errno in _SHORT:
                raise translate(error) from error
            raise Damaged(f"its content file cannot be read: {error.strerror}") from None
        if size != content.size:
            raise Damaged(f"its content file has {size} octets instead of {content.size}")
        if digest != content.sha256:
            raise Damaged("its content file is not what was written (its hash differs)")

    def remove(self, queue_id: str) -> None:
        """Remove a message's content, if there is a file of it."""
        self.path(queue_id).unlink(missing_ok=True)

    def discard_soon(self, content: Content) -> None:
        """Remove content that is needed no more, off the event loop: all that one commit ended at a time."""
        self._needless.append(content)
        if len(self._needless) == 1:
            asyncio.get_running_loop().call_soon(self._discard_all)

    def _discard_all(self) -> None:
        needless, self._needless = self._needless, []
        if not needless:  # they were settled at a stop
            return
        leaving = asyncio.get_running_loop().run_in_executor(None, _discard, needless)
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def settle(self) -> None:
        """Wait for what is being removed."""
        self._discard_all()
        await asyncio.gather(*self._leaving, return_exceptions=True)

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


def _move(path: Path, kept: Path) -> None:
    flush(path)
    if kept.exists():
        raise SpoolError(f"{kept} is there already")
    path.rename(kept)


def _read(path: Path) -> tuple[str, int]:
    """The hash and the size of a file; once more where the disk could not read it the first time."""
    try:
        return _digest(path)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    time.sleep(_BETWEEN_READS)
    return _digest(path)


def _digest(path: Path) -> tuple[str, int]:
    # Whoever opens or reads a pipe or a device may wait for ever, and all sending with it.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def _discard(contents: Iterable[Content]) -> None:
    for one in contents:
        one.discard()


def flush(path: Path) -> None:
    """Put a file, or the names in a folder, on stable storage (fsync(2)). Raises OSError."""
    with _opened(path) as fd:
        os.fsync(fd)


def translate(error: OSError) -> SpoolError:
    """The spool's own error for what the file system said."""
    kind = SpoolFull if error.errno in DISK_FULL else SpoolError
    return kind(f"{error.strerror}: {error.filename}")
