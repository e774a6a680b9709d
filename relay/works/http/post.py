"""One JSON object, POSTed to somebody; for calls that are minutes or hours apart."""

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from relay.works.http.client import make_client

_PATIENCE, _LONGEST_CALL = 15.0, 30.0  # seconds, with each step and in all


class PostError(Exception):
    """It was not answered. The text has nothing of the URL in it, which may be a secret."""


async def post_json(url: str, value: Any, proxy: SecretStr, headers: Mapping[str, str] | None = None) -> int:
    """POST it, and give the status of the answer.

    Args:
        url: where to; redirects are not followed.
        value: the JSON value.
        proxy: [works] proxy.
        headers: header fields beside those of JSON.

    Raises:
        PostError: there was no answer.
    """
    import httpx2 as httpx

    try:
        async with (
            asyncio.timeout(_LONGEST_CALL),
            await make_client(url, proxy, _PATIENCE) as client,
            client.stream("POST", url, json=value, headers=dict(headers or {})) as response,
        ):
            return response.status_code
    except TimeoutError:
        raise PostError(f"no answer in {_LONGEST_CALL:.0f} seconds") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        # The class alone: the text may name the URL.
        raise PostError(f"no answer ({type(error).__name__})") from None
