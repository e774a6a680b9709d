"""The app's service account, and the one Bot that it may speak through (Works API §7)."""

import base64
import json
import secrets
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from relay.sandbox.answers import AuthError, Refusal, invalid, missing, unauthorized
from relay.sandbox.settings import Clock, Settings

SERVICE_ACCOUNT = "relay.serviceaccount@example.com"
BOT_ID, CHANNEL = "2000001", "aaaaaaaa-0000-4000-8000-000000000001"
SCOPES = ("bot", "bot.message")
_KEY_BITS = 2048
_LONGEST_LIFE, _SKEW = 3600.0, 60.0  # seconds: of an assertion (Works API §7), and by which clocks differ
_LARGEST = 64 * 1024  # octets of a message's body
_LONGEST_TEXT = 2000  # characters


class Bots:
    """What the Bot said, and who may let it speak."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._tokens: dict[str, float] = {}  # and when each ends, in seconds since the epoch
        self.said: list[dict[str, Any]] = []

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        """The service account's, as the Developer Console gives it out once."""
        return rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route("/v1.0/bots/{bot}/channels/{channel}/messages", self._take, methods=["POST"]),
            Route("/sandbox/bot", self._show, methods=["GET"]),
        ]

    def describe(self) -> dict[str, str]:
        """What `[alert]` needs, with the key itself."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "bot_id": BOT_ID,
            "channel": CHANNEL,
            "service_account": SERVICE_ACCOUNT,
            "private_key": pem.decode(),
        }

    def trade(self, assertion: str, scope: str) -> dict[str, str]:
        """The token endpoint's answer to an assertion (RFC 7523 §2.1).

        Raises:
            AuthError: it is not the service account's, or it is old.
        """
        claims = self._read(assertion)
        now, issued, expires = self._clock.now(), claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int) or not isinstance(expires, int):
            raise AuthError("invalid_grant", "iat and exp must be numbers")
        if not now - _SKEW < expires <= issued + _LONGEST_LIFE or issued > now + _SKEW:
            raise AuthError("invalid_grant", "the assertion is expired, or lives for too long")
        if (claims.get("iss"), claims.get("sub")) != (self._settings.client_id, SERVICE_ACCOUNT):
            raise AuthError("invalid_grant", "iss or sub is not the app's")
        if scope not in SCOPES:
            raise AuthError("invalid_scope", "a service account has the scopes bot and bot.message")
        token = secrets.token_urlsafe(40)
        self._tokens[token] = now + self._settings.access_token_life
        life = str(self._settings.access_token_life)
        return {"access_token": token, "token_type": "Bearer", "expires_in": life, "scope": scope}

    def _read(self, assertion: str) -> dict[str, Any]:
        signed, _, signature = assertion.rpartition(".")
        try:
            header, claims = (json.loads(_decode(part)) for part in signed.split("."))
            if header.get("alg") != "RS256" or not isinstance(claims, dict):
                raise AuthError("invalid_grant", "the assertion must be signed by RS256")
            public = self.key.public_key()
            public.verify(_decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, AttributeError, InvalidSignature):
            raise AuthError("invalid_grant", "the assertion is not one") from None
        return claims

    async def _take(self, request: Request) -> Response:
        self._authenticate(request.headers.get("authorization", ""))
        _find_channel(request.path_params["bot"], request.path_params["channel"])
        text = _read_text(await request.body())
        self.said.append({"time": self._clock.now(), "channel": CHANNEL, "text": text})
        return JSONResponse({}, 201)

    def _authenticate(self, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or self._clock.now() >= self._tokens.get(token, 0.0):
            raise unauthorized("invalid_token", "The access token is invalid")

    async def _show(self, _: Request) -> Response:
        """The account and its key, for a configuration, and what the Bot said."""
        return JSONResponse(self.describe() | {"said": self.said})


def _find_channel(bot: str, channel: str) -> None:
    if (bot, channel) != (BOT_ID, CHANNEL):
        raise Refusal(404, "NOT_FOUND", "The bot or the channel does not exist")


def _read_text(body: bytes) -> str:
    """What is to be said.

    Raises:
        Refusal: 400, it is not a message.
    """
    if len(body) > _LARGEST:
        raise invalid("The body is too large")
    try:
        message = json.loads(body)
    except ValueError:
        raise invalid("The body is not JSON") from None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, dict) or content.get("type") != "text":
        raise invalid("content.type must be text here")
    text = content.get("text")
    if not isinstance(text, str) or not text:
        raise missing("content.text")
    if len(text) > _LONGEST_TEXT:
        raise invalid("content.text is too long")
    return text


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
