"""Where a browser says that a request comes from.

A browser sends requests of any site's page with the rights of whoever sits before it. Programs send neither
Origin nor Sec-Fetch-Site; browsers send one of them with everything but a plain GET.
"""

from collections.abc import Mapping

READING = frozenset({"GET", "HEAD", "OPTIONS"})  # methods that change nothing (RFC 9110 §9.2.1)
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
