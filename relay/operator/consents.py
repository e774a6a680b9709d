"""The verbs of consent: the running service has the app's secret, and exchanges what a browser brought back.

So `relay login` needs no secret. Without a service the command does the same with the secret that it finds.
The flow is imported when it is asked for: the HTTP library comes with it, without which a relay can begin.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from relay.config.model import Account, Config, Works
from relay.grants import Grant, GrantError
from relay.operator.calling import Refused
from relay.works.auth.keeping import Keeping
from relay.works.auth.oauth import AuthServer

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ConsentVerbs:
    """Verbs that begin and end the consent of an account, by the configuration of the moment."""

    _config: Callable[[], Config]
    _keeping: Keeping  # the grants
    # Has the service know an account's new grant before the person is told that it is there.
    _notice: Callable[[str], Awaitable[None]] | None = None

    async def login_begin(self, account: str, redirect_url: str = "") -> Answer:
        """What a person has to open, and the two secrets that the answer to it belongs to.

        Args:
            account: its name.
            redirect_url: where the browser comes back to; "": as works.redirect_url says.

        Raises:
            Refused: there is no such account.
        """
        from relay.works.auth.consent import AuthorizationRequest

        works, request = self._works(redirect_url), AuthorizationRequest.make()
        url = AuthServer(works).authorize_url(request.state, request.challenge)
        return {
            "url": url,
            "state": request.state,
            "verifier": request.verifier,
            "redirect_url": works.redirect_url,
            "address": self._find(account).address,
        }

    async def login(
        self, account: str, code: str, verifier: str, *, any_mailbox: bool = False, redirect_url: str = ""
    ) -> Answer:
        """Exchange a code for a grant and keep it: whose it is, and whether that is sure.

        Args:
            account: its name.
            code: what the browser brought back.
            verifier: of the question that it answers.
            any_mailbox: whether another member's consent is taken.
            redirect_url: as it was asked with (RFC 6749 §4.1.3).

        A code that is refused is no end: `again` says why, and the same question may be answered once more.

        Raises:
            Refused: it was not this mailbox's owner, Works refuses, or the grant cannot be kept.
        """
        from relay.works.auth.consent import CodeRefusedError, ConsentError, check_mailbox, complete

        works, chosen = self._works(redirect_url), self._find(account)
        try:
            grant = await complete(works, AuthServer(works), code, verifier)
            check_mailbox(chosen.address, grant, any_mailbox=any_mailbox)
            await self._keeping.begin(account, grant)
        except CodeRefusedError as error:
            return {"again": str(error)}
        except (ConsentError, GrantError) as error:
            raise Refused(str(error)) from error
        await self._tell(account)
        return {"again": "", "whose": grant.whose, "verified": grant.is_verified}

    async def _tell(self, account: str) -> None:
        if self._notice is not None:
            await self._notice(account)

    async def logout(self, account: str, *, force: bool = False) -> Answer:
        """Revoke a grant at Works and forget it here: whether there was one, and whether it was revoked.

        Args:
            account: its name.
            force: whether to forget it though it cannot be read or revoked.

        Raises:
            Refused: it cannot be revoked, or cannot be removed.
        """
        self._find(account)
        try:
            grant = await self._load(account, force=force)
            revoked = grant is not None and await self._revoke(grant, force=force)
            await self._keeping.forget(account)
        except GrantError as error:
            raise Refused(str(error)) from error
        await self._tell(account)
        return {"found": grant is not None or force, "revoked": revoked}

    async def confirm(self, account: str) -> Answer:
        """Note that a person has seen whose mailbox an account sends from.

        Raises:
            Refused: there is no grant, or it cannot be read or written.
        """
        from relay.works.auth.consent import confirm

        self._find(account)
        try:
            await confirm(self._keeping.store, account)
        except GrantError as error:
            raise Refused(str(error)) from error
        await self._tell(account)
        return {"confirmed": account}

    def _works(self, redirect_url: str) -> Works:
        works = self._config().works
        return works.model_copy(update={"redirect_url": redirect_url}) if redirect_url else works

    async def _load(self, account: str, *, force: bool) -> Grant | None:
        try:
            return (await self._keeping.load(account)).grant
        except GrantError:
            if not force:
                raise
            return None  # what cannot be read cannot be revoked

    async def _revoke(self, grant: Grant, *, force: bool) -> bool:
        from relay.works.auth.consent import ConsentError, revoke

        try:
            await revoke(AuthServer(self._config().works), grant)
        except ConsentError as error:
            if not force:
                raise Refused(
                    f"{error}, and it is kept here; try again, or forget it with --force and remove the "
                    "app's access at Works"
                ) from error
            return False
        return True

    def _find(self, name: str) -> Account:
        found = self._config().find_account(name)
        if found is None:
            raise Refused(
                f"the running relay has no account {name}; have it read relay.toml: systemctl reload relay"
            )
        return found
