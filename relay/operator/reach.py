"""Whether Works can be reached, in the way in which mail goes there, and what to do if it cannot."""

import os
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from relay.config.fields import join_address
from relay.works.diagnosis import Failure
from relay.works.http.exchange import Exchanges, Timeouts, Unreachable
from relay.works.http.proxy import Proxy

_PATIENCE = 15.0  # seconds
_SERVER_ERROR = 500  # the first status of RFC 9110 §15.6


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, and what to do."""

    problem: str
    remedy: str


def name_place(url: str) -> str:
    """HOST:PORT of a URL."""
    parts = urlsplit(url)
    return join_address(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


async def find_trouble(url: str, proxy: Proxy | None) -> Trouble | None:
    """Connect as sending does, through the proxy and TLS, and send nothing. None: that works."""
    exchanges = Exchanges(timeouts=Timeouts(connect=_PATIENCE), proxy=proxy)
    try:
        broken = await exchanges.connect(urlsplit(url))
    finally:
        await exchanges.aclose()
    if broken is None:
        return None
    match broken.failure:
        case Failure.PROXY_LOGIN:
            return _explain_login(proxy)
        case Failure.PROXY_REFUSED:
            return _explain_refusal(broken.tunnel or 0, name_place(url))
        case Failure.PROXY_NOT_REACHED:
            why = _why(broken.cause) if isinstance(broken.cause, OSError) else "it does not speak HTTP"
            remedy = "check host and port in [works] proxy, and the firewall"
            return Trouble(f"the proxy cannot be used: {why}", remedy)
    return _explain_direct(broken, proxy)


def _explain_login(proxy: Proxy | None) -> Trouble:
    if proxy is not None and proxy.login is not None:
        remedy = "correct the user and password in [works] proxy; it has to take Basic authentication"
        return Trouble("the proxy does not take this user and password (407)", remedy)
    remedy = 'write it into [works] proxy: "http://USER:PASSWORD@HOST:PORT"'
    return Trouble("the proxy wants a login (407)", remedy)


def _explain_refusal(status: int, place: str) -> Trouble:
    if status >= _SERVER_ERROR:
        remedy = "check the URL, and ask whoever runs the proxy why it does not get there"
        return Trouble(f"the proxy cannot reach it ({status})", remedy)
    remedy = f"ask whoever runs the proxy to allow CONNECT to {place}"
    return Trouble(f"the proxy does not permit it ({status})", remedy)


def _explain_direct(broken: Unreachable, proxy: Proxy | None) -> Trouble:
    cause = broken.cause
    if isinstance(cause, ssl.SSLCertVerificationError):
        remedy = (
            "the proxy opens TLS: install its authority on this machine, or exempt this host there"
            if proxy
            else "a proxy that opens TLS? install its authority on this machine"
        )
        return Trouble(f"its certificate is not trusted ({cause.verify_message})", remedy)
    if isinstance(cause, ssl.SSLError):
        return Trouble(f"no TLS: {cause.reason}", "check the URL, and for a proxy in between")
    if isinstance(cause, OSError) and not isinstance(cause, TimeoutError):
        return Trouble(_why(cause), "check the URL, DNS and the firewall")
    return Trouble("does not answer", "a firewall may drop it: allow outgoing TCP to this host")


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer"
    # asyncio's own text is an address in Python's notation; names that cannot be found have numbers below 0.
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return str(error.strerror or error) or "the connection was closed"
