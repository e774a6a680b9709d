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

from tests.long.cluster.kill import Load, Machine, Site, count_at_once, rows, store_grant
from tests.long.crash.harness import Ledger, chance_of, finish, judge, make_parser, say, start, works
from tests.support import postgres

WRONG = ("lost", "sent_after_5yz", "250_without_a_row", "duplicates_not_recorded_as_possible", "two_at_once")


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


async def grow(ledger, by, patience=120.0):
    """Wait until so many more were accepted; the seconds until the first of them."""
    before, began, first = len(ledger.accepted), time.monotonic(), 0.0
    while len(ledger.accepted) < before + by:
        if not first and len(ledger.accepted) > before:
            first = time.monotonic() - began
        if time.monotonic() - began > patience:
            raise TimeoutError("nothing is accepted any more")
        await asyncio.sleep(0.02)
    return first or time.monotonic() - began


async def run(options, folder):
    chance, ledger, pair = chance_of(options.seed), Ledger(), Pair()
    name, gaps = pair.primary.make(), []
    async with works() as (sandbox, url):
        machines = []
        for number in range(options.machines):
            (folder / str(number)).mkdir()
            machines.append(Machine(folder / str(number), url, pair.url(name), options.lease))
        await store_grant(machines[0], sandbox)
        for one in machines:
            one.keep()
        site = Site(machines)
        watching = asyncio.create_task(site.watch())
        await site.sender()
        load = Load(site, ledger, options.connections)
        for number in range(options.rounds):
            await grow(ledger, options.messages)
            await asyncio.sleep(chance.uniform(0, 1))
            await asyncio.to_thread(pair.fail_over)
            gaps.append(await grow(ledger, options.messages))
            await asyncio.to_thread(pair.mend)
            say(f"{number + 1} promotions, {len(ledger.accepted)} accepted, {len(sandbox.messages)} sent")
        await load.end()
        say("draining")
        await (await site.sender()).drain()
        for one in machines:
            await one.end()
        watching.cancel()
        machines[0].rows = lambda: rows(pair.primary, name)
        result = {
            "promotions": options.rounds,
            **judge(ledger, sandbox, machines[0]),
            "two_at_once": count_at_once(pair.primary, name),
            "most_seconds_without_a_250_after_a_promotion": round(max(gaps), 1),
        }
    pair.remove()
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
