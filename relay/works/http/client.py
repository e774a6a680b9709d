"""The HTTP client for everything but the mail API's calls: tokens, whose mailbox it is, alerts."""

import ssl
from typing import TYPE_CHECKING

from pydantic import SecretStr

from relay.works.http.proxy import Proxy
from relay.works.http.tls import make_context

if TYPE_CHECKING:
    import httpx2 as httpx


async def make_client(
    url: str, proxy: SecretStr, patience: "float | httpx.Timeout", tls: ssl.SSLContext | None = None
) -> "httpx.AsyncClient":
    """A client for calls that are minutes or hours apart: each has a connection of its own.

    Nothing of the environment changes what it does.

    Args:
        url: what will be asked; with https it goes through the proxy.
        proxy: [works] proxy.
        patience: with each step, in seconds.
        tls: None: the system's authorities.

    Raises:
        ssl.SSLError, OSError: they cannot be read.
    """
    tls = tls or await make_context()
    import httpx2 as httpx  # late: it takes a tenth of a second

    through = Proxy.to(url, proxy)
    return httpx.AsyncClient(
        verify=tls,
        trust_env=False,
        timeout=patience,
        limits=httpx.Limits(max_keepalive_connections=0),
        proxy=None if through is None else through.for_httpx(),
    )
