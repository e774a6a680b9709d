"""The spool's folder: the lock on it, and whether the open files are still the ones that lie there.

A file that was removed or moved away is still written to by whoever has it open: each 250 for a message in it
would be a promise that ends with the process. So the files are looked at before each commit, and twice a
second when there is none.
"""

import contextlib
import errno
import os
import stat
import time
from enum import Enum, auto
from pathlib import Path

import structlog

from relay.spool import SpoolError, SpoolLocked
from relay.spool.lock import take_lock
from relay.spool.sqlite.files import translate

log = structlog.get_logger("spool")
MOVING = "moving"  # a file: the mail of this spool is on its way to a database, and no relay opens it
_FOLDERS = ("incoming", "content")
_DATABASE, _LOG, _INDEX = "spool.db", "spool.db-wal", "spool.db-shm"
_OPEN = (_DATABASE, _LOG, _INDEX)  # what SQLite has open
_SELDOM = 0.25  # seconds; before a commit in between only the database and its log are looked at
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600


class Finding(Enum):
    """What a look at the folder shows."""

    WELL = auto()
    REMOVED = auto()  # files are gone, or shorter than they were: what is open can be written there again
    ELSEWHERE = auto()  # the files were moved, or others lie in their place: a person has to decide


_Identity = tuple[int, int]  # device and inode


