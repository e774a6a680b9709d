"""The authorization server: codes and refresh tokens become access tokens (RFC 6749 §4.1, §6).

What comes back is read as the server really says it: `expires_in` is a string, and errors have two
shapes (Works API §2). Neither a token nor the secret ever gets into an exception or a repr.
"""

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from relay.config.model import Works
from relay.works.auth.errors import TokenError
from relay.works.diagnosis import Failure, read_object
from relay.works.http.client import make_client

if TYPE_CHECKING:
    import httpx2 as httpx

# What may stand in the log: an answer may echo what it was given, and that was a secret.
_NAMES = frozenset(
    {
        # RFC 6749 §5.2
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        # RFC 6749 §4.1.2.1, given by token endpoints too
        "access_denied",
        "server_error",
        "temporarily_unavailable",
    }
)
_RETURN_CODE = re.compile(r"[0-9]{1,4}")  # of Works (Works API §2), seen: 99
# These say that the server is not well, whatever their status.
_PASSING = frozenset({"server_error", "temporarily_unavailable"})
_SHORTEST_LIFE, _USUAL_LIFE, _LONGEST_LIFE = 1.0, 3600.0, 30 * 86400.0  # seconds
_LONGEST_ANSWER = 64 * 1024  # octets
# The server may rotate the refresh token and answer slowly: giving up early locks the account out.
_PATIENCE, _CONNECT_PATIENCE = 120.0, 10.0  # seconds, for each read and for the connection
_LONGEST_CALL = 180.0  # seconds in all: one octet a minute would keep all mail of the account, and its slots
# Our own registration is refused, whoever's grant it is (RFC 6749 §5.2).
_ABOUT_THE_APP = frozenset({"invalid_client", "unauthorized_client"})
_REFUSALS = frozenset({400, 401, 403})


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the token endpoint gave."""

    access_token: str = field(repr=False)
    lives: float  # seconds
    refresh_token: str | None = field(repr=False)  # None: rotation is off, the old one stays good
    scope: str = ""


class AuthServer:
    """Talks to the token endpoint."""

    def __init__(self, app: Works, tls: ssl.SSLContext | None = None) -> None:
        self._app = app
        self._tls = tls

    def authorize_url(self, state: str, challenge: str) -> str:
        """Where a person consents (RFC 6749 §4.1.1, RFC 7636 §4.3).

        It is not known whether Works verifies the challenge. A server that does not know it ignores it
        (RFC 7636 §5), and one that does gives nothing for a code that somebody else's browser brought.
        """
        query = {
            "client_id": self._app.client_id,
            "redirect_uri": self._app.redirect_url,
            "scope": self._app.scope,
            "response_type": "code",
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self._app.auth_url}/authorize?{urlencode(query)}"

    async def redeem(self, code: str, verifier: str) -> Tokens:
        """Tokens for an authorization code and the verifier that its challenge was made of.

        Raises:
            TokenError: the code or the app is refused, or the server cannot be used.
        """
        return await self._ask(
            grant_type="authorization_code",
            code=code,
            code_verifier=verifier,
            redirect_uri=self._app.redirect_url,
        )

    async def refresh(self, refresh_token: str) -> Tokens:
        """A new access token; with rotation on, a new refresh token too, and the old one is dead.

        Raises:
            TokenError: the grant or the app is refused, or the server cannot be used.
        """
        return await self._ask(grant_type="refresh_token", refresh_token=refresh_token)

    async def trade(self, assertion: str, scope: str) -> Tokens:
        """An access token for a service account's assertion (RFC 7523 §2.1).

        Raises:
            TokenError: the assertion or the app is refused, or the server cannot be used.
        """
        return await self._ask(
            grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer", assertion=assertion, scope=scope
        )

    async def revoke(self, token: str, kind: str) -> None:
        """Make a token worthless (RFC 7009 §2.1); one that is so already is no error.

        Args:
            token: a refresh or an access token.
            kind: "refresh_token" or "access_token".

        Raises:
            TokenError: the app is refused, or the server cannot be used.
        """
        status, body = await self._post("revoke", token=token, token_type_hint=kind)
        if status != 200:  # noqa: PLR2004 - HTTP
            raise _refusal(status, read_object(body))

    async def _ask(self, **parameters: str) -> Tokens:
        return _read_tokens(*await self._post("token", **parameters))

    async def _post(self, endpoint: str, **parameters: str) -> tuple[int, bytes]:
        """The status and the body of the answer."""
        form = parameters | {
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret.get_secret_value(),
        }
        import httpx2 as httpx

        url, timeout = f"{self._app.auth_url}/{endpoint}", httpx.Timeout(_PATIENCE, connect=_CONNECT_PATIENCE)
        try:
            async with (
                asyncio.timeout(_LONGEST_CALL),
                await make_client(url, self._app.proxy, timeout, self._tls) as client,
                # httpx encodes the form: an unencoded `+` in a refresh token is a space (Works API §2).
                client.stream("POST", url, data=form) as response,
            ):
                return response.status_code, await _read(response)
        except (httpx.HTTPError, TimeoutError) as error:
            # The class alone: the text may hold what was sent.
            raise TokenError(Failure.TOKEN_UNAVAILABLE, type(error).__name__) from None


async def _read(response: "httpx.Response") -> bytes:
    body = bytearray()
    async for block in response.aiter_bytes():
        body += block
        if len(body) > _LONGEST_ANSWER:
            break
    return bytes(body)


def _read_tokens(status: int, body: bytes) -> Tokens:
    values = read_object(body)
    if status == 200 and isinstance(access := values.get("access_token"), str) and _is_token(access):  # noqa: PLR2004 - HTTP
        refresh, scope = values.get("refresh_token"), values.get("scope")
        return Tokens(
            access,
            read_life(values.get("expires_in")),
            refresh if isinstance(refresh, str) and refresh else None,
            scope if isinstance(scope, str) else "",
        )
    raise _refusal(status, values)


def _is_token(text: str) -> bool:
    # It goes into a header field: anything else would end the field (RFC 6750 §2.1).
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _refusal(status: int, values: dict[str, object]) -> TokenError:
    """Both shapes of errors: RFC 6749 §5.2's and `returnCode` (Works API §2)."""
    error, code = values.get("error"), values.get("returnCode")
    name = error if isinstance(error, str) and error in _NAMES else ""
    shown = name or (code if isinstance(code, str) and _RETURN_CODE.fullmatch(code) else "")
    said = f"HTTP {status} {shown}".strip()
    # Some servers refuse with 200 and an error. With a 5xx, say, the server is not well, or something else
    # answers: whatever it says is no verdict.
    if status in _REFUSALS or status == 200:  # noqa: PLR2004 - HTTP
        if name in _ABOUT_THE_APP:
            return TokenError(Failure.APP_REFUSED, said)
        if name == "invalid_grant":
            return TokenError(Failure.TOKEN_REFUSED, said, final=True)
        # A refusal that is not named is tried again now and then. An answer in neither shape is not the
        # authorization server's.
        if (error or code) and name not in _PASSING:
            return TokenError(Failure.TOKEN_REFUSED, said)
    return TokenError(Failure.TOKEN_UNAVAILABLE, said)


def read_life(value: object) -> float:
    """Seconds an access token lives: in practice a string of digits, by RFC 6749 §5.1 a number."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:  # noqa: PLR2004 - digits enough
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value <= 0:  # noqa: PLR0124 - NaN
        return _USUAL_LIFE
    return float(min(max(value, _SHORTEST_LIFE), _LONGEST_LIFE))  # bounded first: JSON's numbers have no end
