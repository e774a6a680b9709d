"""Members, consents and tokens of the simulated Works (Works API §2)."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from relay.sandbox.answers import AuthError, unauthorized
from relay.sandbox.settings import Clock, Settings

# No fragment (RFC 6749 §3.1.2), and nothing that means something in a header field.
_LOOPBACK_URL = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?(/[\w.~/?&=%+-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the domain: the owner of a mailbox."""

    login_id: str  # an address
    user_id: str

    @property
    def domain(self) -> str:
        """The domain of the login ID, lower case."""
        return self.login_id.rpartition("@")[2].lower()


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code: once, for ten minutes."""

    member: Member
    scopes: tuple[str, ...]
    redirect_url: str
    expires: float  # epoch seconds
    challenge: str = ""  # S256 (RFC 7636 §4.2); "": the request had none


@dataclass(slots=True)
class Grant:
    """What one consent gave: the tokens that stand for it now."""

    member: Member
    scopes: tuple[str, ...]
    issued: float  # epoch seconds
    refresh_token: str = ""
    refresh_expires: float = 0.0
    access_tokens: dict[str, float] = field(default_factory=dict)  # token → expiry, epoch seconds
    refreshes: int = 0


class Grants:
    """Everything that the auth server knows."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._members: dict[str, Member] = {}
        self._codes: dict[str, Code] = {}
        self._by_refresh: dict[str, Grant] = {}
        self._by_access: dict[str, Grant] = {}
        for login_id in settings.members:
            self._enrol(login_id)

    def _enrol(self, login_id: str) -> Member:
        # Stable over restarts, so that a relay.toml can name it.
        digest = base64.b32encode(login_id.lower().encode()).decode().rstrip("=").lower()
        member = Member(login_id, f"u-{digest}")
        self._members[login_id.lower()] = member
        return member

    @property
    def members(self) -> tuple[Member, ...]:
        """All members, in the order they came."""
        return tuple(self._members.values())

    @property
    def grants(self) -> tuple[Grant, ...]:
        """All grants that still have a refresh token."""
        return tuple(self._by_refresh.values())

    def find(self, user: str) -> Member | None:
        """The member with this login ID or member ID."""
        by_login = self._members.get(user.lower())
        return by_login or next((one for one in self._members.values() if one.user_id == user), None)

    def admit(self, login_id: str) -> Member:
        """The member who says yes on the consent page.

        Raises:
            AuthError: nobody of that login ID, and the membership is closed.
        """
        member = self.find(login_id)
        if member is not None:
            return member
        local, at, domain = login_id.rpartition("@")
        if not (self._settings.open_membership and local and at and "." in domain and " " not in login_id):
            raise AuthError("access_denied", f"{login_id!r} is not a member's login ID")
        return self._enrol(login_id)

    def accepts_redirect(self, url: str) -> bool:
        """Whether the Developer Console would know this redirect URL."""
        if self._settings.redirect_urls:
            return url in self._settings.redirect_urls
        return _LOOPBACK_URL.fullmatch(url) is not None

    def issue_code(
        self, member: Member, scopes: tuple[str, ...], redirect_url: str, challenge: str = ""
    ) -> str:
        """A fresh authorization code."""
        code = secrets.token_urlsafe(24)
        expires = self._clock.now() + self._settings.code_life
        self._codes[code] = Code(member, scopes, redirect_url, expires, challenge)
        return code

    def redeem(self, code: str, redirect_url: str, verifier: str = "") -> dict[str, str]:
        """The token endpoint's answer to a code.

        Raises:
            AuthError: the code is unknown, used, old, was meant for another redirect URL, or its challenge
                was made of another verifier (RFC 7636 §4.6).
        """
        known = self._codes.pop(code, None)
        if known is None or self._clock.now() >= known.expires:
            raise AuthError("invalid_grant", "the authorization code is unknown, used or expired")
        if known.redirect_url != redirect_url:
            raise AuthError("invalid_grant", "redirect_uri is not the one that the code was issued for")
        # A verifier without a challenge is another request's (RFC 9700 §4.8.2).
        has_proof = known.challenge or verifier
        if has_proof and not hmac.compare_digest(_challenge(verifier), known.challenge):
            raise AuthError("invalid_grant", "code_verifier does not fit the code_challenge")
        return self.issue(known.member, known.scopes)

    def issue(self, member: Member, scopes: tuple[str, ...]) -> dict[str, str]:
        """A new grant, in the token endpoint's answer shape."""
        grant = Grant(member, scopes, self._clock.now())
        self._give_refresh_token(grant)
        return self._answer(grant, refresh_token=grant.refresh_token)

    def refresh(self, token: str) -> dict[str, str]:
        """The token endpoint's answer to a refresh token.

        Raises:
            AuthError: the token is unknown, dead or expired; or its `+` came unencoded.
        """
        # Form decoding turned an unencoded "+" into a space; this is how Works answers that.
        if " " in token:
            raise AuthError("UnexpectedError", "", return_code="99")
        grant = self._by_refresh.get(token)
        if grant is None or self._clock.now() >= grant.refresh_expires:
            raise AuthError("invalid_grant", "the refresh token is unknown, revoked or expired")
        grant.refreshes += 1
        if not self._settings.rotation:
            return self._answer(grant)
        del self._by_refresh[token]
        self._give_refresh_token(grant)
        return self._answer(grant, refresh_token=grant.refresh_token)

    def _give_refresh_token(self, grant: Grant) -> None:
        # All three characters that want encoding in a form, every time: + / =
        raw = base64.b64encode(secrets.token_bytes(46)).decode()
        grant.refresh_token = f"{raw[:20]}+{raw[20:40]}/{raw[40:]}"
        grant.refresh_expires = self._clock.now() + self._settings.refresh_token_life
        self._by_refresh[grant.refresh_token] = grant

    def _answer(self, grant: Grant, **more: str) -> dict[str, str]:
        token = f"{secrets.token_urlsafe(40)}"
        now = self._clock.now()
        for old in [old for old, expires in grant.access_tokens.items() if expires < now]:
            del grant.access_tokens[old]
            self._by_access.pop(old, None)
        grant.access_tokens[token] = now + self._settings.access_token_life
        self._by_access[token] = grant
        return {
            "access_token": token,
            **more,
            "token_type": "Bearer",
            # A string, as the real one gives it.
            "expires_in": str(self._settings.access_token_life),
            "scope": " ".join(grant.scopes),
        }

    def authenticate(self, authorization: str) -> Grant:
        """Whose access token this `Authorization` field carries.

        Raises:
            Refusal: 401, with the cause in `www-authenticate`.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthorized("invalid_request", "The access token is missing")
        grant = self._by_access.get(token)
        if grant is None:
            raise unauthorized("invalid_token", "The access token is invalid")
        if self._clock.now() >= grant.access_tokens[token]:
            raise unauthorized("invalid_token", "The access token expired")
        return grant

    def of_refresh_token(self, token: str) -> Grant | None:
        """The living grant that this refresh token stands for."""
        return self._by_refresh.get(token)

    def kill(self, grant: Grant, *, access_only: bool = False) -> None:
        """Let a grant's tokens die at once, as a member's password change does."""
        for token in grant.access_tokens:
            self._by_access.pop(token, None)
        grant.access_tokens.clear()
        if not access_only:
            self._by_refresh.pop(grant.refresh_token, None)

    def revoke(self, token: str) -> None:
        """Forget a token of either kind; an unknown one is no error (RFC 7009 §2.2)."""
        if grant := self._by_refresh.get(token):
            self.kill(grant)
        elif grant := self._by_access.pop(token, None):
            grant.access_tokens.pop(token, None)


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
