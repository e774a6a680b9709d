"""Client, authorizer and pacing together against the simulated Works and its faults."""

import asyncio
import json
import logging
from types import SimpleNamespace

import pytest

from relay.outcome import Action, Scope
from relay.works.auth.files import GrantFiles
from relay.works.pace.pacing import Pacing
from tests.support.works import ACCOUNT, Body, content_of, grant_of, mail, relaying


@pytest.mark.parametrize(
    ("fault", "wish", "action", "scope"),
    [
        ("429", {"seconds": 30}, Action.DELAYED, Scope.API),
        ("500", {}, Action.UNKNOWN, Scope.MESSAGE),
        ("500", {"accepted": True}, Action.UNKNOWN, Scope.MESSAGE),
        ("503", {}, Action.DELAYED, Scope.MESSAGE),
        ("cut-after", {}, Action.UNKNOWN, Scope.MESSAGE),
        ("no-answer", {}, Action.UNKNOWN, Scope.MESSAGE),
        ("wrong-content-type", {"status": 502}, Action.UNKNOWN, Scope.MESSAGE),
        ("wrong-content-type", {"status": 200}, Action.UNKNOWN, Scope.MESSAGE),
        ("wrong-content-type", {"status": 202, "accepted": True}, Action.RELAYED, Scope.MESSAGE),
        ("token-death", {}, Action.HELD, Scope.ACCOUNT),
        ("token-death", {"access_only": True}, Action.RELAYED, Scope.MESSAGE),
    ],
)
async def test_each_fault(tmp_path, fault, wish, action, scope):
    async with relaying(tmp_path) as (sandbox, client):
        sandbox.add_fault(fault, **wish)
        outcome = await client.send(ACCOUNT, mail(), content_of())
        assert (outcome.action, outcome.scope) == (action, scope)
        taken = len(sandbox.messages)
        assert taken <= 1
        # Nothing that was taken is ever called certainly not taken.
        assert not taken or outcome.may_have_been_taken


@pytest.mark.parametrize("fault", ["cut-before", "cut-in"])
@pytest.mark.parametrize("size", [10, 5_000_000])
async def test_cut_in_the_body_never_makes_two(tmp_path, fault, size):
    async with relaying(tmp_path) as (sandbox, client):
        sandbox.add_fault(fault)
        outcome = await client.send(ACCOUNT, mail(body="x" * size), content_of())
        if size > 1_000_000:
            assert outcome.action is Action.RELAYED  # certain, so tried again at once
            assert len(sandbox.messages) == 1
        else:  # the kernel had all of it: nobody can know
            assert outcome.action is Action.UNKNOWN or len(sandbox.messages) == 1


async def test_a_small_latency_is_waited_for(tmp_path):
    async with relaying(tmp_path) as (sandbox, client):
        sandbox.add_fault("latency", seconds=0.3)
        assert (await client.send(ACCOUNT, mail(), content_of())).action is Action.RELAYED


@pytest.mark.parametrize(
    ("settings", "more", "action", "status"),
    [
        ({}, {"subject": ""}, Action.FAILED, "5.6.0"),
        ({}, {"to": ""}, Action.FAILED, "5.6.0"),
        (
            {"mails_per_minute": 0, "recipients_per_day": 1},
            {"to": "a@b.example; c@d.example"},
            Action.HELD,
            "4.7.0",
        ),
    ],
)
async def test_refusals_of_the_documentation(tmp_path, settings, more, action, status):
    async with relaying(tmp_path, **settings) as (_, client):
        outcome = await client.send(ACCOUNT, mail(**more), content_of())
        assert (outcome.action, outcome.status) == (action, status)
        assert outcome.code


async def test_another_mailbox_and_a_wrong_address(tmp_path):
    async with relaying(tmp_path) as (_, client):
        other = SimpleNamespace(name="scanner", user_id="erp@example.com")
        outcome = await client.send(other, mail(), content_of())
        assert (outcome.action, outcome.if_repeated) == (Action.DELAYED, Scope.ACCOUNT)
        client._api_url += "x"
        assert (await client.send(ACCOUNT, mail(), content_of())).action is Action.HELD


async def test_nothing_secret_in_the_log(tmp_path, caplog):
    """At the lowest level, with everything that the libraries say."""
    caplog.set_level(logging.DEBUG)
    async with relaying(tmp_path) as (sandbox, client):
        grant = GrantFiles(tmp_path).read("scanner")
        sandbox.add_fault("token-death", access_only=True)
        await client.send(ACCOUNT, mail(subject="canary-subject"), content_of())
        sandbox.add_fault("cut-after")
        await client.send(ACCOUNT, mail(subject="canary-subject"), content_of())
        later = GrantFiles(tmp_path).read("scanner")
    said = caplog.text + json.dumps([str(record.__dict__) for record in caplog.records])
    tokens = (grant.access_token, later.access_token, grant.refresh_token)
    for secret in (*tokens, "sandbox-secret", "canary-subject", "a@example.com"):
        assert secret not in said


async def test_a_burst_is_paced_without_a_429(tmp_path):
    """150 at once over three mailboxes; the clocks of relay and sandbox are moved together."""
    async with relaying(tmp_path, requests_per_minute=60, mails_per_minute=30) as (sandbox, client):
        names = ("scanner", "erp", "info")
        limits = SimpleNamespace(mails_per_minute=30, recipients_per_day=0)
        for name in names:
            GrantFiles(tmp_path).write(name, grant_of(sandbox.issue_grant(f"{name}@example.com")))
        pacing = Pacing(60, dict.fromkeys(names, limits), sandbox.clock.now)
        began = sandbox.clock.now()
        left = dict.fromkeys(names, 50)

        async def one(name, slot):
            with slot:
                slot.bind(1)
                account = SimpleNamespace(name=name, user_id="me")
                outcome = await client.send(account, mail(), content_of(), budget=slot)
                assert outcome.action is Action.RELAYED

        while any(left.values()):
            slots = [(name, slot) for name in list(left) if left[name] and (slot := pacing.take(name))]
            for name, _ in slots:
                left[name] = left.pop(name) - 1
            await asyncio.gather(*[one(name, slot) for name, slot in slots])
            if not slots:
                sandbox.clock.move(max(0.01, min(pacing.next_free(name) for name in left if left[name])))
        assert sandbox.counts()["answers"] == {"202": 150}
        assert (sandbox.clock.now() - began) / 60 <= 150 / 60 / 0.95


async def test_a_large_body_of_many_blocks(tmp_path):
    async with relaying(tmp_path) as (sandbox, client):
        octets = mail(body="é" * 3_000_000).octets
        assert (await client.send(ACCOUNT, Body(octets), content_of())).action is Action.RELAYED
        assert sandbox.messages[0].size == len(octets)
