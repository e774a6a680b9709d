"""The last grants that refreshes brought, as files of this machine, whatever keeps the grants.

With rotation on, a refresh kills the refresh token that it was made with (Works API §2): what it brings
must not be lost because the store cannot be written in that moment, or because a database went on without
its last commits. So it is here first, mode 0600 and flushed; the last ones stay.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from relay.grants import Grant, GrantError, Seal, from_values, to_values
from relay.host import safeio
from relay.works.auth.files import make_folder, name_file, remove_file

_LAST = 4  # of each account


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a refresh brought."""

    grant: Grant
    replaces: str  # the fingerprint of the grant that was refreshed

    def follows(self, grant: Grant | None) -> bool:
        """Whether it is of the same consent as this grant."""
        return grant is not None and grant.consented_at == self.grant.consented_at


class Escrow:
    """`state_dir/escrow/NAME.json`: an account's last refreshes, sealed where there is a key."""

    def __init__(self, state_dir: Path, seal: Seal | None = None) -> None:
        self._folder = state_dir / "escrow"
        self._seal = seal

    async def put(self, account: str, renewed: Renewed) -> None:
        """Keep what a refresh brought, durably. Those of earlier consents go.

        Raises:
            GrantError: it cannot be written.
        """
        await asyncio.to_thread(self._put, account, renewed)

    async def read(self, account: str) -> list[Renewed]:
        """What is there, the oldest first. What cannot be read or unsealed is not there."""
        return await asyncio.to_thread(self._read, account)

    async def forget(self, account: str) -> None:
        """Remove what is there: nobody must find the tokens of a grant that has ended.

        Raises:
            GrantError: it cannot be removed.
        """
        await asyncio.to_thread(self._forget, account)

    def _put(self, account: str, renewed: Renewed) -> None:
        path = name_file(self._folder, account)
        consent = renewed.grant.consented_at
        before = [one for one in self._read(account) if one.grant.consented_at == consent]
        rows = [
            {"replaces": one.replaces, "grant": to_values(one.grant)} for one in [*before, renewed][-_LAST:]
        ]
        octets = json.dumps(rows, indent=1).encode() + b"\n"
        try:
            make_folder(self._folder)
            safeio.write_file(path, self._seal.close(octets) if self._seal else octets)
        except OSError as error:
            raise GrantError(f"{path}: {error.strerror}") from None

    def _read(self, account: str) -> list[Renewed]:
        try:
            octets = name_file(self._folder, account).read_bytes()
            rows = json.loads(self._seal.open(octets) if self._seal else octets)
        except (OSError, ValueError):
            return []
        return [*_read_rows(rows)] if isinstance(rows, list) else []

    def _forget(self, account: str) -> None:
        path = name_file(self._folder, account)
        if not self._folder.is_dir():
            return
        try:
            remove_file(path)
        except OSError as error:
            raise GrantError(f"{path}: {error.strerror}") from None


def _read_rows(rows: list[object]) -> Iterable[Renewed]:
    for row in rows:
        if isinstance(row, dict) and isinstance(replaces := row.get("replaces"), str):
            grant = from_values(row.get("grant"))
            if grant is not None:
                yield Renewed(grant, replaces)
