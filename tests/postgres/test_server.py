"""The address of a database: no mail crosses a network in plain text, and no password is shown."""

import pytest

from relay.postgres.server import Address, connect
from relay.spool import SpoolError


@pytest.mark.parametrize(
    "url",
    ["postgresql://relay@db.example/relay", "postgresql://relay@localhost,db.example/relay"],
)
def test_a_server_across_the_network_proves_who_it_is(url):
    given = Address(url).parameters()
    assert given["sslmode"] == "verify-full"
    assert given["sslrootcert"]


@pytest.mark.parametrize("mode", ["disable", "prefer", "require", "verify-ca"])
def test_less_than_that_is_refused(mode):
    with pytest.raises(SpoolError, match="sslmode"):
        Address(f"postgresql://relay@db.example/relay?sslmode={mode}").parameters()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///relay",
        "postgresql:///relay?host=/run/postgresql",
        "postgresql://relay@localhost/relay",
        "postgresql://relay@127.0.0.1:5433/relay",
        "postgresql://relay@[::1]/relay",
    ],
)
def test_no_network_needs_no_tls(url):
    assert "sslmode" not in Address(url).parameters()


def test_the_password_is_handed_over_and_not_shown():
    address = Address("postgresql://relay@localhost/relay", "swordfish")
    assert address.parameters()["password"] == "swordfish"
    assert "swordfish" not in repr(address)


async def test_each_host_says_why_it_was_not_reached():
    """Only the last one did, and the first one may have refused the password."""
    with pytest.raises(SpoolError, match=r"^the database: connection to .*/first/.*; .*/second/.*"):
        await connect(Address("postgresql:///relay?user=relay&host=/nowhere/first,/nowhere/second"))
