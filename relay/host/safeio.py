"""Write a file whole or not at all, so that it survives a power cut.

This is the only place where the relay replaces a file: grants, learned.toml, told.json, certificates,
remembered logins. Whoever reads the file finds the old content or the new one, never a piece.
"""

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Nothing can be written now, and nothing is wrong with what was to be written: no room, no quota, a disk
# that the kernel has made read-only, a limit on the size of files.
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
OWNER_ONLY = stat.S_IRUSR | stat.S_IWUSR  # 0600


def write_file(path: Path, content: bytes, mode: int = OWNER_ONLY) -> None:
    """Replace a file: write aside, flush, rename, flush the folder. Blocks until it is on stable storage.

    A link at `path` is replaced and not followed.

    Args:
        path: the file; its folder must exist.
        content: all that the file is to hold.
        mode: its permissions, whatever the umask is.

    Raises:
        OSError: it could not be written, and `filename` is `path`. The old file is still there, unless only
            the last flush failed.
    """
    try:
        fd, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
        aside = Path(name)
        try:
            with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(content)
                os.fchmod(fd, mode)
            move_file(aside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            raise
    except OSError as error:
        # The name of the file aside says nothing to whoever reads the error.
        raise OSError(error.errno, error.strerror, str(path)) from error


def move_file(source: Path, target: Path) -> None:
    """Flush a file and move it to its place on the same file system, over what is there. Blocks.

    Raises:
        OSError: it was not moved, or it was and the last flush failed.
    """
    # A name is only as durable as its folder (fsync(2)). The folder is opened first: without a descriptor
    # for it nothing has been moved, and the same can be tried again.
    with opened(target.parent) as folder:
        flush(source)
        source.replace(target)
        os.fsync(folder)


def remove_file(path: Path) -> None:
    """Remove a file, so that it stays removed. Blocks. Raises OSError."""
    with opened(path.parent) as folder:
        path.unlink()
        os.fsync(folder)


def flush(path: Path) -> None:
    """Put a file, or the names in a folder, on stable storage (fsync(2)). Raises OSError."""
    with opened(path) as fd:
        os.fsync(fd)


@contextlib.contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    """The descriptor of a file or folder, which children do not inherit. Raises OSError."""
    fd = os.open(path, flags | os.O_CLOEXEC, OWNER_ONLY)
    try:
        yield fd
    finally:
        os.close(fd)
