"""What a put, a claim and a start cost with a million messages waiting, against a thousand.

    python -m tests.long.crash.million --waiting 1000000

Both spools are filled with rows as `put` makes them; then puts and claims are timed in turn, a few hundred in
each, and the relay is started on the large one until it listens. Prints figures; asserts only that
what was claimed is what was put first.
"""

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from relay.envelope import Envelope, Submission
from relay.spool.ids import Ids
from relay.spool.rows.arrival import make_entry
from relay.spool.sqlite.engine import SqliteSpool
from relay.spool.sqlite.scheduler import Scheduler
from relay.spool.sqlite.schema import migrate
from relay.spool.sqlite.statements import insert
from tests.long.crash.harness import Relay, compose, finish, say, works

_PIECE = 10_000


def submission(spool_writer, number, source):
    writer = spool_writer()
    writer.write(compose(number))
    rcpt = (f"r{number}@example.com",)
    envelope = Envelope("s@example.com", rcpt, datetime.now(UTC), client_address=source)
    return Submission(envelope, writer.finish())


async def fill(folder, count):
    """Rows by the statements of `put`, without a flush for each."""
    empty = SqliteSpool(folder)
    await empty.open()
    await empty.close()
    database = sqlite3.connect(folder / "spool.db", isolation_level=None)
    database.execute("PRAGMA synchronous = OFF")
    migrate(database)
    turns, ids = Scheduler(), Ids()
    for first in range(0, count, _PIECE):
        database.execute("BEGIN")
        for number in range(first, min(first + _PIECE, count)):
            one = submission(empty.writer, number, f"192.0.2.{number % 50}")
            entry = make_entry(ids.make(), one, "scanner")
            insert(database, turns, entry, one.content)
        database.execute("DELETE FROM unheard")  # their clients have heard us
        database.execute("COMMIT")
        if first % 200_000 == 0:
            say(f"{first + _PIECE} rows")
    database.close()


async def measure(spool, rounds):
    """Medians of a put and of a claim with its start, in milliseconds."""
    puts, claims = [], []
    for number in range(rounds):
        one = submission(spool.writer, number, "192.0.2.77")
        began = time.perf_counter()
        await spool.put(one, "scanner")
        puts.append(time.perf_counter() - began)
        began = time.perf_counter()
        claim = await spool.claim(["scanner"], time.time())
        claims.append(time.perf_counter() - began)
        await spool.start(claim, 0, claim.entry.envelope.forward_paths)
    return puts, claims


async def look(spool):
    """Milliseconds of what the console asks every few seconds."""
    began = time.perf_counter()
    await spool.counts()
    return (time.perf_counter() - began) * 1000


async def run(options, folder):
    spools = {}
    for count in (1000, options.waiting):
        await fill(folder / f"state-{count}" / "spool", count)
        spools[count] = SqliteSpool(folder / f"state-{count}" / "spool")
        began = time.perf_counter()
        await spools[count].open()
        opened = time.perf_counter() - began
    times = {count: ([], []) for count in spools}
    for _ in range(options.rounds):  # in turn, so that a busy machine is busy for both
        for count, spool in spools.items():
            puts, claims = await measure(spool, 20)
            times[count][0].extend(puts)
            times[count][1].extend(claims)
    looks = [await look(spools[options.waiting]) for _ in range(20)]
    for spool in spools.values():
        await spool.close()
    middle = {count: [statistics.median(one) * 1000 for one in both] for count, both in times.items()}
    few, many = middle[1000], middle[options.waiting]
    result = {
        "waiting": options.waiting,
        "put_ms_with_1000": round(few[0], 3),
        "put_ms": round(many[0], 3),
        "put_ratio": round(many[0] / few[0], 2),
        "claim_ms_with_1000": round(few[1], 3),
        "claim_ms": round(many[1], 3),
        "claim_ratio": round(many[1] / few[1], 2),
        "counts_ms": round(statistics.median(looks), 3),
        "open_s": round(opened, 3),
        "start_until_listening_s": await start(folder, options.waiting),
    }
    return finish(result, (), as_json=options.json)


async def start(folder, count):
    async with works() as (_, url):
        relay = Relay(folder, url, state=folder / f"state-{count}")
        began = time.perf_counter()
        relay.start()
        await relay.listening(60)
        took = time.perf_counter() - began
        await relay.kill()
        return round(took, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20, help="of 20 puts and claims in each spool")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relay-million-") as folder:
        return asyncio.run(run(options, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
