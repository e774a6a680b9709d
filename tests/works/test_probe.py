"""The probe: whether the API works for an account, by a call that costs no message."""

from types import SimpleNamespace

import pytest

from relay.outcome import Action, Cause, Scope
from relay.works.client import Client
from relay.works.http.exchange import Timeouts
from tests.support.works import ACCOUNT, FAST, FixedTokens, Peer, relaying, works_at


async def test_an_account_that_works(tmp_path):
    async with relaying(tmp_path) as (sandbox, client):
        for _ in range(3):
            assert await client.probe(ACCOUNT) is None
        assert (sandbox.counts()["unread_counts"], sandbox.counts()["accepted"]) == (3, 0)
        assert sandbox.counts()["answers"] == {}


@pytest.mark.parametrize(
    ("fault", "wish", "action", "scope"),
    [
        ("429", {"seconds": 30}, Action.DELAYED, Scope.API),
        ("500", {}, Action.DELAYED, Scope.API),
        ("503", {}, Action.DELAYED, Scope.API),
        ("cut-before", {}, Action.DELAYED, Scope.API),
        ("cut-after", {}, Action.DELAYED, Scope.API),
        ("no-answer", {}, Action.DELAYED, Scope.API),
        ("wrong-content-type", {"status": 502}, Action.DELAYED, Scope.API),
        ("wrong-content-type", {"status": 200}, Action.DELAYED, Scope.API),
        ("wrong-content-type", {"status": 400}, Action.DELAYED, Scope.API),
        ("token-death", {}, Action.HELD, Scope.ACCOUNT),
    ],
)
@pytest.mark.parametrize("at", ["mail", "unread-count", "any"])
async def test_each_fault(tmp_path, fault, wish, action, scope, at):
    async with relaying(tmp_path) as (sandbox, client):
        sandbox.add_fault(fault, at=at, **wish)
        outcome = await client.probe(ACCOUNT)
        assert (outcome.action, outcome.scope) == (action, scope)
        if "seconds" not in wish and fault != "token-death":
            assert await client.probe(ACCOUNT) is None


async def test_faults_of_the_send_mail_call_alone_are_not_met(tmp_path):
    async with relaying(tmp_path) as (sandbox, client):
        sandbox.add_fault("503", at="send", times=0)
        assert await client.probe(ACCOUNT) is None


async def test_a_dead_access_token_is_renewed(tmp_path):
    async with relaying(tmp_path) as (sandbox, client):
        sandbox.add_fault("token-death", access_only=True)
        assert await client.probe(ACCOUNT) is None


async def test_trouble_of_the_account(tmp_path):
    async with relaying(tmp_path) as (_, client):
        other = SimpleNamespace(name="scanner", user_id="erp@example.com")
        outcome = await client.probe(other)
        assert (outcome.cause, outcome.scope) == (Cause.FORBIDDEN, Scope.ACCOUNT)
        unknown = SimpleNamespace(name="nobody", user_id="me")
        outcome = await client.probe(unknown)
        assert (outcome.action, outcome.cause) == (Action.HELD, Cause.NO_GRANT)
        assert "nobody" in outcome.reason


async def test_the_request_is_the_documented_one():
    async def count(peer, reader, writer):
        await peer.read_head(reader)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"count":0}')
        await reader.read()

    async with Peer(count).running() as peer:
        client = Client(works_at(peer.port), FixedTokens(), timeouts=FAST)
        assert await client.probe(ACCOUNT) is None
        await client.aclose()
    assert peer.requests[0].startswith(b"GET /v1.0/users/me/mail/unread-count HTTP/1.1\r\n")
    assert b"Authorization: Bearer token-1\r\n" in peer.requests[0]
    assert b"content-length" not in peer.requests[0].lower()


async def test_a_probe_waits_less_long_than_a_message(monkeypatch):
    """A message is waited for three minutes, because to give it up makes duplicates; a probe makes none."""

    async def silent(peer, reader, writer):
        await peer.read_head(reader)
        await reader.read()

    monkeypatch.setattr("relay.works.client._PROBE_PATIENCE", 0.2)
    async with Peer(silent).running() as peer:
        client = Client(works_at(peer.port), FixedTokens(), timeouts=Timeouts())
        outcome = await client.probe(ACCOUNT)
        await client.aclose()
    assert (outcome.action, outcome.cause) == (Action.DELAYED, Cause.UNREACHABLE)
