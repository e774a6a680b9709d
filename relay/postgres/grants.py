"""The accounts' grants in the database, sealed: whoever reads the database, or a backup of it, has no token.

Marks stand beside the sealed octets, so that noting a time needs no key and changes no version.
"""

import asyncio
import base64
import binascii
import json
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typing_extensions import override

from relay.grants import Grant, GrantError, GrantReplacedError, GrantStore, Mark, Seal, from_values, to_values
from relay.postgres.database import NOW, Row, Statements, write_surely
from relay.spool import SpoolError

_KEY, _NONCE = 32, 12  # octets; AES-256, and the nonce of GCM (NIST SP 800-38D §8.2)
_FORMAT = b"relay grant 1\0"  # before the nonce, and authenticated
_GOOD_FOR = 1.0  # seconds that a look at the versions is good for: it is asked for every message
_REFRESH = 120.0  # seconds after which whoever began a refresh is taken for dead
_LOAD = "SELECT sealed, confirmed_at, used_at, refresh_started_at FROM relay.account_grant WHERE account = %s"
_BEGIN = (
    "INSERT INTO relay.account_grant AS g (account, version, fingerprint, sealed, confirmed_at, used_at,"
    " refresh_started_at) VALUES (%(account)s, %(version)s, %(fingerprint)s, %(sealed)s, %(confirmed_at)s,"
    " %(used_at)s, %(refresh_started_at)s) ON CONFLICT (account) DO UPDATE SET version = excluded.version,"
    " fingerprint = excluded.fingerprint, sealed = excluded.sealed, confirmed_at = excluded.confirmed_at,"
    " used_at = excluded.used_at, refresh_started_at = excluded.refresh_started_at, refresher = NULL"
    " RETURNING version"
)
# Also where it stands there already: a store whose commit was in doubt is repeated.
_RENEW = (
    "UPDATE relay.account_grant SET version = %(version)s, fingerprint = %(fingerprint)s,"
    " sealed = %(sealed)s, refresh_started_at = NULL WHERE account = %(account)s"
    " AND fingerprint IN (%(replaces)s, %(fingerprint)s) RETURNING version"
)
_MARK = {
    Mark.USED: (
        "UPDATE relay.account_grant SET used_at = %s WHERE account = %s AND fingerprint = %s RETURNING 1"
    ),
    Mark.REFRESH_STARTED: (
        "UPDATE relay.account_grant SET refresh_started_at = %s WHERE account = %s AND fingerprint = %s"
        " RETURNING 1"
    ),
}
_CONFIRM = (
    "UPDATE relay.account_grant SET confirmed_at = %s, version = %s WHERE account = %s AND fingerprint = %s"
    " RETURNING 1"
)
_REMOVE = "DELETE FROM relay.account_grant WHERE account = %s"
_VERSIONS = "SELECT account, version FROM relay.account_grant"
# Another start of the same state directory, whose lock this one has: it is certainly dead.
_PREDECESSOR = (
    "EXISTS (SELECT FROM relay.node dead JOIN relay.node mine USING (home) WHERE mine.token = %(me)s"
    " AND dead.token = refresher AND dead.token <> mine.token)"
)
_TAKE = (
    f"WITH taken AS (UPDATE relay.account_grant SET refresher = %(me)s, refresh_until = {NOW} + %(length)s"
    f" WHERE account = %(account)s AND (refresher IS NULL OR refresh_until < {NOW} OR {_PREDECESSOR})"
    " RETURNING 1)"
    " SELECT EXISTS (SELECT FROM taken)"
    " OR NOT EXISTS (SELECT FROM relay.account_grant WHERE account = %(account)s)"
)
_GIVE_BACK = "UPDATE relay.account_grant SET refresher = NULL WHERE account = %s AND refresher = %s"


