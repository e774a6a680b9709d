"""Addresses and networks of clients: how they are read, and which are private."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# Addresses whose reading is remembered: it takes longer than a command of theirs.
_MOST_ADDRESSES = 1_000

_LOOPBACK = (
    ip_network("127.0.0.0/8"),  # RFC 1122 §3.2.1.3
    ip_network("::1/128"),  # RFC 4291 §2.5.3
)
_LINK_LOCAL = (
    ip_network("169.254.0.0/16"),  # RFC 3927
    ip_network("fe80::/10"),  # RFC 4291 §2.5.6
)
# Networks that only this machine, its link and its own organization are in, from the IANA's registries of
# special-purpose addresses. The list is ours because the interpreter's changes: `is_private` of ipaddress
# differs from one release of Python to the next, and counts networks that strangers are in. Left out:
# - 100.64.0.0/10 (RFC 6598): a provider's customers share it, and each can reach the others;
# - 2002::/16 (6to4, RFC 3056), 2001::/32 (Teredo, RFC 4380), 64:ff9b::/96 (NAT64, RFC 6052) and ::ffff:0:0/96
#   (IPv4-mapped, RFC 4291 §2.5.5.2): each holds every IPv4 address;
# - networks for documentation, benchmarks and future use: no client comes from there.
_PRIVATE = (
    *_LOOPBACK,
    *_LINK_LOCAL,
    ip_network("10.0.0.0/8"),  # RFC 1918
    ip_network("172.16.0.0/12"),  # RFC 1918
    ip_network("192.168.0.0/16"),  # RFC 1918
    ip_network("fc00::/7"),  # RFC 4193
)


@lru_cache(_MOST_ADDRESSES)
def read_address(text: str) -> Address | None:
    """The address without its zone; an IPv4-mapped IPv6 address as IPv4. None if the text is no address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def is_loopback(address: Address) -> bool:
    """Whether only this machine has this address."""
    return any(address in network for network in _LOOPBACK)


def names_loopback(host: str) -> bool:
    """Whether a host of a URL, an address or a name, is this machine by a loopback address."""
    address = read_address(host)
    return host.lower() == "localhost" or (address is not None and is_loopback(address))


def is_link_local(address: Address) -> bool:
    """Whether this address means something on its own link only."""
    return any(address in network for network in _LINK_LOCAL)


def is_private(place: Address | Network) -> bool:
    """Whether this address, or every address of this network, is loopback, link-local or private."""
    network = ip_network(place) if isinstance(place, IPv4Address | IPv6Address) else place
    return any(_lies_in(network, private) for private in _PRIVATE)


def find_wide(networks: tuple[Network, ...]) -> str:
    """Those of the networks that strangers are in, joined by commas; "" if there are none."""
    return ", ".join(str(network) for network in networks if not is_private(network))


def _lies_in(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)
