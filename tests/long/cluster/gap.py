"""For how long nothing is sent when the sender changes, with the lease as it is: 30 s.

    python -m tests.long.cluster.gap --times 3

Two machines take mail all the time, without a budget. The sender is ended (SIGTERM); killed, with another
machine to follow; killed and started again; and the database's server is restarted at once. Each time the
longest time between two requests is looked for, as the simulated Works saw them; for the server, the time
from when it is back. Exit code 1 if one took longer than is promised.
"""

import asyncio
import signal
import sys
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from itertools import pairwise

from tests.long.cluster.clients import Book, Load
from tests.long.cluster.machines import Machine, Site, database_server
from tests.long.cluster.witness import Witness
from tests.long.crash.harness import chance_of, finish, make_parser, say, start, works

# Seconds at most.
PROMISED = {"SIGTERM": 2.0, "killed, another follows": 35.0, "killed, starts again": 5.0, "database": 5.0}
SETTLED = 10.0  # seconds of sending before each change: a node that has just begun knows nobody else


class Changes:
    """One method for each way in which the sender changes; each gives when it began."""

    def __init__(self, site):
        self._site = site

    async def run(self, kind):
        sender = await self._site.sender()
        began = time.monotonic()
        if kind == "SIGTERM":
            sender.stay_away(5.0)
            sender.signal(signal.SIGTERM)
            await self._site.sender(but=sender)
        elif kind == "killed, another follows":
            sender.stay_away(60.0)
            sender.signal(signal.SIGKILL)
            await self._site.sender(but=sender)
        elif kind == "killed, starts again":
            sender.stay_away(0.0)
            sender.signal(signal.SIGKILL)
        else:
            await asyncio.to_thread(self._site.server.restart)
            return time.monotonic()
        return began


def find_gap(requests, began, until):
    """The longest time without a request from `began` on."""
    times = [one.began for one in requests if began - 1.0 <= one.began <= until]
    before = [at for at in times if at < began][-1:]
    times = [*(before or [began]), *(at for at in times if at >= began), until]
    return max(later - earlier for earlier, later in pairwise(times))


async def wait_for_requests(witness, began, number=20):
    """Until so many have come since."""
    async with asyncio.timeout(90):
        while sum(one.began > began for one in witness.requests[-10 * number :]) < number:
            await asyncio.sleep(0.05)


async def run(options, folder):
    chance, found = chance_of(options.seed), defaultdict(list)
    witnesses = []

    def before(app):
        witnesses.append(Witness(app))
        return witnesses[0]

    async with AsyncExitStack() as stack:
        server, name = await stack.enter_async_context(database_server())
        sandbox, url = await stack.enter_async_context(works(before=before))
        witness, database = witnesses[0], server.url(name, "relay")
        machines = [Machine(folder / f"n{number}", url, database, None) for number in range(2)]
        site = Site(machines, server, name)
        await site.begin(sandbox, stack)
        load = Load(machines, Book(), chance, options.connections, every=0.05)
        changes = Changes(site)
        for kind in options.kinds or PROMISED:
            for _ in range(options.times):
                await site.all_listen()
                await asyncio.sleep(SETTLED)
                began = await changes.run(kind)
                await wait_for_requests(witness, began)
                gap = find_gap(witness.requests, began, witness.requests[-1].began)
                found[kind].append(round(gap, 2))
                say(f"{kind}: {gap:.2f} s")
        await load.end()
    result = dict(found)
    result["longer_than_promised"] = sum(max(gaps) > PROMISED[kind] for kind, gaps in found.items())
    return finish(result, ("longer_than_promised",), as_json=options.json)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--times", type=int, default=3, help="of each kind")
    parser.add_argument("--kinds", nargs="+", choices=sorted(PROMISED))
    parser.add_argument("--connections", type=int, default=4)
    return start(run, parser, "gap")


if __name__ == "__main__":
    sys.exit(main())
