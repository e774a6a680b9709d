"""Which networks are private: the same on every release of Python, whatever its `ipaddress` says."""

from ipaddress import ip_network

import pytest

from relay.config.load import ConfigError, build
from relay.config.networks import is_link_local, is_loopback, is_private, read_address
from tests.support.at_once import at_once

PRIVATE = [
    "127.0.0.0/8", "127.0.0.1/32", "::1/128",
    "10.0.0.0/8", "10.1.2.0/24", "172.16.0.0/12", "172.31.255.255/32", "192.168.0.0/16", "192.168.1.50/32",
    "169.254.0.0/16", "169.254.7.7/32", "fe80::/10", "fe80::1/128", "febf::/16",
    "fc00::/7", "fd12:3456:789a::/48", "fdff::/16",
]  # fmt: skip
PUBLIC = [
    # Everybody, and networks that hold a private one and more.
    "0.0.0.0/0", "::/0", "8.0.0.0/5", "172.0.0.0/8", "192.168.0.0/15", "126.0.0.0/7", "::/127", "fc00::/6",
    "fe00::/7", "8.8.8.0/24", "2000::/3", "2a00::/16", "172.32.0.0/12", "192.169.0.0/16", "169.253.0.0/16",
    "fec0::/10",
    # Each holds every IPv4 address of the world. `ipaddress` calls 2002::/16 private in 3.13.0
    # and not in 3.11.7; 2001::/32 and ::ffff:0:0/96 in all of them.
    "2002::/16", "2002:a00:1::/48", "2001::/32", "64:ff9b::/96", "64:ff9b:1::/48",
    "::ffff:0:0/96", "::ffff:10.0.0.0/104", "::ffff:127.0.0.1/128",
    # Shared by the customers of a provider (RFC 6598).
    "100.64.0.0/10",
    # No client's: this network, documentation, benchmarks, the future, protocols.
    "0.0.0.0/8", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20",
    "198.18.0.0/15", "240.0.0.0/4", "255.255.255.255/32", "192.0.0.0/24", "2001::/23", "100::/64", "::/128",
]  # fmt: skip


def loads(**listener):
    try:
        build({"listener": [{"address": "0.0.0.0:25", **listener}]}, {})
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("network", PRIVATE)
def test_private_networks_are_private(network):
    assert is_private(ip_network(network))
    assert is_private(ip_network(network)[0])
    assert loads(networks=[network], auth="off")


@at_once
@pytest.mark.parametrize("network", PUBLIC)
def test_all_other_networks_are_not(network):
    """Without a login such a listener is an open relay: 2001::/32 (Teredo) was one on every Python."""
    assert not is_private(ip_network(network))
    for auth in ("off", "optional"):
        assert not loads(networks=[network], auth=auth)
        assert not loads(proxy_networks=[network], auth=auth)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.168.1.7", "192.168.1.7"),
        ("::ffff:192.168.1.7", "192.168.1.7"),
        ("::FFFF:c0a8:107", "192.168.1.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("FD00:0::1", "fd00::1"),
        ("2002:c0a8:107::1", "2002:c0a8:107::1"),
        ("64:ff9b::c0a8:107", "64:ff9b::c0a8:107"),
    ],
)
def test_an_address_is_read_in_one_way(text, address):
    assert str(read_address(text)) == address


@pytest.mark.parametrize(
    "text", ["", "printer", "192.168.1", "192.168.1.0/24", "010.0.0.1", "[::1]", "::1::"]
)
def test_what_is_no_address_is_none(text):
    assert read_address(text) is None


def test_a_device_is_named_as_its_client_is():
    """A device that was written as ::ffff:192.168.1.50 could be loaded and never matched a client."""
    (device,) = build({"device": [{"address": "::ffff:192.168.1.50"}]}, {}).device
    assert device.address == "192.168.1.50"


@pytest.mark.parametrize(
    "address", ["2002:c0a8:107::1", "2001:0:1::1", "64:ff9b::c0a8:107", "::ffff:8.8.8.8", "100.64.0.1"]
)
def test_a_device_of_strangers_has_to_log_in(address):
    with pytest.raises(ConfigError, match="expected a private address"):
        build({"device": [{"address": address}]}, {})


def test_loopback_and_link_local():
    loopback, link_local = ["127.9.9.9", "::1", "::ffff:127.0.0.1"], ["169.254.1.1", "fe80::1%lo"]
    every = [*loopback, *link_local, "10.0.0.1", "::2", "fec0::1"]
    assert [a for a in every if is_loopback(read_address(a))] == loopback
    assert [a for a in every if is_link_local(read_address(a))] == link_local
