"""Requests of other sites' pages that change something are refused."""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.host.browser import READING, is_from_elsewhere

_REFUSED = JSONResponse({"error": "this came from the page of another site"}, 403)
_NOT_JSON = JSONResponse({"error": "expected Content-Type: application/json"}, 415)


class OwnSite:
    """Lets requests through to `app` that change something only if they do not come from another site."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        app = self._app
        if scope["type"] == "http" and scope["method"] not in READING:
            headers = Headers(scope=scope)
            if is_from_elsewhere(headers):
                app = _REFUSED
            elif _is_wish(scope) and not _is_json(headers):
                # A form can send other types to any site without asking first (Fetch §4.10).
                app = _NOT_JSON
        await app(scope, receive, send)


def _is_wish(scope: Scope) -> bool:
    return scope["method"] == "POST" and str(scope["path"]).startswith("/sandbox/")


def _is_json(headers: Headers) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
