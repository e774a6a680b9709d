"""Grants as files in `state_dir`."""

import contextlib
import fcntl
import glob
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

from typing_extensions import override

from relay.grants import Grant, GrantError, GrantStore
from relay.host import safeio


class FileGrants(GrantStore):
    """Grants as files: `state_dir/grants/NAME.json`, mode 0600."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._directory = state_dir / "grants"

    def _path(self, account: str) -> Path:
        if not account or account.startswith(".") or "/" in account or "\0" in account:
            raise GrantError("an account's name cannot hold a slash or begin with a dot")
        return self._directory / f"{account}.json"

    @override
    def load(self, account: str) -> Grant | None:
        path = self._path(account)
        try:
            values = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise GrantError(f"{path}: {error.strerror}") from None
        except ValueError:
            # The text of the error would show a piece of the file.
            raise GrantError(f"{path}: not a grant; run `relay login {account}` again") from None
        return _read(values, path)

    @override
    def store(self, account: str, grant: Grant) -> None:
        path = self._path(account)
        try:
            self._make_directory()
            safeio.write_file(path, json.dumps(asdict(grant), indent=1).encode() + b"\n")
        except OSError as error:
            raise GrantError(f"{path}: {error.strerror}") from None

    @override
    def remove(self, account: str) -> None:
        path = self._path(account)
        try:
            # What a power cut left of a file that was being replaced holds tokens too.
            for left in self._directory.glob(f".{glob.escape(path.name)}.*.new"):
                left.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                safeio.remove_file(path)
        except OSError as error:
            raise GrantError(f"{path}: {error.strerror}") from None

    @override
    def version(self, account: str) -> object:
        try:
            found = self._path(account).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    @override
    @contextmanager
    def lock(self, account: str) -> Iterator[bool]:
        path = self._path(account).with_name(f".{account}.lock")
        try:
            self._make_directory()
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise GrantError(f"{path}: {error.strerror}") from None
        try:
            yield _try_lock(fd)
        finally:
            os.close(fd)

    def _make_directory(self) -> None:
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700)
            safeio.flush(self._state_dir)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(values: object, path: Path) -> Grant:
    known = {f.name for f in fields(Grant)}
    if isinstance(values, dict):
        with contextlib.suppress(TypeError):
            grant = Grant(**{name: value for name, value in values.items() if name in known})
            if _sound(grant):
                return grant
    raise GrantError(f"{path}: not a grant; run `relay login {path.stem}` again")


def _sound(grant: Grant) -> bool:
    texts = (grant.access_token, grant.refresh_token, grant.scope, grant.whose)
    times = (grant.expires_at, grant.consented_at, grant.issued_at, grant.refresh_issued_at)
    return all(isinstance(text, str) for text in texts) and all(isinstance(t, int | float) for t in times)
