"""Behind pgbouncer in transaction mode: each transaction may have another connection to the server."""

import asyncio
from collections import Counter

import pytest

from relay.outcome import Action, Blame, Outcome
from relay.spool import Settlement, State, Topic
from tests.support import postgres
from tests.support.pooler import Pooler
from tests.support.submissions import make_submission

TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken")


@pytest.fixture
def pooler():
    one = Pooler(postgres.server(), size=2)
    yield one
    one.remove()


def open_through(pooler, database, folder, *, listen):
    from relay.postgres.engine import Options, PostgresSpool
    from relay.postgres.server import Address

    server = Address(postgres.server().url(database, "relay"))
    return PostgresSpool(
        Options(folder, "node", Address(pooler.url(database)), listen=server if listen else None)
    )


async def test_everything_is_done_once_whichever_connection_does_it(pooler, database, tmp_path):
    """Nothing may be prepared on a connection, or be remembered by one: the next asker is another node."""
    spool = open_through(pooler, database, tmp_path, listen=False)
    await spool.open()
    sizes = [300_000 if number % 20 == 0 else 100 for number in range(60)]
    ids = await asyncio.gather(*(spool.put(make_submission(spool, b"x" * one), "scanner") for one in sizes))
    sent = Counter()

    async def send():
        while (claim := await spool.claim(["scanner"], 0)) is not None:
            with claim:
                await spool.start(claim, 0, ["a@example.com"])
                sent[claim.entry.queue_id] += 1
                await spool.record(claim, 0, TAKEN)
                assert await spool.settle(claim, Settlement(State.RELAYED, TAKEN))

    await asyncio.gather(*(send() for _ in range(6)))
    assert sent == Counter(ids)
    counts = await spool.counts()
    assert counts[State.RELAYED] == 60
    await spool.close()


async def test_words_are_heard_past_the_pooler_and_mail_is_found_without_them(pooler, database, tmp_path):
    """LISTEN hears nothing through it: `listen_url` names the server itself, and the relay looks besides."""
    first = open_through(pooler, database, tmp_path / "first", listen=True)
    second = open_through(pooler, database, tmp_path / "second", listen=False)
    await first.open()
    await second.open(stands=False)
    heard = set()
    first.subscribe(lambda word: heard.add(word.queue_id) if word.topic is Topic.NEW else None)
    ids = set()
    async with asyncio.timeout(60):
        while not heard & ids:  # until both know of each other
            ids.add(await second.put(make_submission(second), "scanner"))
            await asyncio.sleep(0.05)
        for _ in range(len(ids)):
            claim = await first.claim(["scanner"], 0)
            while claim is None:
                await asyncio.sleep(0.05)
                claim = await first.claim(["scanner"], 0)
            claim.on_release()
    await second.close()
    await first.close()
