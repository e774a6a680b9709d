"""Sessions that wait for the answer of Works, and those that have no need to."""

import asyncio

import pytest

from tests.support.cheap import hash_password
from tests.support.relay import relaying, until


async def quickly(relay, *to, **more):
    """Submit, and be answered long before the session's patience ends."""
    async with asyncio.timeout(5):
        code, text = await relay.send(*to, **more)
    assert (code, text.partition(",")[0]) == (250, "2.0.0 queued"), text


async def test_nobody_waits_for_an_account_in_trouble(tmp_path):
    async with relaying(tmp_path / "state", grants=[], delivery={"wait": "60s"}) as relay:
        await until(lambda: relay.service.standing.held)
        await quickly(relay)


async def test_nobody_waits_while_works_is_down(tmp_path):
    async with relaying(tmp_path / "state", delivery={"wait": "60s"}) as relay:
        relay.sandbox.add_fault("503", times=0)
        await quickly(relay)
        await quickly(relay)
        assert relay.service.pacing.circuit.down_since is not None
        await quickly(relay)
        relay.sandbox.faults.clear()
        relay.pass_time(31)
        await until(lambda: relay.service.pacing.circuit.down_since is None)
        assert "relayed" in (await relay.send())[1]


async def test_nobody_waits_for_a_turn_of_the_budget(tmp_path):
    """Each message of a program waited for a slot: a hundred over one connection took 98 seconds."""
    account = [{"name": "a", "address": "scanner@example.com", "default": True, "mails_per_minute": 6}]
    async with relaying(tmp_path / "state", account=account, delivery={"wait": "60s"}) as relay:
        for _ in range(3):  # half of a minute's budget may go at once
            assert "relayed" in (await relay.send())[1]
        await quickly(relay)
        relay.pass_time(60)
        await until(lambda: len(relay.sandbox.messages) == 4)
        assert "relayed" in (await relay.send())[1]


async def test_nobody_waits_for_the_budget_of_a_second_request(tmp_path):
    account = [{"name": "a", "address": "scanner@example.com", "default": True, "mails_per_minute": 2}]
    works = {"recipients_per_mail": 1}
    async with relaying(tmp_path / "state", account=account, works=works, delivery={"wait": "60s"}) as relay:
        await quickly(relay, "a@example.net", "b@example.net")
        assert len(relay.sandbox.messages) == 1
        relay.pass_time(31)
        await until(lambda: len(relay.sandbox.messages) == 2)


async def test_messages_that_all_may_go_at_once_are_waited_for(tmp_path):
    """What is on its way to be claimed is no queue: three printers at the same moment all see the verdict."""
    account = [{"name": "a", "address": "scanner@example.com", "default": True, "mails_per_minute": 6}]
    async with relaying(tmp_path / "state", account=account, delivery={"wait": "60s"}) as relay:
        answers = await asyncio.gather(*(relay.send(source=f"127.0.0.{n}") for n in range(2, 5)))
    assert all("relayed" in text for _, text in answers)


PASSWORD = "correct horse"
HASH = hash_password(PASSWORD)


@pytest.mark.parametrize(
    ("user", "device", "listener", "delivery", "waits"),
    [
        ("", "", "", "60s", True),
        ("", "", "60s", "0s", True),
        ("", "60s", "0s", "0s", True),
        ("60s", "0s", "0s", "0s", True),
        ("", "", "", "0s", False),
        ("", "", "0s", "60s", False),
        ("", "0s", "60s", "60s", False),
        ("0s", "60s", "60s", "60s", False),
    ],
)
async def test_the_nearest_wait_holds(tmp_path, user, device, listener, delivery, waits):
    login = {"name": "erp", "password_hash": HASH, "wait": user}
    tables = {
        "user": [login],
        "device": [{"address": "127.0.0.1", "wait": device}],
        "listener": [
            {"address": "127.0.0.1:0", "auth": "required", "auth_without_tls": True, "wait": listener}
        ],
        "delivery": {"wait": delivery},
    }
    async with relaying(tmp_path / "state", **tables) as relay:
        answer = (await relay.send(login=("erp", PASSWORD)))[1]
    assert answer.split()[1].rstrip(",") == ("relayed" if waits else "queued")


async def submit_at_once(relay, number):
    """Sessions whose final dots come at the same moment; the replies to these."""
    sessions = []
    for _ in range(number):
        reader, writer = await asyncio.open_connection(*relay.service.server.addresses[0])
        writer.write(b"HELO x\r\nMAIL FROM:<scanner@example.com>\r\nRCPT TO:<a@example.net>\r\nDATA\r\n")
        await reader.readuntil(b"354 ")
        await reader.readline()
        sessions.append((reader, writer))
    for _, writer in sessions:
        writer.write(b"Subject: x\r\n\r\nx\r\n.\r\n")
    replies = [(await reader.readline()).decode() for reader, _ in sessions]
    for _, writer in sessions:
        writer.close()
    return replies


async def test_of_many_at_the_same_moment_only_those_wait_that_may_go(tmp_path):
    """What is on its way to the spool is ahead too: all of them saw room in the budget, and waited for it."""
    account = [{"name": "a", "address": "scanner@example.com", "default": True, "mails_per_minute": 2}]
    async with relaying(tmp_path / "state", account=account, delivery={"wait": "300s"}) as relay:
        async with asyncio.timeout(60):
            replies = await submit_at_once(relay, 12)
    # One may go at once, and the next half a minute later.
    assert sum("relayed" in one for one in replies) in (1, 2), replies
    assert sum("queued" in one for one in replies) >= 10, replies
