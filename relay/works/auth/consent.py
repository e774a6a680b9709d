"""How a person gives the relay a grant: the authorization code flow (RFC 6749 §4.1).

The browser comes back to `redirect_url`, where `redirect` waits; or, on a machine without a browser,
the person carries the redirected URL over by hand.
"""

import hmac
import secrets
import time
from dataclasses import replace
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx

from relay.grants import Grant, GrantError, GrantStore
from relay.works.auth.errors import TokenError
from relay.works.auth.oauth import App, AuthServer
from relay.works.diagnosis import Failure

_LONGEST_CODE = 4096  # characters
_LOCK_TRIES, _LOCK_PAUSE = 1900, 0.1  # a refresh under way may take three minutes (oauth)
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


class ApiAddress(App, Protocol):
    """The app, and where the API is (config.Works is one)."""

    @property
    def api_url(self) -> str:
        """Such as https://www.worksapis.com/v1.0."""


def make_state() -> str:
    """A value that nobody else can guess: it ties the answer to our question (RFC 6749 §10.12)."""
    return secrets.token_urlsafe(24)


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
        raise ConsentError("this is not the answer to the URL above: its state does not fit; start again")
    if error := fields.get("error", [""])[0]:
        raise ConsentError(_REFUSALS.get(error, "the authorization server refused the consent"))
    code = fields.get("code", [""])[0]
    if not code or len(code) > _LONGEST_CODE:
        raise ConsentError("there is no code in it; copy the whole address that the browser ended at")
    return code


async def complete(works: ApiAddress, server: AuthServer, code: str) -> Grant:
    """The grant that a code stands for, with the mailbox's address if the scope lets us ask.

    Raises:
        ConsentError: the code or the app is refused, or the authorization server cannot be used.
    """
    try:
        tokens = await server.redeem(code)
    except TokenError as error:
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
    return replace(grant, whose=await _ask_whose(works.api_url, grant)) if asked else grant


def _explain(error: TokenError) -> str:
    if error.failure is Failure.APP_REFUSED:
        return f"works.client_id or works.client_secret is wrong ({error.diagnostic})"
    if error.refused:
        return f"the code is used, too old, or not this app's ({error.diagnostic}); start again"
    return f"the authorization server cannot be used ({error.diagnostic}); try again"


async def _ask_whose(api_url: str, grant: Grant) -> str:
    """The address of whoever consented; "" when it is not told."""
    headers = {"Authorization": f"Bearer {grant.access_token}"}
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            answer = (await client.get(f"{api_url}/users/me", headers=headers)).json()
    except (httpx.HTTPError, ValueError):
        return ""
    address = answer.get("email") if isinstance(answer, dict) else None
    return address if isinstance(address, str) else ""


def keep(store: GrantStore, account: str, grant: Grant) -> None:
    """Store a new consent, after a refresh of the old one that may be under way elsewhere.

    Raises:
        GrantError: it cannot be written.
    """
    for _ in range(_LOCK_TRIES):
        with store.lock(account) as ours:
            if ours:
                store.store(account, grant)
                return
        time.sleep(_LOCK_PAUSE)
    raise GrantError(f"another process has held the grant of {account} for too long")
