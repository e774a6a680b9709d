"""Claims and puts on PostgreSQL with a million messages waiting, beside a thousand.

    python -m tests.long.cluster.waiting --many 1000000

Two databases on one server, which runs here with fsync on: the same mailboxes and sources wait in both, no
snapshot is held, and both are vacuumed before. Rounds alternate between them, so that whatever else the
machine does slows both. Exit code 1 if the median of a claim (with its content) or of a put takes more than
1.3 times as long.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.long.cluster.store import SMALL
from tests.long.crash.harness import finish, say
from tests.support import postgres
from tests.support.submissions import make_submission

_MOST = 1.3  # times
_ACCOUNTS, _FLOWS, _PIECE = 10, 100, 100_000
# As codecs.make_seal makes it.
_SEAL = (
    "left(encode(sha256(convert_to(id, 'UTF8') || '\\000' || convert_to(account, 'UTF8') || '\\000'"
    " || convert_to(envelope, 'UTF8') || '\\000' || convert_to(sha256, 'UTF8') || '\\000'"
    " || convert_to(size::text, 'UTF8')), 'hex'), 32)"
)
_FILL = (
    "WITH one AS (SELECT * FROM relay.message WHERE account = 'template'),"
    " content AS (INSERT INTO relay.content SELECT lpad(n::text, 13, '0'), c.number, c.data"
    " FROM relay.content c JOIN one USING (queue_id), generate_series({0}, {1}) AS n)"
    " INSERT INTO relay.message (queue_id, state, account, flow, tag, arrival, next_attempt, attempts,"
    " unknowns, envelope, size, sha256, status, reason, losses, since, ended, hold, cause, seal, claim)"
    " SELECT id, state, account, flow, n, arrival, 0, 0, 0, envelope, size, sha256, '', '', '[]', since, 0,"
    f" '', 'other', {_SEAL}, '' FROM (SELECT n, lpad(n::text, 13, '0') AS id,"
    " 'account' || n % {2} AS account, 'flow' || n % {3} AS flow, one.state, one.arrival,"
    " one.envelope, one.size, one.sha256, one.since"
    " FROM one, generate_series({0}, {1}) AS n) AS made"
)
ACCOUNTS = [f"account{number}" for number in range(_ACCOUNTS)]


class Side:
    """An engine on a database of its own, in which so many wait."""

    def __init__(self, server, folder, waiting):
        from relay.postgres.engine import Options, PostgresSpool
        from relay.postgres.server import Address

        self.waiting = waiting
        self._server, self._name = server, server.make()
        address = Address(server.url(self._name, "relay"))
        self._spool = PostgresSpool(Options(folder, "node", address))
        self.claims, self.puts = [], []  # seconds

    async def __aenter__(self):
        await self._spool.open()
        await self._spool.put(make_submission(self._spool, SMALL), "template")
        for first in range(1, self.waiting + 1, _PIECE):
            last = min(first + _PIECE - 1, self.waiting)
            await self._sql(_FILL.format(first, last, _ACCOUNTS, _FLOWS))
        await self._sql("VACUUM ANALYZE")
        return self

    async def __aexit__(self, *_):
        await self._spool.close()

    async def _sql(self, query):
        await asyncio.to_thread(self._server.sql, query, self._name)

    async def measure(self, number):
        for _ in range(number):
            began = time.perf_counter()
            with await self._spool.claim(ACCOUNTS, 0) as claim:
                self.claims.append(time.perf_counter() - began)
                await self._spool.abandon(claim)
        for _ in range(number):
            submission = make_submission(self._spool, SMALL)
            began = time.perf_counter()
            await self._spool.put(submission, "account0")
            self.puts.append(time.perf_counter() - began)


async def run(options, folder):
    server = postgres.Server(fsync="on", shared_buffers="256MB", max_wal_size="4GB")
    few = Side(server, folder / "few", options.few)
    many = Side(server, folder / "many", options.many)
    say("filling")
    async with few, many:
        server.sql("CHECKPOINT")
        for one in (few, many):
            await one.measure(20)
            one.claims, one.puts = [], []
        say("measuring")
        for _ in range(options.rounds):
            await few.measure(20)
            await many.measure(20)
    server.remove()
    result, slow = {}, []
    for what in ("claims", "puts"):
        times = [statistics.median(getattr(side, what)) for side in (few, many)]
        for side, one in zip((few, many), times, strict=True):
            result[f"ms for one of the {what}, {side.waiting:,} waiting"] = round(one * 1000, 2)
        result[f"{what}: times"] = round(times[1] / times[0], 2)
        if times[1] / times[0] > _MOST:
            slow.append(what)
    return finish({**result, "too slow": ", ".join(slow)}, ("too slow",), as_json=options.json)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20, help="of 20 claims and 20 puts on each side")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    import uvloop

    with tempfile.TemporaryDirectory(prefix="relay-waiting-") as folder:
        return uvloop.run(run(options, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
