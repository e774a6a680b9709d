"""Sessions that wait for the answer of Works, and those that have no need to."""

import asyncio

from tests.support.relay import relaying, until


async def quickly(relay, **more):
    """Submit, and be answered long before the session's patience ends."""
    async with asyncio.timeout(5):
        code, text = await relay.send(**more)
    assert (code, text.partition(",")[0]) == (250, "2.0.0 queued"), text


async def test_nobody_waits_for_an_account_in_trouble(tmp_path):
    async with relaying(tmp_path / "state", grants=[], delivery={"wait": "60s"}) as relay:
        await until(lambda: relay.service.courier.held)
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


async def test_nobody_waits_behind_a_queue_that_is_longer_than_the_wait(tmp_path):
    """What is ahead is counted, not only what the budget allows this second."""
    account = [{"name": "a", "address": "scanner@example.com", "default": True, "mails_per_minute": 6}]
    async with relaying(tmp_path / "state", account=account, delivery={"wait": "15s"}) as relay:
        for _ in range(3):
            await relay.send()
        # The fourth to go waits ten seconds: within its patience. Those behind it need not wait at all.
        waiting = asyncio.create_task(relay.send())
        await asyncio.sleep(0.3)
        await quickly(relay)
        relay.pass_time(11)
        assert "relayed" in (await waiting)[1]
