"""Who may ask the console, and what goes with every answer.

A web page elsewhere could have a browser ask it under a name of its own (DNS rebinding), so it answers only
when it is asked by an address, by `localhost`, or by a name of the configuration. And such a page could have
a browser send a form, with the cookie of whoever is logged in there: what changes something is taken from the
console's own pages only.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.host.browser import READING, is_from_elsewhere

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Without it the Origin of the console's own forms is "null" (Fetch §3.2), as that of any other page may
    # be.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_UNKNOWN_NAME = PlainTextResponse(
    "This name is not one of the console's. Ask by its address, or add the name to [console] hosts.\n", 421
)
_ELSEWHERE = PlainTextResponse("This came from the page of another site, and nothing was changed.\n", 403)


class Guard:
    """Checks the Host field and where a change comes from, and puts security fields on every answer.

    Args:
        app: whose answers they are.
        hosts: names by which it may be asked, beside addresses and localhost.
        url: by which browsers reach it, where that is not by the Host field.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = (), url: str = "") -> None:
        self._app = app
        names = (*hosts, urlsplit(url).hostname or "", "localhost")
        self._hosts = frozenset(name.lower().rstrip(".") for name in names if name)
        self._url = url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._choose(scope)(scope, receive, send_guarded)

    def _choose(self, scope: Scope) -> ASGIApp:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        # One Host field and no other (RFC 9112 §3.2).
        if len(hosts) != 1 or not self._knows(hosts[0]):
            return _UNKNOWN_NAME
        if scope["method"] not in READING and is_from_elsewhere(Headers(scope=scope), self._url):
            return _ELSEWHERE
        return self._app

    def _knows(self, field: str) -> bool:
        host = _host(field)
        # A rebinding attack needs a name: an address is asked for by whoever typed it.
        return host.lower().rstrip(".") in self._hosts or _is_address(host)


def _host(field: str) -> str:
    """The host of a Host field, without its port and an IPv6 address's brackets."""
    if field.startswith("["):
        return field[1:].partition("]")[0]
    return field.partition(":")[0]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
