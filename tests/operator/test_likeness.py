"""Configurations that should be the same on each node, compared without showing a secret."""

from relay.config.load import build
from relay.operator.likeness import find_differences, fingerprint, name_keys

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def said(key=KEY, secret="s-1", database="db", **tables):
    works = {"client_id": "app", "client_secret": secret}
    spool = {"url": f"postgresql://relay@{database}/relay", "key": key}
    return fingerprint(build({"works": works, "spool": spool, **tables}, environ={}))


def test_what_should_be_the_same_is_compared_key_by_key():
    """Secrets are compared too: with another one the next sender would be refused by Works."""
    account = {"name": "scanner", "address": "scanner@example.com"}
    assert find_differences(said(), said()) == ()
    assert find_differences(said(), said(secret="s-2")) == ("works.client_secret",)
    assert find_differences(said(), said(account=[account])) == ("[[account]]",)
    archive = said(delivery={"always_bcc": ["archive@example.com"], "wait": "5s"})
    assert find_differences(said(), archive) == ("delivery.always_bcc", "delivery.wait")
    assert name_keys(tuple("abcdefg")) == "a, b, c, d, e and 2 more"


def test_what_is_a_machines_own_may_differ():
    """One reached the database by IPv6, and was in trouble for good."""
    own = said(database="[::1]", hostname="b.example.com", listener=[{"address": "[::]:25"}])
    assert find_differences(said(), own) == ()
    assert find_differences(said(), "") == ()  # a node that has not said


def test_nobody_guesses_a_secret_from_what_is_said():
    assert "s-1" not in said()
    other = "MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    assert find_differences(said(), said(key=other)) == ("spool.key",)
