"""What the courier goes through: standstills, outages, starts and stops."""

import asyncio
import time
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from relay.host.clock import Clock
from relay.outcome import Cause
from relay.sandbox import Settings
from relay.service import Service
from relay.spool import State
from relay.works.auth.files import GrantFiles
from relay.works.diagnosis import Failure, diagnose_failure
from tests.support.relay import relaying, until

HOUR = 3600.0


@pytest.mark.parametrize("standstill", ["account", "disk"])
async def test_what_is_due_and_cannot_go_does_not_keep_the_loop_busy(tmp_path, standstill):
    """A message whose time has come ended every sleep at once: a whole core, as long as it could not go."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("503")
        queue_id = await relay.put()
        await relay.reach(queue_id, State.DELAYED)
        spool = relay.service.spool
        if standstill == "account":
            relay.service.standing.hold("scanner", diagnose_failure(Failure.NO_GRANT))
        else:
            spool._space.block(blocked=True)
        rounds, pacing = [], relay.service.pacing
        next_free = pacing.next_free
        pacing.next_free = lambda *one, **more: rounds.append(None) or next_free(*one, **more)
        relay.pass_time(200)
        await asyncio.sleep(0.5)
        assert (await relay.entry(queue_id)).state is State.DELAYED
        assert len(rounds) < 20
        relay.service.standing.release("scanner")
        spool._space.block(blocked=False)
        await relay.reach(queue_id, State.RELAYED)


async def test_a_sentence_with_another_number_in_it_is_no_news(tmp_path):
    """What is news was decided by the sentence: one that counts was written to the log at each attempt."""
    async with relaying(tmp_path / "state") as relay:
        standing, wrong = relay.service.standing, diagnose_failure(Failure.APP_REFUSED)
        with capture_logs() as logs:
            for left in (3, 2):
                standing.hold("scanner", replace(wrong, reason=f"{wrong.reason}; {left} more are tried"))
            standing.hold("scanner", diagnose_failure(Failure.TOKEN_REFUSED))
        told = [one["reason"] for one in logs if one["event"] == "account in trouble"]
        assert ["3 more" in told[0], "consent" in told[1]] == [True, True]
        assert len(told) == 2
        assert standing.holds["scanner"].outcome.cause is Cause.GRANT_REFUSED


async def test_a_fault_of_ours_in_a_claim_does_not_end_all_sending(tmp_path):
    """The loop ended, mail was taken on, and only /readyz knew that none of it went out."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        spool = relay.service.spool
        claim = spool.claim

        async def broken(*_):
            spool.claim = claim
            raise KeyError("a fault of ours")

        spool.claim = broken
        relay.service.courier.wake()
        await relay.reach(await relay.put(), State.RELAYED)
        assert relay.service.courier.working


async def test_a_restart_counts_a_slow_request_from_its_answer(tmp_path):
    """Works may have counted it just before it answered: a minute from its start is too short."""
    account = [{"name": "scanner", "address": "scanner@example.com", "default": True, "mails_per_minute": 1}]
    async with relaying(tmp_path / "state", account=account, delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("latency", seconds=0.5)
        queue_id = await relay.put()
        await until(lambda: relay.service.courier.under_way)
        await asyncio.sleep(0.2)
        relay.clock.move(40)
        await relay.reach(queue_id, State.RELAYED)
        await relay.service.stop()
        again = Service(relay.service.config, clock=Clock.of(relay.clock.now), listen=False)
        await again.start()
        assert 55 < again.pacing.next_free("scanner") <= 60
        await again.stop()


async def test_a_stop_lets_a_refresh_under_way_be_stored(tmp_path):
    """With rotation the old refresh token is dead by then: cut off, a restart would lock the account out."""
    async with relaying(tmp_path / "state", Settings(rotation=True)) as relay:
        service, grants = relay.service, GrantFiles(tmp_path / "state")
        before = grants.read("scanner")
        relay.sandbox.add_fault("latency", seconds=4, at="token")
        relay.clock.move(13 * HOUR)
        await until(lambda: grants.read("scanner").refresh_started_at is not None)
        began = time.monotonic()
        await service.stop()
        assert time.monotonic() - began < 10
        stored = grants.read("scanner")
        assert (stored.refresh_started_at, stored.rotation) == (None, True)
        assert stored.refresh_token != before.refresh_token


async def test_a_stop_cuts_off_what_does_not_end_and_says_that_it_is_unknown(tmp_path):
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("no-answer", seconds=60)
        queue_id = await relay.put()
        await until(lambda: relay.service.courier.under_way and relay.sandbox.messages)
        await relay.service.courier.stop(0.1)
        entry = await relay.entry(queue_id)
        assert (entry.state, entry.unknowns) == (State.DELAYED, 1)


async def test_what_is_cut_off_before_its_token_is_there_has_not_started(tmp_path, monkeypatch):
    """A kill while the relay refreshed or connected left an unknown outcome, and with it a duplicate."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        asked = asyncio.Event()

        async def wait_for_ever(*_, **__):
            asked.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(relay.service.authorizer, "token", wait_for_ever)
        queue_id = await relay.put()
        await asyncio.wait_for(asked.wait(), 30)
        await relay.service.courier.stop(0.1)
        entry = await relay.entry(queue_id)
        assert (entry.state, entry.attempts, entry.unknowns) == (State.QUEUED, 0, 0)
        assert not await relay.service.spool.attempts(queue_id)


async def has_been_tried(relay, queue_id, times):
    entry = await relay.entry(queue_id)
    return entry.state is State.DELAYED and entry.attempts == times


async def test_a_restart_within_an_outage_gives_nothing_up(tmp_path):
    """Works has been down all the time: no message has had its chance four hours after the start either."""
    delivery = {"wait": "0s", "give_up_after": "1d", "retry": ["15m*"]}
    tokens = Settings(access_token_life=30 * 86400)
    async with relaying(tmp_path / "state", tokens, delivery=delivery) as relay:
        relay.sandbox.add_fault("503", times=0)
        queue_id = await relay.put()
        await relay.reach(queue_id, State.DELAYED)
        relay.pass_time(2 * 86400)
        await until(lambda: has_been_tried(relay, queue_id, 2))
        await relay.service.stop()
        service = Service(relay.service.config, clock=Clock.of(relay.clock.now))
        again = replace(relay, service=service)
        await service.start()  # the message is due in a quarter of an hour
        try:
            for times in range(3, 23):
                again.pass_time(1000)
                # A message that is given up is never tried so often, and is no longer delayed.
                await until(lambda times=times: has_been_tried(again, queue_id, times))
        finally:
            await service.stop()
