"""Claims that do not look at the table: nothing is given out twice, and nothing is forgotten."""

import asyncio
import contextlib
import random
from datetime import UTC, datetime

import pytest

from relay.envelope import Envelope, Submission
from relay.outcome import Action, Blame, Outcome
from relay.spool import NoSuchMessage, Settlement, SpoolError, State
from relay.spool.sqlite.engine import SqliteSpool

TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken")
ACCOUNTS = ("scanner", "erp")


@pytest.fixture
async def spool(tmp_path):
    spool = SqliteSpool(tmp_path / "spool")
    await spool.open()
    yield spool
    await spool.close()


def submission(spool, source="192.0.2.1"):
    writer = spool.writer()
    writer.write(b"Subject: a\r\n\r\nb\r\n")
    return Submission(
        Envelope("s@example.com", ("a@example.com",), datetime.now(UTC), source), writer.finish()
    )


async def drain(spool):
    found = []
    while (claim := await spool.claim(ACCOUNTS, 0)) is not None:
        found.append(claim.entry.queue_id)
    return found


async def test_a_source_with_one_message_waits_for_no_queue(spool):
    """Turns are fair whether the table is asked or not."""
    assert await spool.claim(["scanner"], 0) is None  # now the table is known to be empty
    many = [await spool.put(submission(spool), "scanner") for _ in range(5)]
    one = await spool.put(submission(spool, "192.0.2.2"), "scanner")
    assert (await drain(spool)).index(one) <= 1
    assert len(many) == 5


async def test_what_a_person_held_is_not_claimed(spool):
    assert await spool.claim(["scanner"], 0) is None
    queue_id = await spool.put(submission(spool), "scanner")
    await spool.hold(queue_id)
    assert await spool.claim(["scanner"], 0) is None
    await spool.release(queue_id)
    assert (await spool.claim(["scanner"], 0)).entry.queue_id == queue_id


async def test_a_put_that_nobody_waited_for_is_claimed(spool):
    """It is committed although its session is gone."""
    assert await spool.claim(["scanner"], 0) is None
    put = asyncio.ensure_future(spool.put(submission(spool), "scanner"))
    await asyncio.sleep(0)
    put.cancel()
    await asyncio.gather(put, return_exceptions=True)
    await spool.counts()  # comes after it in the writer's thread
    assert await spool.claim(["scanner"], 0) is not None


class Disorder:
    """Puts, claims and everything that ends them, all at the same time."""

    def __init__(self, spool, seed):
        self.spool, self.chance = spool, random.Random(seed)
        self.held, self.out, self.relayed = set(), set(), set()

    async def put(self):
        for _ in range(60):
            await self.spool.put(
                submission(self.spool, self.chance.choice("abc")), self.chance.choice(ACCOUNTS)
            )

    async def send(self):
        for _ in range(60):
            claim = await self.spool.claim(self.chance.sample(ACCOUNTS, self.chance.randint(1, 2)), 0)
            if claim is None:
                await asyncio.sleep(0.001)
                continue
            assert claim.entry.queue_id not in self.out | self.relayed
            self.out.add(claim.entry.queue_id)
            await asyncio.sleep(0)
            await self.end(claim)

    async def end(self, claim):
        how = self.chance.randint(0, 3)
        if how > 1:
            await self.relay(claim)
            return
        self.out.discard(claim.entry.queue_id)
        if how:
            await self.spool.settle(claim, Settlement(State.QUEUED, TAKEN, spent=False))
        else:
            await self.spool.abandon(claim)

    async def relay(self, claim):
        try:
            await self.spool.start(claim, 0, ["a@example.com"])
        except SpoolError:  # held in the same moment
            self.out.discard(claim.entry.queue_id)
            await self.spool.abandon(claim)
            return
        await self.spool.settle(claim, Settlement(State.RELAYED, TAKEN), (0, TAKEN))
        self.relayed.add(claim.entry.queue_id)
        self.out.discard(claim.entry.queue_id)

    async def interfere(self):
        for _ in range(20):
            for entry in (await self.spool.list([State.QUEUED], 5))[:1]:
                with contextlib.suppress(NoSuchMessage):
                    await self.spool.hold(entry.queue_id)
                    self.held.add(entry.queue_id)
                    if self.chance.random() < 0.7:
                        await self.spool.release(entry.queue_id)
                        self.held.discard(entry.queue_id)


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_is_given_out_twice_or_forgotten(spool, seed):
    one = Disorder(spool, seed)
    await asyncio.gather(one.put(), one.put(), one.send(), one.send(), one.send(), one.interfere())
    everything = {entry.queue_id for entry in await spool.list(list(State), 1000)}
    assert len(everything) == 120
    left = await drain(spool)
    assert len(left) == len(set(left))
    assert set(left) == everything - one.relayed - one.held
