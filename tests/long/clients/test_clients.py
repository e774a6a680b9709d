"""The client programs that the gate installs; `python -m tests.long.clients --install` runs all."""

import pytest

from tests.long.clients.clients import ROOT, read_clients, run_client, running_relay

CLIENTS = read_clients()
# tests/e2e has swaks, msmtp and curl with more than a plain message, tests/cli PHP and git by sendmail.
SHORT = ("git-send-email", "perl-net-smtp", "python-logging", "flask-mail")


@pytest.fixture(scope="module")
def relay():
    with running_relay() as one:
        yield one


@pytest.mark.parametrize("name", SHORT)
def test_client(name, relay, tmp_path):
    if not CLIENTS[name].is_here():
        pytest.skip(f"NOT TESTED: this client wants {CLIENTS[name].needs}")
    assert run_client(CLIENTS[name], relay, tmp_path) == ""


def test_there_are_thirty():
    """Each says what it needs, so that it can be had."""
    assert len(CLIENTS) >= 30
    assert all(client.needs for client in CLIENTS.values())


def test_the_page_names_each_of_them():
    page = (ROOT / "docs/programs.md").read_text(encoding="utf-8")
    listed = page[page.index("<!-- clients -->") : page.index("<!-- /clients -->")].partition("-->")[2]
    assert [word.strip() for word in listed.split(",")] == sorted(CLIENTS)