class AesSeal(Seal):
    """AES-256-GCM with one key; what was changed, or sealed by another key, is not opened.

    Raises:
        ValueError: the key is not 32 octets in Base64.
    """

    def __init__(self, key: str) -> None:
        try:
            octets = base64.b64decode(key, validate=True)
        except binascii.Error:
            octets = b""
        if len(octets) != _KEY:
            raise ValueError("expected 32 octets in Base64")
        self._cipher = AESGCM(octets)

    @override
    def close(self, octets: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, octets, _FORMAT)

    @override
    def open(self, octets: bytes) -> bytes:
        if not octets.startswith(_FORMAT):
            raise ValueError("it was not sealed")
        nonce, sealed = octets[len(_FORMAT) :][:_NONCE], octets[len(_FORMAT) + _NONCE :]
        try:
            return self._cipher.decrypt(nonce, sealed, _FORMAT)
        except InvalidTag:
            raise ValueError("it was sealed by another key, or changed since") from None


class PostgresGrants(GrantStore):
    """The store of all nodes.

    Args:
        database: where it is.
        seal: closes and opens the tokens.
        node: this process's token among the nodes; None: it is none, but a command.
    """

    def __init__(self, database: Statements, seal: Seal, node: int | None = None) -> None:
        self._database = database
        self._seal = seal
        self._node = node
        self._versions: dict[str, int] = {}
        self._looked = float("-inf")  # monotonic
        self._turn = asyncio.Lock()

    @override
    async def load(self, account: str) -> Grant | None:
        try:
            found = await self._database.read(_LOAD, (account,))
        except SpoolError as error:
            raise GrantError(str(error)) from error
        if not found:
            return None
        sealed, *times = found[0]
        try:
            grant = from_values(json.loads(self._seal.open(sealed)))
        except ValueError as error:
            raise GrantError(
                f"the grant of {account} cannot be opened by this key_file ({error}); name the right one, "
                f"or run `relay login {account}` again"
            ) from None
        if grant is None:
            raise GrantError(f"the database has no grant for {account}; run `relay login {account}` again")
        confirmed_at, used_at, refresh_started_at = times
        return replace(
            grant, confirmed_at=confirmed_at, used_at=used_at, refresh_started_at=refresh_started_at
        )

    @override
    async def store(self, account: str, grant: Grant, *, replaces: str | None = None) -> object:
        values = {
            "account": account,
            "version": _make_version(),
            "fingerprint": grant.fingerprint,
            "sealed": self._seal.close(json.dumps(to_values(grant)).encode()),
            "replaces": replaces,
            "confirmed_at": grant.confirmed_at,
            "used_at": grant.used_at,
            "refresh_started_at": grant.refresh_started_at,
        }
        stored = await self._write(_BEGIN if replaces is None else _RENEW, values)
        if not stored:
            raise GrantReplacedError(account)
        self._versions[account] = stored[0][0]
        return stored[0][0]

    async def _write(self, query: str, values: Any) -> list[Row]:
        """Write what bears to be written twice. Raises GrantError."""
        try:
            return await write_surely(self._database, query, values)
        except SpoolError as error:
            raise GrantError(str(error)) from error

    @override
    async def mark(self, account: str, of: str, mark: Mark, at: float | None) -> None:
        if not await self._write(_MARK[mark], (at, account, of)):
            raise GrantReplacedError(account)

    @override
    async def confirm(self, account: str, of: str, at: float) -> None:
        if not await self._write(_CONFIRM, (at, _make_version(), account, of)):
            raise GrantReplacedError(account)
        self._looked = float("-inf")

    @override
    async def remove(self, account: str) -> None:
        await self._write(_REMOVE, (account,))
        self._versions.pop(account, None)

    @override
    async def version(self, account: str) -> object:
        async with self._turn:
            if time.monotonic() - self._looked >= _GOOD_FOR:
                await self._look()
        return self._versions.get(account)

    async def _look(self) -> None:
        # While the database does not answer, what was known last holds: nothing is sent then anyway.
        with suppress(SpoolError):
            found = await self._database.read(_VERSIONS)
            self._versions = {row[0]: row[1] for row in found}
            self._looked = time.monotonic()

    @override
    @asynccontextmanager
    async def refreshing(self, account: str) -> AsyncIterator[bool]:
        me = _make_version() if self._node is None else self._node
        taken = await self._write(_TAKE, {"account": account, "me": me, "length": _REFRESH})
        ours = bool(taken[0][0])
        try:
            yield ours
        finally:
            if ours:
                with suppress(GrantError):  # it runs out by itself
                    await self._write(_GIVE_BACK, (account, me))


def _make_version() -> int:
    return secrets.randbits(63)
