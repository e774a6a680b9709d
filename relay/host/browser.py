"""What a browser sends: where a request comes from, and what a form holds.

A browser sends requests of any site's page with the rights of whoever sits before it. Programs send neither
Origin nor Sec-Fetch-Site; browsers send one of them with everything but a plain GET.
"""

from collections.abc import AsyncIterable, Mapping
from urllib.parse import parse_qsl

READING = frozenset({"GET", "HEAD", "OPTIONS"})  # methods that change nothing (RFC 9110 §9.2.1)
_LARGEST_BODY, _MOST_FIELDS = 64 * 1024, 50  # octets; fields of a form
_OWN = frozenset({"same-origin", "none"})  # "none": a person typed the address (Fetch Metadata §2.1)


def is_from_elsewhere(fields: Mapping[str, str], own_url: str = "") -> bool:
    """Whether the page of another site sends this request.

    Args:
        fields: of the request's header, their names in lower case.
        own_url: by which browsers reach this server, where that is not by its Host field.
    """
    site, origin = fields.get("sec-fetch-site"), fields.get("origin")
    if site is not None:
        return site not in _OWN  # the Origin of a page without referrer is "null", whoever's it is
    hosts = {fields.get("host", ""), own_url.partition("://")[2].partition("/")[0]} - {""}
    return origin is not None and origin.partition("://")[2] not in hosts


async def read_form(body: AsyncIterable[bytes]) -> dict[str, str]:
    """The fields of a form (application/x-www-form-urlencoded); of several with one name the last one.

    Raises:
        ValueError: it is none, or a large one.
    """
    return dict(parse_form(await read_body(body)))


def parse_form(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form with their values, in order. Raises ValueError: it is none."""
    return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)


async def read_body(body: AsyncIterable[bytes]) -> bytes:
    """The octets of a request that is small: a form, or a wish.

    Raises:
        ValueError: it is a large one.
    """
    octets = bytearray()
    async for block in body:
        octets += block
        if len(octets) > _LARGEST_BODY:
            raise ValueError("the body is too large")
    return bytes(octets)
