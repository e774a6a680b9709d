"""The TLS that the relay speaks to Works, made when the first connection needs it.

The HTTP client's library and the authorities' certificates cost 70 ms and 3 MB: what is not needed before the
relay listens does not hold it up.
"""

import asyncio
import ssl
from functools import cache


async def make_context() -> ssl.SSLContext:
    """The context for every connection to Works; made off the event loop, and once.

    Raises:
        ssl.SSLError, OSError: the system's authorities cannot be read.
    """
    return await asyncio.to_thread(_make_context)


@cache
def _make_context() -> ssl.SSLContext:
    import httpx2 as httpx

    # trust_env=False: no key log or certificate of the environment for a bearer token.
    return httpx.create_ssl_context(trust_env=False)
