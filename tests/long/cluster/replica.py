"""The primary is lost under load, again and again, and its synchronous replica is promoted.

    python -m tests.long.cluster.replica --rounds 5

Two PostgreSQL servers run here; every commit waits for the replica (`synchronous_standby_names = '*'`), so
that mail is acknowledged once both have it. A round kills the primary (SIGKILL), promotes the replica, and
makes a new replica of the lost server. The relays' URL names both, with `target_session_attrs=read-write`.
At the end what the clients were told is held against what Works was given. Exit code 1 if an accepted
message was lost or has no row, one that was refused was sent, or one was sent twice without an unknown
outcome on record.
"""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from itertools import pairwise

from tests.long.cluster.clients import Book, Load
from tests.long.cluster.judging import Verdict, rows
from tests.long.cluster.kill import WRONG
from tests.long.cluster.machines import Forks, Machine, Site
from tests.long.cluster.witness import Witness
from tests.long.crash.harness import chance_of, finish, make_parser, say, start, works
from tests.support import postgres


class Pair:
    """Two servers, one of which is the other's replica."""

    def __init__(self):
        settings = {"fsync": "on", "wal_keep_size": "256MB"}
        self.primary = postgres.Server(**settings)
        self.replica = postgres.Server(follows=self.primary, **settings)
        self.primary.wait_for_replica(strictly=True)

    def url(self, name):
        hosts = f"{self.primary.folder},{self.replica.folder}"
        return f"postgresql:///{name}?host={hosts}&user=relay&target_session_attrs=read-write"

    def fail_over(self):
        """The primary is gone; nobody writes down what waits until the replica has been promoted."""
        self.primary.kill()
        self.primary, self.replica = self.replica, self.primary
        self.primary.promote()
        self.primary.wait_for_replica(strictly=False)  # there is none

    def mend(self):
        """The lost server becomes the new primary's replica."""
        self.replica.follow(self.primary)
        self.primary.wait_for_replica(strictly=True)

    def remove(self):
        self.replica.remove()
        self.primary.remove()


async def grow(book, by, patience=120.0):
    """Wait until so many more were accepted."""
    before, end = len(book.accepted), time.monotonic() + patience
    while len(book.accepted) < before + by:
        if time.monotonic() > end:
            raise TimeoutError("nothing is accepted any more")
        await asyncio.sleep(0.02)


def longest_gap(book, since):
    """Seconds between two replies, the most since then."""
    times = sorted(one for one in book.heard_at.values() if one >= since)
    return max(later - earlier for earlier, later in pairwise(times))


async def run(options, folder):
    chance, book, witness, gaps = chance_of(options.seed), Book(), None, []

    def before(app):
        nonlocal witness
        witness = Witness(app, None)
        return witness

    async with AsyncExitStack() as stack:
        pair = Pair()
        stack.callback(pair.remove)
        name = pair.primary.make()
        sandbox, url = await stack.enter_async_context(works(before=before))
        nursery = Forks(options.lease, options.lease / 6)
        stack.callback(nursery.close)
        machines = [
            Machine(folder / f"n{number}", url, pair.url(name), nursery) for number in range(options.machines)
        ]
        await Site(machines, pair.primary, name).begin(sandbox, stack)
        load = Load(machines, book, chance, options.connections, leaves=0.0)
        for number in range(options.rounds):
            await grow(book, options.messages)
            await asyncio.sleep(chance.uniform(0, 1))
            since = time.time()
            await grow(book, 1)
            await asyncio.to_thread(pair.fail_over)
            await grow(book, options.messages)
            gaps.append(longest_gap(book, since))
            await asyncio.to_thread(pair.mend)
            say(f"{number + 1} promotions, {len(book.accepted)} accepted, {len(sandbox.messages)} sent")
        await load.end()
        say("draining")
        await machines[0].drain()
        found = rows(pair.primary, name)
        verdict = Verdict(book, sandbox, witness, found, lambda query: pair.primary.sql(query, name))
        result = {
            "promotions": options.rounds,
            **verdict.figures(),
            "most_seconds_without_a_reply": round(max(gaps), 1),
        }
        for number in list(verdict.wrong)[:20]:
            say(verdict.explain(number))
    return finish(result, WRONG, as_json=options.json)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="promotions")
    parser.add_argument("--messages", type=int, default=200, help="accepted before and after each")
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--machines", type=int, default=2)
    parser.add_argument("--lease", type=float, default=6.0, help="seconds")
    return start(run, parser, "replica")


if __name__ == "__main__":
    sys.exit(main())
