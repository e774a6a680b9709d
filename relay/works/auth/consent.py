"""How a person gives the relay a grant: the authorization code flow (RFC 6749 §4.1).

The browser comes back to `redirect_url`, where `redirect` waits; or, on a machine without a browser,
the person carries the redirected URL over by hand.
"""

import base64
import contextlib
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx

from relay.config.model import Works
from relay.grants import Grant, GrantError, GrantReplacedError, GrantStore
from relay.works.auth.errors import TokenError
from relay.works.auth.oauth import AuthServer
from relay.works.diagnosis import Failure
from relay.works.http.client import make_client

_LONGEST_CODE = 4096  # characters
# What is shown and compared; an API that was taken over may say anything.
_ADDRESS = re.compile(r"[!-~]{1,64}@[\w.-]{1,255}")
_CONFIRM_TRIES = 3  # a refresh may come between the look at a grant and its confirmation
# Any of these scopes lets us ask whose mailbox it is (Works API §2).
_MAY_ASK = frozenset({"user.read", "user.profile.read"})
# Named by RFC 6749 §4.1.2.1 and seen with Works; the words are for the person at the browser.
_REFUSALS = {
    "access_denied": "consent was refused in the browser",
    "invalid_scope": "the app lacks this scope: add it in the Developer Console, or correct works.scope",
    "unauthorized_client": "the app may not ask for consent; look at its settings in the Developer Console",
}


class ConsentError(Exception):
    """There is no consent; the text says why in a sentence for the person who is there."""


class OtherAnswerError(ConsentError):
    """What came back answers no question of ours: a stale answer, a stranger's, or none at all."""


class CodeRefusedError(ConsentError):
    """The code is not one that can be exchanged: another answer to the same question may be."""


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One question for consent, and the two secrets that tie the answer to it."""

    state: str = field(repr=False)  # comes back with the answer (RFC 6749 §10.12)
    verifier: str = field(repr=False)  # goes with the code to the token endpoint (RFC 7636 §4.1)

    @classmethod
    def make(cls) -> "AuthorizationRequest":
        """A question whose secrets nobody can guess."""
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(48))

    @property
    def challenge(self) -> str:
        """The S256 code challenge (RFC 7636 §4.2)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def read_redirect(text: str, state: str, *, bare_code: bool = False) -> str:
    """The code in a redirected URL.

    Args:
        text: the URL, or what comes after its `?`.
        state: what the answer must carry.
        bare_code: whether a code alone will do, as a person may have copied it.

    Raises:
        ConsentError: it is another consent's, a refusal, or has no code.
    """
    text = text.strip()
    if bare_code and text and len(text) < _LONGEST_CODE and not any(sign in text for sign in "?&/ "):
        return text.removeprefix("code=")
    fields = parse_qs(urlsplit(text).query or text.rpartition("?")[2], max_num_fields=50)
    if not hmac.compare_digest(fields.get("state", [""])[0].encode(), state.encode()):
        raise OtherAnswerError("this is not the answer to the URL above: its state does not fit")
    if error := fields.get("error", [""])[0]:
        raise ConsentError(_REFUSALS.get(error, "the authorization server refused the consent"))
    code = fields.get("code", [""])[0]
    if not code or len(code) > _LONGEST_CODE:
        raise OtherAnswerError("there is no code in it; copy the whole address that the browser ended at")
    return code


async def complete(works: Works, server: AuthServer, code: str, verifier: str) -> Grant:
    """The grant that a code stands for, with the mailbox's address if the scope lets us ask.

    Without an address the grant is unverified: any member of the company may have consented.

    Raises:
        ConsentError: the code or the app is refused, or the authorization server cannot be used.
    """
    try:
        tokens = await server.redeem(code, verifier)
    except TokenError as error:
        if error.refused and error.failure is not Failure.APP_REFUSED:
            raise CodeRefusedError(
                f"the code is used, too old, or not this app's ({error.diagnostic}); "
                "open the URL again for another"
            ) from None
        raise ConsentError(_explain(error)) from None
    if tokens.refresh_token is None:
        raise ConsentError("the authorization server gave no refresh token; look at the app's settings")
    now = time.time()
    grant = Grant(
        access_token=tokens.access_token,
        expires_at=now + tokens.lives,
        refresh_token=tokens.refresh_token,
        consented_at=now,
        issued_at=now,
        refresh_issued_at=now,
        scope=tokens.scope or works.scope,
    )
    asked = _MAY_ASK & set(grant.scope.split())
    return replace(grant, whose=await _ask_whose(works, grant)) if asked else grant


def _explain(error: TokenError) -> str:
    if error.failure is Failure.APP_REFUSED:
        return f"works.client_id or works.client_secret is wrong ({error.diagnostic})"
    return f"the authorization server cannot be used ({error.diagnostic}); `relay check` says why"


def check_mailbox(address: str, grant: Grant, *, any_mailbox: bool) -> None:
    """See that it was the owner of this mailbox who consented, where that is known.

    Raises:
        ConsentError: it was another member, and that is not meant.
    """
    if grant.whose and grant.whose.lower() != address.lower() and not any_mailbox:
        raise ConsentError(
            f"{grant.whose} consented, but the account's address is {address}: "
            "log in as that member, or use --any-mailbox if this is meant"
        )


async def _ask_whose(works: Works, grant: Grant) -> str:
    """The address of whoever consented; "" when it is not told."""
    headers = {"Authorization": f"Bearer {grant.access_token}"}
    url = f"{works.api_url}/users/me"
    try:
        async with await make_client(url, works.proxy, 30) as client:
            answer = (await client.get(url, headers=headers)).json()
    except (httpx.HTTPError, ValueError):
        return ""
    address = answer.get("email") if isinstance(answer, dict) else None
    return address if isinstance(address, str) and _ADDRESS.fullmatch(address) else ""


async def confirm(store: GrantStore, account: str) -> None:
    """Note that a person has seen whose mailbox the grant sends from.

    Raises:
        GrantError: there is no grant, or it cannot be read or written.
    """
    for _ in range(_CONFIRM_TRIES):
        grant = await store.load(account)
        if grant is None:
            raise GrantError(f"nobody has consented for {account} yet; run: sudo relay login {account}")
        with contextlib.suppress(GrantReplacedError):
            await store.confirm(account, grant.fingerprint, time.time())
            return
    raise GrantReplacedError(account)


async def revoke(server: AuthServer, grant: Grant) -> None:
    """Tell the authorization server that a grant's tokens are worth nothing any more.

    Raises:
        ConsentError: it cannot be reached, or refuses.
    """
    try:
        # The refresh token first: by it new access tokens are had.
        await server.revoke(grant.refresh_token, "refresh_token")
        await server.revoke(grant.access_token, "access_token")
    except TokenError as error:
        raise ConsentError(
            f"the authorization server did not revoke the grant ({error.diagnostic})"
        ) from None
