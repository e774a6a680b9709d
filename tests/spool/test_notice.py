"""A failure and the notice about it are one commit: whoever is killed in between tells nobody twice."""

import random
import signal
import sqlite3
import subprocess
import sys

import pytest

from relay.spool import State
from relay.spool.sqlite.engine import SqliteSpool

# Fails one message after the other, each with its notice, small ones and such as lie in a file.
CHILD = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from relay.envelope import Envelope, Submission
from relay.outcome import Action, Blame, Outcome
from relay.spool import Notice, Settlement, State
from relay.spool.sqlite.engine import SqliteSpool

REFUSED = Outcome(Action.FAILED, "5.6.0", Blame.MESSAGE, "refused")

def submission(spool, sender, size):
    writer = spool.writer()
    writer.write(b"Subject: a\\r\\n\\r\\n" + b"x" * size)
    return Submission(Envelope(sender, ("a@example.com",), datetime.now(UTC)), writer.finish())

async def fail(spool, claim, size):
    await spool.start(claim, 0, ["a@example.com"])
    await spool.record(claim, 0, REFUSED)
    notice = Notice(submission(spool, "", size), "notices", "s@example.com")
    await spool.settle_and_tell(claim, Settlement(State.FAILED, REFUSED), notice)

async def main():
    spool = SqliteSpool(Path(sys.argv[1]))
    await spool.open()
    left = list(await spool.interrupted())
    print("ready", flush=True)
    for one in left:
        await fail(spool, one.claim, 10)
    for number in range(10_000):
        await spool.put(submission(spool, "s@example.com", 10), "scanner")
        await fail(spool, await spool.claim(["scanner"], 0), (10, 100_000)[number % 2])

asyncio.run(main())
"""


def kill_soon(folder, chance):
    with subprocess.Popen([sys.executable, "-c", CHILD, folder], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        try:
            child.wait(chance.uniform(0.02, 0.25))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL


@pytest.mark.parametrize("seed", range(2))
async def test_a_kill_leaves_a_failure_with_its_notice_or_neither(tmp_path, seed):
    chance = random.Random(seed)
    for _ in range(4):
        kill_soon(tmp_path / "spool", chance)
    connection = sqlite3.connect(tmp_path / "spool" / "spool.db")
    failed = {row[0] for row in connection.execute("SELECT queue_id FROM message WHERE state = 'failed'")}
    told = [row[0] for row in connection.execute("SELECT queue_id FROM event WHERE event = 'notice'")]
    (notices,) = connection.execute("SELECT COUNT(*) FROM message WHERE account = 'notices'").fetchone()
    connection.close()
    assert failed
    assert sorted(told) == sorted(failed)
    assert notices == len(failed)
    spool = SqliteSpool(tmp_path / "spool")
    await spool.open()
    try:
        for _ in range(notices):
            claim = await spool.claim(["notices"], 0)
            assert claim.entry.state is State.QUEUED  # its content is there, and is what was written
        assert await spool.claim(["notices"], 0) is None
    finally:
        await spool.close()
