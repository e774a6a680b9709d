"""What the engine on PostgreSQL takes and gives without SMTP: puts, large content, claims of a long queue.

    python -m tests.long.cluster.store --waiting 100000

The server runs here, with fsync on. Figures are of this machine, whatever else it does; the ratios are what
counts: claims and puts with many waiting against few, one after the other.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.long.crash.harness import finish
from tests.support import postgres
from tests.support.submissions import make_submission

_SMALL = b"Subject: a\r\n\r\n" + b"x" * 2000
_FILL = (
    "WITH one AS (SELECT * FROM relay.message WHERE size < 10000 LIMIT 1),"
    " content AS (INSERT INTO relay.content SELECT 'FILL' || n, c.number, c.data"
    " FROM relay.content c JOIN one USING (queue_id), generate_series(1, {0}) AS n)"
    " INSERT INTO relay.message (queue_id, state, account, flow, tag, arrival, next_attempt, attempts,"
    " unknowns, envelope, size, sha256, status, reason, losses, since, ended, hold, cause, seal, claim)"
    " SELECT 'FILL' || n, state, 'other', 'flow' || n % 100, n, arrival, 0, 0, 0, envelope, size, sha256,"
    " '', '', '[]', since, 0, '', 'other', '', '' FROM one, generate_series(1, {0}) AS n"
)


async def put_many(spool, seconds, putters):
    end, done = time.monotonic() + seconds, 0

    async def work():
        nonlocal done
        while time.monotonic() < end:
            await spool.put(make_submission(spool, _SMALL), "scanner")
            done += 1

    began = time.monotonic()
    await asyncio.gather(*(work() for _ in range(putters)))
    return done / (time.monotonic() - began)


async def put_large(spool, number):
    contents = [make_submission(spool, b"x" * 18_000_000) for _ in range(number)]
    began = time.monotonic()
    await asyncio.gather(*(spool.put(one, "large") for one in contents))
    return 18.0 * number / (time.monotonic() - began)


async def claim_many(spool, number):
    times = []
    for _ in range(number):
        began = time.perf_counter()
        with await spool.claim(["scanner", "other"], 0) as claim:
            times.append(time.perf_counter() - began)
            await spool.abandon(claim)
    return statistics.median(times) * 1000


async def run(options, folder):
    server = postgres.Server(fsync="on", shared_buffers="128MB")
    name = server.make()
    from relay.postgres.engine import Options, PostgresSpool
    from relay.postgres.server import Address

    spool = PostgresSpool(Options(folder, "node", Address(server.url(name, "relay"))))
    await spool.open()
    result = {"puts a second, 20 at once": round(await put_many(spool, options.seconds, 20))}
    result["MB a second, 4 of 18 MB"] = round(await put_large(spool, 4))
    few = await claim_many(spool, 100)
    server.sql(_FILL.format(options.waiting), name)
    server.sql("ANALYZE relay.message", name)
    many = await claim_many(spool, 100)
    result |= {
        "ms for a claim, few waiting": round(few, 2),
        f"ms for a claim, {options.waiting} more": round(many, 2),
    }
    result["puts a second with these waiting"] = round(await put_many(spool, options.seconds, 20))
    await spool.close()
    server.remove()
    return finish(result, (), as_json=options.json)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relay-store-") as folder:
        return asyncio.run(run(options, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
