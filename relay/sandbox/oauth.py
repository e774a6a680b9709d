"""The auth half of the simulated Works: authorize, the consent page, token, revoke (Works API §2)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from relay.host.browser import parse_form, read_body
from relay.host.texts import mark
from relay.sandbox.answers import AuthError
from relay.sandbox.bots import Bots
from relay.sandbox.faults import Faults
from relay.sandbox.grants import Grants
from relay.sandbox.pages import page
from relay.sandbox.settings import Settings

# What a consent gives, in the words of its page.
SCOPE_MEANINGS = {
    "mail": mark("Read your mailbox, send mail in your name, change forwarding"),
    "mail.read": mark("Read your mailbox"),
    "user.read": mark("See the members of your company"),
    "user.profile.read": mark("See your profile"),
}


@dataclass(frozen=True, slots=True)
class Auth:
    """The routes under /oauth2/v2.0."""

    _settings: Settings
    _grants: Grants
    _faults: Faults
    _bots: Bots

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route("/oauth2/v2.0/authorize", self._authorize, methods=["GET"]),
            Route("/oauth2/v2.0/authorize", self._decide, methods=["POST"]),
            Route("/oauth2/v2.0/token", self._token, methods=["POST"]),
            Route("/oauth2/v2.0/revoke", self._revoke, methods=["POST"]),
        ]

    async def _authorize(self, request: Request) -> Response:
        wish = request.query_params
        if (refused := self._refuse(wish)) is not None:
            return refused
        scopes = wish["scope"].split()
        return page(
            "consent.html",
            client_id=wish["client_id"],
            scopes=[(scope, SCOPE_MEANINGS.get(scope, scope)) for scope in scopes],
            members=[member.login_id for member in self._grants.members],
            open_membership=self._settings.open_membership,
            login_hint=wish.get("login_hint", ""),
            fields={name: wish.get(name, "") for name in _CARRIED},
            # The form's answer sends the browser on to the redirect URL, which the policy must allow.
            form_targets=_origin(wish["redirect_uri"]),
        )

    async def _decide(self, request: Request) -> Response:
        form = await _read_form(request)
        wish = QueryParams({**request.query_params, **form})  # without a browser nobody repeats the query
        if (refused := self._refuse(wish)) is not None:
            return refused
        if form.get("decision") != "allow":
            return _send_back(wish, error="access_denied", error_description="The member said no")
        try:
            member = self._grants.admit(form.get("other", "").strip() or form.get("login_id", ""))
        except AuthError as error:
            return page("problem.html", 400, problem=error.description)
        code = self._grants.issue_code(
            member, tuple(wish["scope"].split()), wish["redirect_uri"], wish.get("code_challenge", "")
        )
        return _send_back(wish, code=code)

    def _refuse(self, wish: Mapping[str, str]) -> Response | None:
        """The answer to a wish about which no member is asked; None if one is."""
        if problem := self._unanswerable(wish):
            return page("problem.html", 400, problem=problem)
        if error := self._find_error(wish):
            return _send_back(wish, error=error.error, error_description=error.description)
        return None

    def _unanswerable(self, wish: Mapping[str, str]) -> str:
        """Why nobody may be sent back to the redirect URL (RFC 6749 §4.1.2.1); "" when one may."""
        if wish.get("client_id") != self._settings.client_id:
            return "client_id is not that of a registered app"
        if not self._grants.accepts_redirect(wish.get("redirect_uri", "")):
            return "redirect_uri is not registered for this app"
        return ""

    def _find_error(self, wish: Mapping[str, str]) -> AuthError | None:
        if wish.get("response_type") != "code":
            return AuthError("unsupported_response_type", "response_type must be code")
        scopes = wish.get("scope", "").split()
        if not scopes or not set(scopes) <= set(self._settings.scopes):
            return AuthError("invalid_scope", "the app does not have this scope")
        challenge, method = wish.get("code_challenge", ""), wish.get("code_challenge_method", "")
        if (challenge or method) and (method != "S256" or not _CHALLENGE.fullmatch(challenge)):
            return AuthError("invalid_request", "code_challenge must be an S256 challenge")
        return None

    async def _token(self, request: Request) -> Response:
        answer = self._grant(await self._read_request(request))
        return JSONResponse(answer, headers={"cache-control": "no-store", "pragma": "no-cache"})

    def _grant(self, form: Mapping[str, str]) -> dict[str, str]:
        match form.get("grant_type"):
            case "authorization_code":
                return self._grants.redeem(
                    form.get("code", ""), form.get("redirect_uri", ""), form.get("code_verifier", "")
                )
            case "refresh_token":
                self._meet_token_death(form.get("refresh_token", ""))
                return self._grants.refresh(form.get("refresh_token", ""))
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                # For the Bot: a service account cannot send mail (Works API §2).
                return self._bots.trade(form.get("assertion", ""), form.get("scope", ""))
            case _:
                raise AuthError("unsupported_grant_type", "grant_type is not supported")

    def _meet_token_death(self, token: str) -> None:
        grant = self._grants.of_refresh_token(token)
        if grant is None:
            return
        death = self._faults.meet("token", grant.member.login_id, "token-death")
        if death is not None:
            self._grants.kill(grant, access_only=death.access_only)

    async def _read_request(self, request: Request) -> dict[str, str]:
        """The form of a request that the app itself makes. Raises AuthError."""
        form, settings = await _read_form(request), self._settings
        if (form.get("client_id"), form.get("client_secret")) != (settings.client_id, settings.client_secret):
            raise AuthError("invalid_client", "client_id or client_secret is wrong", status=401)
        return form

    async def _revoke(self, request: Request) -> Response:
        form = await self._read_request(request)
        self._grants.revoke(form.get("token", ""))
        return Response(status_code=200)


_CARRIED = (
    "client_id", "redirect_uri", "scope", "response_type", "state", "code_challenge", "code_challenge_method"
)  # fmt: skip
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # SHA-256 in Base64url (RFC 7636 §4.2)


async def _read_form(request: Request) -> dict[str, str]:
    """The fields of an `application/x-www-form-urlencoded` body; each may occur once (RFC 6749 §3.2).

    Raises:
        AuthError: it is another kind of body.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise AuthError("invalid_request", "the body must be form-encoded")
    try:
        fields = parse_form(await read_body(request.stream()))
    except ValueError:
        raise AuthError("invalid_request", "the body is malformed or too large") from None
    if len(form := dict(fields)) < len(fields):
        raise AuthError("invalid_request", "a parameter is repeated")
    return form


def _send_back(wish: Mapping[str, str], **answer: str) -> Response:
    if wish.get("state"):
        answer["state"] = wish["state"]
    url = wish["redirect_uri"]
    return RedirectResponse(f"{url}{'&' if '?' in url else '?'}{urlencode(answer)}", 303)


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}"
