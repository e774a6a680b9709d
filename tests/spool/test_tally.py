"""The numbers by state are kept, not counted: whatever happens to messages, they agree with the rows."""

import random
import sqlite3
from datetime import UTC, datetime

import pytest

from relay.envelope import Envelope, Submission
from relay.outcome import Action, Blame, Hold, Outcome
from relay.spool import NoSuchMessage, Settlement, State
from relay.spool.sqlite.engine import SqliteSpool

TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken")
LATER = Outcome(Action.DELAYED, "4.3.0", Blame.REMOTE, "later")
NEVER = Outcome(Action.FAILED, "5.6.0", Blame.MESSAGE, "never")


@pytest.fixture
async def spool(tmp_path):
    spool = SqliteSpool(tmp_path / "spool")
    await spool.open()
    yield spool
    await spool.close()


async def put(spool, hold=Hold.NONE):
    writer = spool.writer()
    writer.write(b"Subject: a\r\n\r\nb\r\n")
    envelope = Envelope("s@example.com", ("a@example.com",), datetime.now(UTC), "192.0.2.1")
    return await spool.put(Submission(envelope, writer.finish(), hold), "scanner")


def counted(tmp_path):
    database = sqlite3.connect(tmp_path / "spool" / "spool.db")
    found = dict(database.execute("SELECT state, COUNT(*) FROM message GROUP BY state"))
    database.close()
    return {state: found.get(state, 0) for state in State}


async def attempt(spool, chance):
    claim = await spool.claim(["scanner"], 1e12)
    if claim is None:
        return
    await spool.start(claim, 0, claim.entry.envelope.forward_paths)
    end = chance.choice(["", TAKEN, LATER, NEVER, State.HELD])
    if not end:
        return  # it stays in the state of sending
    if end is State.HELD:
        await spool.settle(claim, Settlement(State.HELD, LATER))
    else:
        await spool.record(claim, 0, end)
        await spool.settle(claim, Settlement(State(end.action), end, next_attempt=1.0))


@pytest.mark.parametrize("seed", range(3))
async def test_the_numbers_agree_with_the_rows(spool, tmp_path, seed):
    chance, ids = random.Random(seed), []
    verbs = (spool.hold, spool.release, spool.retry, spool.discard)
    for _ in range(150):
        what = chance.random()
        if what < 0.4 or not ids:
            ids.append(await put(spool, chance.choice([Hold.NONE, Hold.DEVICE])))
        elif what < 0.7:
            await attempt(spool, chance)
        elif what < 0.95:
            try:
                await chance.choice(verbs)(chance.choice(ids))
            except NoSuchMessage:  # its operation is rolled back, and those beside it are run again
                continue
        else:
            await spool.purge(1e12, 1e12)
    assert await spool.counts() == counted(tmp_path)
    assert sum((await spool.counts()).values()) > 0


async def test_the_numbers_are_there_after_a_start(spool, tmp_path):
    for _ in range(3):
        await put(spool)
    await spool.close()
    again = SqliteSpool(tmp_path / "spool")
    await again.open()
    assert (await again.counts())[State.QUEUED] == 3
    await again.close()


async def count_steps(spool):
    """The steps of SQLite's machine that one look takes."""
    steps = []
    await spool._writer.read(lambda c: c.set_progress_handler(lambda: steps.append(1), 1))
    await spool.counts()
    await spool._writer.read(lambda c: c.set_progress_handler(None, 0))
    return len(steps)


async def test_a_look_at_the_numbers_reads_no_row(spool):
    """A console, a scraper and a probe look every few seconds, also when a million messages wait."""
    await put(spool)
    with_one = await count_steps(spool)
    for _ in range(50):
        await put(spool)
    assert await count_steps(spool) == with_one > 0
