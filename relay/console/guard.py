"""Who may ask the console, and what goes with every answer.

The console has no login: it listens on loopback, shows no content and changes nothing. A web page
elsewhere could still have a browser ask it under a name of its own (DNS rebinding), so it answers
only when it is asked by an address, by `localhost`, or by a name of the configuration.
"""

import ipaddress
from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_REFUSED = PlainTextResponse(
    "This name is not one of the console's. Ask by its address, or add the name to [console] hosts.\n", 421
)


class Guard:
    """Checks the Host field, and puts security fields on every answer."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(host.lower().rstrip(".") for host in (*hosts, "localhost"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        # One Host field and no other (RFC 9112 §3.2).
        app: ASGIApp = self._app if len(hosts) == 1 and self._knows(hosts[0]) else _REFUSED

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await app(scope, receive, send_guarded)

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