class Ownership:
    """One process's hold on a spool's folder. `look` and `watch` are for the writer's thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock_fd = -1
        # The database's. Closing it would end SQLite's locks on that file, so it stays open as long.
        self._fd = -1
        self._sizes: dict[str, int] = {}  # the largest that each file was seen to have
        self._identities: dict[str, _Identity] = {}
        self._looked = float("-inf")  # monotonic
        self.trouble = ""  # what is wrong with the folder, in words
        self.news: list[str] = []  # what was set right, to be told

    @property
    def database(self) -> Path:
        """The database's file."""
        return self._folder / _DATABASE

    def take(self, *, moving: bool = False) -> None:
        """Make the folder and lock it.

        Args:
            moving: its mail is about to be moved to a database.

        Raises:
            SpoolLocked: another process has it.
            SpoolError: it cannot be made, a link lies in it, or its mail is on the way to a database.
        """
        try:
            # The state directory holds tokens too; as one of `parents` it would get the umask's mode.
            self._folder.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            self._folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            self._lock_fd = take_lock(self._folder)
        except OSError as error:
            raise translate(error) from error
        linked = next((name for name in _OPEN if (self._folder / name).is_symlink()), None)
        if linked is not None:
            self.release()
            # SQLite names the log after the file that a link leads to: whoever makes or removes one loses it.
            raise SpoolError(
                f"{self._folder / linked} is a symbolic link: put the file itself there, or link the folder"
            )
        if not moving and (self._folder / MOVING).exists():
            self.release()
            raise SpoolError(
                f"the mail in {self._folder} is on its way to a database: run `relay spool move` again"
            )

    def release(self) -> None:
        """Let go of the folder; after the database is closed."""
        for fd in (self._fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock_fd = -1

    def watch(self) -> None:
        """Note which files SQLite has just opened."""
        if self._fd < 0 or _identity_of(os.fstat(self._fd)) != self._identify(_DATABASE):
            before, self._fd = self._fd, os.open(self._folder / _DATABASE, os.O_RDONLY | os.O_CLOEXEC)
            if before >= 0:
                os.close(before)
        self._sizes.clear()
        self._identities = {name: identity for name in _OPEN if (identity := self._identify(name))}

    def log_was_emptied(self) -> None:
        """The write-ahead log was cut off by ourselves: it may be shorter than it was."""
        self._sizes.pop(_LOG, None)

    def _identify(self, name: str, *, follow: bool = False) -> _Identity | None:
        found = _stat(self._folder / name, follow=follow)
        return None if found is None else (found.st_dev, found.st_ino)

    def was_put_back(self, error: Exception | None = None) -> None:
        """What was removed is written again; or could not be."""
        self.trouble = "" if error is None else f"{self.trouble}; it cannot be written again: {error}"

    def look(self) -> Finding:
        """Compare the folder with what is open, and set right what can be: folders, the lock, permissions."""
        now = time.monotonic()
        if not self.trouble and now - self._looked < _SELDOM and self._is_in_place():
            return Finding.WELL
        self._looked, self.trouble = now, ""
        try:
            finding = self._look()
        except SpoolLocked as error:
            finding, self.trouble = Finding.ELSEWHERE, str(error)
        except OSError as error:
            finding, self.trouble = Finding.ELSEWHERE, f"{error.strerror}: {error.filename}"
        return finding

    def _is_in_place(self) -> bool:
        return all(self._is_the_same(name) for name in (_DATABASE, _LOG))

    def _is_the_same(self, name: str) -> bool:
        """Whether an open file is the one in the folder, and no shorter than it was."""
        found = _stat(self._folder / name, follow=False)
        if found is None or _identity_of(found) != self._identities.get(name):
            return found is None and name not in self._identities
        before = self._sizes.get(name, 0)
        self._sizes[name] = max(found.st_size, before)
        return found.st_size >= before or name == _INDEX

    def _look(self) -> Finding:
        if _stat(self._folder) is not None:
            _allow(self._folder, _FOLDER_MODE)
        there = self._identify(_DATABASE)
        own = os.fstat(self._fd)
        if there is None and own.st_nlink:
            self.trouble = f"{self._folder / _DATABASE} was moved away: put it back, or restart the relay"
            return Finding.ELSEWHERE
        if there is not None and there != (own.st_dev, own.st_ino):
            self.trouble = f"another file lies at {self._folder / _DATABASE}: remove it, or restart the relay"
            return Finding.ELSEWHERE
        self._mend_folders()
        if self._identify("lock", follow=True) != _identity_of(os.fstat(self._lock_fd)):
            before, self._lock_fd = self._lock_fd, take_lock(self._folder)
            os.close(before)
            log.error("the spool's lock was removed: made again")
        names = [name for name in _OPEN if not self._is_the_same(name)]
        if names:
            self.trouble = f"{', '.join(names)} in {self._folder}: removed or cut off while the relay runs"
            return Finding.REMOVED
        return Finding.WELL

    def _mend_folders(self) -> None:
        # Permissions of the state directory are its owner's own: it is made again, and no more.
        if _stat(self._folder.parent) is None:
            self._folder.parent.mkdir(mode=_FOLDER_MODE, parents=True)
        for folder in (self._folder, *(self._folder / name for name in _FOLDERS)):
            found = _stat(folder)
            if found is not None and not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(
                    errno.ENOTDIR, "this must be a folder, move away what lies there", str(folder)
                )
            if found is None:
                folder.mkdir(mode=_FOLDER_MODE)
                log.error("a folder of the spool was removed: made again", folder=str(folder))
                self.news.append(f"{folder} was removed: it is made again, what lay in it is lost")
            _allow(folder, _FOLDER_MODE)
        for name in (*_OPEN, "lock"):
            with contextlib.suppress(FileNotFoundError):
                _allow(self._folder / name, _FILE_MODE)


def _identity_of(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino


def _stat(path: Path, *, follow: bool = True) -> os.stat_result | None:
    try:
        return path.stat(follow_symlinks=follow)
    except FileNotFoundError:
        return None


def _allow(path: Path, mode: int) -> None:
    """Give its owner back what the relay needs for its next start.

    Raises:
        OSError: the file belongs to somebody else, for instance.
    """
    found = path.stat()
    if found.st_mode & mode != mode:
        path.chmod(stat.S_IMODE(found.st_mode) | mode)
        log.error("permissions in the spool were taken from the relay: given back", path=str(path))
    if os.geteuid() not in (0, found.st_uid):
        raise PermissionError(errno.EPERM, "it belongs to another user", str(path))
