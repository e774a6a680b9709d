"""Grants as files in `state_dir`."""

import asyncio
import contextlib
import fcntl
import glob
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from typing_extensions import override

from relay.grants import Grant, GrantError, GrantReplacedError, GrantStore, Mark, from_values, to_values
from relay.host import safeio


def name_file(folder: Path, account: str) -> Path:
    """Where an account's file is, in a folder that holds one for each.

    Raises:
        GrantError: the account's name cannot be a file's.
    """
    if not account or account.startswith(".") or "/" in account or "\0" in account:
        raise GrantError("an account's name cannot hold a slash or begin with a dot")
    return folder / f"{account}.json"


def make_folder(folder: Path) -> None:
    """Make a folder for secrets, durably, if it is not there. Raises OSError."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700)
        safeio.flush(folder.parent)


def remove_file(path: Path) -> None:
    """Remove an account's file, and what a power cut left of one that was being replaced. Raises OSError."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.new"):
        left.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        safeio.remove_file(path)


class GrantFiles:
    """The files, `state_dir/grants/NAME.json`, mode 0600. Every method blocks on the disk."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "grants"

    def read(self, account: str) -> Grant | None:
        """What the file holds; None: there is none.

        Raises:
            GrantError: it cannot be read, or is no grant.
        """
        path = name_file(self.folder, account)
        try:
            grant = from_values(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise GrantError(f"{path}: {error.strerror}") from None
        except ValueError:
            grant = None  # the text of the error would show a piece of the file
        if grant is None:
            raise GrantError(f"{path}: not a grant; run `relay login {account}` again")
        return grant

    def write(self, account: str, grant: Grant) -> None:
        """Replace the file, durably, whatever it holds. Raises GrantError."""
        with self._writing(account) as path:
            _write(path, grant)

    def change(self, account: str, of: str, change: Callable[[Grant], Grant]) -> Grant:
        """Replace the grant by what `change` makes of it, if it is the one with this fingerprint.

        Raises:
            GrantReplacedError: it is another one.
            GrantError: it cannot be read or written.
        """
        with self._writing(account) as path:
            found = self.read(account)
            if found is None or found.fingerprint != of:
                raise GrantReplacedError(account)
            changed = change(found)
            _write(path, changed)
            return changed

    def remove(self, account: str) -> None:
        """Remove the file, durably. Raises GrantError."""
        with self._writing(account) as path:
            remove_file(path)

    @contextmanager
    def _writing(self, account: str) -> Iterator[Path]:
        """The right to write for a moment: other processes look at a file and then write it too."""
        path = name_file(self.folder, account)
        try:
            make_folder(self.folder)
            with safeio.opened(self.folder) as fd:
                fcntl.flock(fd, fcntl.LOCK_EX)
                yield path
        except OSError as error:
            raise GrantError(f"{path}: {error.strerror}") from None

    @contextmanager
    def refreshing(self, account: str) -> Iterator[bool]:
        """Whether this process alone may refresh, for as long as the context lasts. Raises GrantError."""
        path = name_file(self.folder, account).with_name(f".{account}.lock")
        try:
            make_folder(self.folder)
            opened = safeio.opened(path, os.O_RDWR | os.O_CREAT)
            fd = opened.__enter__()
        except OSError as error:
            raise GrantError(f"{path}: {error.strerror}") from None
        with contextlib.ExitStack() as stack:
            stack.push(opened)
            yield _try_lock(fd)


class FileGrants(GrantStore):
    """The store of one machine: a file for each account, read and written off the event loop."""

    def __init__(self, state_dir: Path) -> None:
        self._files = GrantFiles(state_dir)
        # By account: a file as it was last looked at, and the version of what it held.
        self._versions: dict[str, tuple[object, object]] = {}

    @override
    async def load(self, account: str) -> Grant | None:
        return await asyncio.to_thread(self._files.read, account)

    @override
    async def store(self, account: str, grant: Grant, *, replaces: str | None = None) -> object:
        if replaces is None:
            await asyncio.to_thread(self._files.write, account, grant)
            return _version_of(grant)

        def renewed(before: Grant) -> Grant:
            return replace(
                grant, refresh_started_at=None, used_at=before.used_at, confirmed_at=before.confirmed_at
            )

        return _version_of(await asyncio.to_thread(self._files.change, account, replaces, renewed))

    @override
    async def mark(self, account: str, of: str, mark: Mark, at: float | None) -> None:
        def marked(grant: Grant) -> Grant:
            if mark is Mark.USED:
                return replace(grant, used_at=at)
            return replace(grant, refresh_started_at=at)

        await asyncio.to_thread(self._files.change, account, of, marked)

    @override
    async def confirm(self, account: str, of: str, at: float) -> None:
        await asyncio.to_thread(
            self._files.change, account, of, lambda grant: replace(grant, confirmed_at=at)
        )

    @override
    async def remove(self, account: str) -> None:
        await asyncio.to_thread(self._files.remove, account)

    @override
    async def version(self, account: str) -> object:
        try:
            found = name_file(self._files.folder, account).stat()
        except OSError:
            return None
        look = found.st_ino, found.st_mtime_ns, found.st_size
        known, version = self._versions.get(account, (None, None))
        if look == known:
            return version
        try:
            grant = await asyncio.to_thread(self._files.read, account)
        except GrantError:
            return look  # another one as soon as the file is
        version = _version_of(grant) if grant else None
        self._versions[account] = look, version
        return version

    @override
    @asynccontextmanager
    async def refreshing(self, account: str) -> AsyncIterator[bool]:
        with self._files.refreshing(account) as ours:
            yield ours


def _version_of(grant: Grant) -> str:
    """Everything of the grant but the marks."""
    values = to_values(grant)
    for mark in Mark:
        del values[mark.value]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _write(path: Path, grant: Grant) -> None:
    safeio.write_file(path, json.dumps(to_values(grant), indent=1).encode() + b"\n")


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
