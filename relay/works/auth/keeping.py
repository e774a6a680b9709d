"""An account's grant as it is kept: in the store, with the escrow before it."""

import contextlib
from dataclasses import dataclass

import structlog

from relay.grants import Grant, GrantError, GrantReplacedError, GrantStore
from relay.works.auth.escrow import Escrow, Renewed

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """A grant that was read."""

    grant: Grant | None
    # It is in escrow alone, and the store still has the one that it replaces.
    unsaved: Renewed | None = None


class Keeping:
    """The store of grants and the escrow: what is in either of them survives a power cut."""

    def __init__(self, store: GrantStore, escrow: Escrow) -> None:
        self.store = store
        self._escrow = escrow

    async def load(self, account: str) -> Kept:
        """The account's latest grant.

        Raises:
            GrantError: the store cannot be read.
        """
        stored = await self.store.load(account)
        if stored is None:
            return Kept(None)
        latest, unsaved = stored, None
        for one in await self._escrow.read(account):
            later = one.follows(stored) and one.grant.issued_at > latest.issued_at
            if later and one.replaces == latest.fingerprint:
                latest, unsaved = one.grant, Renewed(one.grant, stored.fingerprint)
        return Kept(latest, unsaved)

    async def keep(self, account: str, renewed: Renewed) -> object:
        """Keep what a refresh brought; in escrow first.

        Returns:
            The version that the store has now; None: it is in escrow alone, and is to be offered again.

        Raises:
            GrantReplacedError: somebody has consented, or logged out, since the refresh began.
            GrantError: it is nowhere, and a crash would lose it.
        """
        escrowed = True
        try:
            await self._escrow.put(account, renewed)
        except GrantError as error:
            escrowed = False
            log.warning("grant not in escrow", account=account, reason=str(error))
        try:
            return await self.store.store(account, renewed.grant, replaces=renewed.replaces)
        except GrantReplacedError:
            raise
        except GrantError as error:
            if not escrowed:
                raise
            log.error("grant in escrow alone", account=account, reason=str(error))
            return None

    async def find_later(self, account: str, grant: Grant) -> list[Grant]:
        """What later refreshes of the same consent brought, the latest first.

        One of them may be good where this grant is refused: a database that went on without its last commits
        has an old one.
        """
        found = [one.grant for one in await self._escrow.read(account) if one.follows(grant)]
        return [one for one in reversed(found) if one.issued_at > grant.issued_at]

    async def begin(self, account: str, grant: Grant) -> None:
        """Keep a new consent, in the place of the old one.

        Raises:
            GrantError: it cannot be written.
        """
        await self.store.store(account, grant)
        with contextlib.suppress(GrantError):  # what belongs to an earlier consent is never offered
            await self._escrow.forget(account)

    async def forget(self, account: str) -> None:
        """Remove the account's grant from both.

        Raises:
            GrantError: it cannot be removed.
        """
        await self.store.remove(account)
        await self._escrow.forget(account)

    async def forget_escrow(self, account: str) -> None:
        """Remove what is left of a grant that has ended elsewhere."""
        try:
            await self._escrow.forget(account)
        except GrantError as error:
            log.warning("escrow not removed", account=account, reason=str(error))
