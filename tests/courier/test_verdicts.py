"""Sessions that wait for a verdict, on a real spool: what one of them says holds for the message."""

import asyncio
from datetime import UTC, datetime

import pytest

from relay.courier.verdicts import Verdicts
from relay.envelope import Envelope, Submission
from relay.outcome import Action, Blame, Outcome
from relay.spool import Settlement, State
from relay.spool.sqlite.engine import SqliteSpool

TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken")
REFUSED = Outcome(Action.FAILED, "5.6.0", Blame.MESSAGE, "refused")
RELAYED, REFUSAL = Settlement(State.RELAYED, TAKEN), Settlement(State.REFUSED, REFUSED)


class Waiting:
    """A message that is claimed, and whoever waits for it."""

    def __init__(self, spool):
        self.spool, self.verdicts = spool, Verdicts(spool)

    async def begin(self, *, waits=True):
        writer = self.spool.writer()
        writer.write(b"Subject: x\r\n\r\nbody\r\n")
        envelope = Envelope("s@example.com", ("a@example.com",), datetime.now(UTC), "192.0.2.1")
        self.queue_id = await self.spool.put(Submission(envelope, writer.finish()), "scanner", waits=waits)
        self.claim = await self.spool.claim(["scanner"], 0)

    def wait(self, seconds=30.0, *, again=False):
        return asyncio.create_task(
            self.verdicts.wait_for_verdict(self.queue_id, "scanner", seconds, again=again)
        )


@pytest.fixture
async def one(tmp_path):
    spool = SqliteSpool(tmp_path)
    await spool.open()
    waiting = Waiting(spool)
    await waiting.begin()
    yield waiting
    await spool.close()


async def test_what_is_said_to_one_is_said_to_both(one):
    both = [one.wait(), one.wait(again=True)]
    await asyncio.sleep(0)
    assert await one.spool.settle(one.claim, RELAYED)
    assert await asyncio.gather(*both) == [RELAYED, RELAYED]
    assert one.verdicts._waits == {}


async def test_a_refusal_that_is_heard_leaves_no_failed_message(one):
    session = one.wait()
    await asyncio.sleep(0)
    assert await one.spool.settle_heard(one.claim, REFUSAL)
    assert await session == REFUSAL
    assert (await one.spool.show(one.queue_id)).state is State.REFUSED


async def test_nobody_hears_a_refusal_after_the_time_is_over(one):
    """The session said `queued`: the message must not vanish as refused."""
    assert await one.wait(0.0) is None
    assert not await one.spool.settle_heard(one.claim, REFUSAL)
    assert (await one.spool.show(one.queue_id)).state is State.QUEUED
    assert await one.spool.settle(one.claim, Settlement(State.FAILED, REFUSED))


async def test_when_one_session_says_queued_the_other_does_too(one):
    """One client once heard 250 and the other 554 for the same message, which was kept nowhere."""
    patient, impatient = one.wait(), one.wait(0.0, again=True)
    assert await asyncio.gather(patient, impatient) == [None, None]
    assert not await one.spool.settle_heard(one.claim, REFUSAL)


async def test_who_is_out_of_patience_while_it_is_settled_hears_the_word(one):
    """The refusal is being written: nobody may be told 250 meanwhile."""
    settling = asyncio.create_task(one.spool.settle_heard(one.claim, REFUSAL))
    session = one.wait(0.0)
    assert await settling
    assert await session == REFUSAL


async def test_a_session_that_is_cut_off_waits_no_more(one):
    session = one.wait()
    await asyncio.sleep(0)
    session.cancel()
    await asyncio.gather(session, return_exceptions=True)
    assert not await one.spool.settle_heard(one.claim, REFUSAL)


async def test_who_asks_after_the_verdict_does_not_wait(one):
    assert await one.wait(0.0) is None
    await one.spool.settle(one.claim, RELAYED)
    assert await one.wait(60.0, again=True) is None
    assert (await one.spool.show(one.queue_id)).state is State.RELAYED


async def test_a_settlement_whose_asker_is_cut_off_is_told_all_the_same(one):
    """It is written whatever happens to whoever asked, so the session must not wait for ever."""
    session = one.wait()
    await asyncio.sleep(0)
    settling = asyncio.create_task(one.spool.settle_heard(one.claim, REFUSAL))
    await asyncio.sleep(0)
    settling.cancel()
    assert await session == REFUSAL


async def test_dismissed_sessions_say_queued(one):
    session = one.wait()
    await asyncio.sleep(0)
    one.verdicts.dismiss("erp")
    assert not session.done()
    one.verdicts.dismiss("scanner")
    assert await session is None
