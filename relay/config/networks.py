"""Addresses and networks of clients: how they are read, and which are private."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
# Addresses whose reading is remembered: it takes longer than a command of theirs.
_MOST_ADDRESSES = 1_000


@lru_cache(_MOST_ADDRESSES)
def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address, IPv4 in IPv6's clothes as IPv4; None if it is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def find_wide(networks: tuple[Network, ...]) -> str:
    """Those of them that strangers are in, for a sentence; "" if there are none."""
    return ", ".join(str(n) for n in networks if not (n.is_loopback or n.is_private))
