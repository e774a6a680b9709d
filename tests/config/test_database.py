"""[spool] for a database: its address, and where its password comes from."""

import base64

import pytest

from relay.config.load import ConfigError, build

KEY = base64.b64encode(b"k" * 32).decode()
GOOD = "postgresql://relay@db1.example,db2.example/relay"


def problems(spool):
    with pytest.raises(ConfigError) as caught:
        build({"spool": spool}, {})
    return caught.value.problems


@pytest.mark.parametrize(
    "url", [GOOD, "postgres://relay@[2001:db8::1]:5433/relay", "postgresql:///relay?host=/run/postgresql"]
)
def test_an_address_of_libpq_is_taken_as_it_is(url):
    assert build({"spool": {"url": url, "key": KEY}}, {}).spool.url == url


@pytest.mark.parametrize("url", ["postgresql://db.example", "mysql://relay@db.example/relay", "relay", ""])
def test_another_is_refused_with_an_example(url):
    (said,) = problems({"url": url, "key": KEY})
    assert 'expected "postgresql://USER@HOST/DATABASE"' in said


def test_the_password_comes_from_its_file_the_environment_or_a_credential(tmp_path):
    """As the client secret does: one rule for every secret that may lie in a file."""
    named = tmp_path / "database_password"
    named.write_text("swordfish\n")
    for spool, environ in (
        ({"password": "swordfish"}, {}),
        ({"password_file": str(named)}, {}),
        ({}, {"RELAY_SPOOL__PASSWORD": "swordfish"}),
        ({}, {"RELAY_SPOOL__PASSWORD_FILE": str(named)}),
        ({}, {"CREDENTIALS_DIRECTORY": str(tmp_path)}),
    ):
        config = build({"spool": {"url": GOOD, "key": KEY, **spool}}, environ)
        assert config.spool.password.get_secret_value() == "swordfish"
        assert "swordfish" not in repr(config)


def test_a_database_needs_a_key_for_the_grants():
    """Whoever reads the database, or a backup of it, could send mail by the tokens."""
    (said,) = problems({"url": GOOD})
    assert "key_file is needed with a database: openssl rand -base64 32" in said
    (said,) = problems({"url": GOOD, "key": "short"})
    assert "expected 32 octets in Base64" in said
    assert "short" not in said
