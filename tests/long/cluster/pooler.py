"""Nodes behind pgbouncer in transaction mode, which is killed again and again under load.

    python -m tests.long.cluster.pooler --kills 20

Each transaction may have another connection to the server than the one before, and there are fewer of them
than the nodes have. All nodes put, one of them sends. Exit code 1 if a message is missing, was put or sent
twice, or did not come to its end.
"""

import asyncio
import sys
import time
from collections import Counter

from relay.outcome import Action, Blame, Outcome
from relay.spool import Settlement, SpoolError, State
from tests.long.crash.harness import chance_of, finish, make_parser, say, start
from tests.support import postgres
from tests.support.pooler import Pooler
from tests.support.submissions import make_submission

WRONG = ("missing", "rows_too_many", "not_relayed", "sent_twice")
TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken")
_LARGE = 300_000  # octets; it goes by COPY


class Putters:
    """What sessions of a node do, until it is enough."""

    def __init__(self, spool, sessions):
        self._spool = spool
        self.enough = asyncio.Event()
        self.kept, self.failed = [], 0
        self._tasks = [asyncio.create_task(self._work()) for _ in range(sessions)]

    async def _work(self):
        while not self.enough.is_set():
            size = _LARGE if len(self.kept) % 20 == 0 else 500
            try:
                self.kept.append(await self._spool.put(make_submission(self._spool, b"x" * size), "scanner"))
            except SpoolError:  # the client comes again; it is not kept
                self.failed += 1
                await asyncio.sleep(0.1)

    async def end(self):
        self.enough.set()
        await asyncio.gather(*self._tasks)


class Sender:
    """What the courier does, for whichever node has its turn."""

    def __init__(self, spool, sent):
        self._spool, self._sent = spool, sent
        self.tasks = [asyncio.create_task(self._work()) for _ in range(6)]

    async def _work(self):
        while True:
            try:
                claim = await self._spool.claim(["scanner"], 0)
                if claim is None:
                    await asyncio.sleep(0.02)
                    continue
                with claim:
                    await self._send(claim)
            except SpoolError:
                await asyncio.sleep(0.05)

    async def _send(self, claim):
        try:
            await self._spool.start(claim, 0, ["a@example.com"])
        except SpoolError:
            await self._spool.abandon(claim)
            return
        self._sent[claim.entry.queue_id] += 1
        await self._spool.record(claim, 0, TAKEN)
        await self._spool.settle(claim, Settlement(State.RELAYED, TAKEN))


async def drain(count, patience=60.0):
    """Wait until nothing is left, or none of it goes for so long."""
    least, end = count() + 1, time.monotonic()
    while (left := count()) and (left < least or time.monotonic() < end):
        if left < least:
            least, end = left, time.monotonic() + patience
        await asyncio.sleep(0.2)


async def run(options, folder):
    from relay.postgres.engine import Options, PostgresSpool
    from relay.postgres.server import Address

    chance, server = chance_of(options.seed), postgres.Server(fsync="on")
    name, pooler, sent = server.make(), Pooler(server, size=3), Counter()
    spools = []
    for number in range(options.nodes):
        home, address = folder / str(number), Address(pooler.url(name))
        spools.append(PostgresSpool(Options(home, f"node{number}", address, patience=60.0)))
        await spools[-1].open(stands=not number)
    putters = [Putters(one, options.sessions) for one in spools]
    sender = Sender(spools[0], sent)
    for number in range(options.kills):
        await asyncio.sleep(chance.uniform(0.5, 2))
        await asyncio.to_thread(pooler.kill)
        await asyncio.sleep(chance.uniform(0, 1))
        await asyncio.to_thread(pooler.start)
        say(f"{number + 1} kills, {sum(len(one.kept) for one in putters)} kept, {len(sent)} sent")
    for one in putters:
        await one.end()
    kept = [queue_id for one in putters for queue_id in one.kept]
    say("draining")
    await drain(lambda: server.sql("SELECT count(*) FROM relay.message WHERE state <> 'relayed'", name)[0][0])
    for task in sender.tasks:
        task.cancel()
    await asyncio.gather(*sender.tasks, return_exceptions=True)
    states = dict(server.sql("SELECT queue_id, state FROM relay.message", name))
    for one in spools:
        await one.close()
    pooler.remove()
    server.remove()
    result = {
        "kills": options.kills,
        "kept": len(kept),
        "refused": sum(one.failed for one in putters),
        "missing": sum(1 for one in kept if one not in states),
        "rows_too_many": len(states) - len(set(kept)),
        "not_relayed": sum(1 for one in kept if states.get(one) != "relayed"),
        "sent_twice": sum(1 for number in sent.values() if number > 1),
    }
    return finish(result, WRONG, as_json=options.json)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--sessions", type=int, default=10, help="of each node")
    return start(run, parser, "pooler")


if __name__ == "__main__":
    sys.exit(main())
