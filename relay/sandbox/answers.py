"""The answers of the simulated Works: its errors, in the shapes that the real one has."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.responses import JSONResponse, Response


# Not frozen: contextlib sets an exception's traceback.
@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """An error answer of the API: `{"code", "description"}` (Works API §4)."""

    status: int
    code: str
    description: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """The answer on the wire."""
        body = {"code": self.code, "description": self.description}
        return JSONResponse(body, self.status, headers=dict(self.headers))


def invalid(description: str) -> Refusal:
    """A property that breaks its rule."""
    return Refusal(400, "INVALID_PARAMETER", description)


def missing(name: str) -> Refusal:
    """A required property that is not there."""
    return Refusal(400, "MISSING_PARAMETER", f"{name} is required")


def unauthorized(error: str, description: str) -> Refusal:
    """401: the cause stands in `www-authenticate` (Works API §4, RFC 6750 §3)."""
    challenge = f'Bearer realm="worksapis", error="{error}", error_description="{description}"'
    return Refusal(401, "UNAUTHORIZED", "Authentication failed", {"www-authenticate": challenge})


@dataclass(eq=False)
class AuthError(Exception):
    """An error answer of the auth server, in one of its two shapes (Works API §2)."""

    error: str  # RFC 6749 §5.2; or the returnCode when `return_code` is set
    description: str
    status: int = 400
    return_code: str = ""

    def response(self, *, return_codes: bool) -> Response:
        """The answer on the wire; `return_codes` turns every error into the second shape."""
        if self.return_code or return_codes:
            body = {"returnCode": self.return_code or "99", "returnMessage": self.error}
        else:
            body = {"error": self.error, "error_description": self.description}
        return JSONResponse(body, self.status, headers={"cache-control": "no-store"})


class BadWish(Exception):  # noqa: N818 - an answer, not an error of ours
    """A request under /sandbox that asks for nothing that there is; the text says what was expected."""

    def response(self) -> Response:
        """The answer on the wire."""
        return JSONResponse({"error": str(self)}, 400)
