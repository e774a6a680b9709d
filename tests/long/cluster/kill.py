"""Three machines on one PostgreSQL, killed and stopped under load, and the database with them.

    python -m tests.long.cluster.kill --rounds 450 --messages 10000

Every machine takes mail all the time, from clients that go to another one when theirs is gone, and now and
then leave before they have a reply. The sender is found by the database's lease. A round kills it or
another machine (SIGKILL), stops one for longer than its lease (SIGSTOP), sometimes for longer than any
request lasts while other rounds go on, ends one (SIGTERM), restarts the server at once, with fsync on, or
ends the sessions by which words are heard. Between one machine and the database stands a proxy that loses
requests and answers. Works has troubles of its own. At the end what the clients were told is held against
what Works saw (judging.py). Exit code 1 if anything of WRONG is not zero; each such message is told of.
"""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from tests.long.cluster.clients import Book, Load
from tests.long.cluster.judging import Verdict, rows
from tests.long.cluster.machines import Forks, Machine, Site, database_server
from tests.long.cluster.witness import Witness
from tests.long.crash.harness import add_trouble, chance_of, finish, say, works
from tests.support.cut import Cut

WRONG = (
    "lost",
    "sent_after_5yz",
    "250_without_a_row",
    "duplicates_not_recorded_as_possible",
    "two_at_once",
    "untrue_replies",
    "told_twice",
)
ROUNDS = {
    "kill sender": 5,
    "kill receiver": 3,
    "stop sender": 3,
    "stop receiver": 2,
    "end sender": 1,
    "end receiver": 1,
    "database": 2,
    "words": 2,
}
HITS = ("kill sender", "kill receiver", "stop sender", "stop receiver", "long stop")
# Works is asked every so many seconds whether an outage is over, not every 30: a fault may look like one.
PROBES = "import relay.courier.judgement.outage\nrelay.courier.judgement.outage.PROBE_EVERY = 2.0\n"
BACKLOG = 300  # messages
LONG_STOP = 85.0  # seconds: longer than a request may last (works.read_timeout and a minute)
LOSSES = (b"COMMIT", b"relay.request", b"UPDATE relay.message", b"relay.lease", b"relay.unheard")


class Rounds:
    """What is done to the machines."""

    def __init__(self, site, chance, lease, count_sent, *, away):
        self._site, self._chance, self._lease, self._count_sent = site, chance, lease, count_sent
        self._away = away  # whether a killed machine may stay away until another one has followed it
        self.done = Counter()
        self._stopped = {}  # machine → the task that wakes it

    async def run(self, kind):
        what, _, whom = kind.partition(" ")
        if not whom:
            await getattr(self, f"_{what}")()
            self.done[kind] += 1
            return
        sender = await self._site.sender()
        await self._let_send()
        # A machine that sleeps can only be killed.
        awake = [one for one in self._site.machines if one not in self._stopped]
        others = [one for one in awake if one is not sender]
        machine = sender if whom == "sender" else self._chance.choice(others or [sender])
        await asyncio.sleep(self._chance.uniform(0, 1.5))
        await getattr(self, f"_{what}")(machine)
        self.done[kind] += 1

    async def _let_send(self):
        """Wait until something is sent, most times: a kill before that shows little."""
        sent = self._count_sent()
        with suppress(TimeoutError):
            async with asyncio.timeout(20 * (self._chance.random() < 0.8)):
                while self._count_sent() == sent:
                    await asyncio.sleep(0.02)

    async def _kill(self, machine):
        if self._away:
            machine.stay_away(self._chance.choice([0.0, self._lease * self._chance.uniform(1, 2)]))
        machine.signal(signal.SIGKILL)

    async def _end(self, machine):
        machine.signal(signal.SIGTERM)

    async def _stop(self, machine):
        if len(self._stopped) < 1 and self._chance.random() < 0.1:
            machine.signal(signal.SIGSTOP)
            self._stopped[machine] = asyncio.create_task(self._wake(machine, LONG_STOP))
            self.done["long stop"] += 1
            return
        machine.signal(signal.SIGSTOP)
        await asyncio.sleep(self._lease * self._chance.uniform(1.5, 2.5))
        machine.signal(signal.SIGCONT)

    async def _wake(self, machine, seconds):
        await asyncio.sleep(seconds)
        machine.signal(signal.SIGCONT)
        self._stopped.pop(machine, None)

    async def finish(self):
        """Let those go on that are stopped."""
        await asyncio.gather(*self._stopped.values())

    async def _database(self):
        await asyncio.sleep(self._chance.uniform(0, 1.5))
        await asyncio.to_thread(self._site.server.restart)

    async def _words(self):
        with suppress(Exception):
            await self._site.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            )
        await asyncio.sleep(self._chance.uniform(0, 2))


async def trouble_works(sandbox, chance):
    """One fault at a time, for ever: what waits to be met while nothing is sent would be an outage then."""
    while True:
        await asyncio.sleep(chance.uniform(0.5, 1.5))
        if not sandbox.faults.standing():
            add_trouble(sandbox, chance)


async def lose(cut, chance):
    """Lose a request to the database or an answer of it, now and then, for ever."""
    while True:
        await asyncio.sleep(chance.uniform(0.2, 2.0))
        cut.arm(chance.choice(["request", "answer"]), chance.choice(LOSSES))


async def make_machines(options, folder, url, server, name, stack):
    """All of them; the last one reaches the database through the proxy."""
    nursery = Forks(options.lease, options.lease / 6, PROBES)
    stack.callback(nursery.close)
    place = folder / "cut"
    place.mkdir()
    cut = await stack.enter_async_context(Cut(server, place))
    machines = []
    for number in range(options.machines):
        is_cut = number == options.machines - 1 and options.machines > 1
        database = cut.url(name) if is_cut else server.url(name, "relay")
        # A request's certain end, after which what another machine had under way is judged.
        changes = [("[works]\n", '[works]\nread_timeout = "3s"\n')]
        if options.verbose:
            changes.append(('level = "warning"', 'level = "info"'))
        machines.append(Machine(folder / f"n{number}", url, database, nursery, changes=changes))
    return machines, cut


async def run(options, folder):
    chance, book, began = chance_of(options.seed), Book(), time.monotonic()
    witness = None

    def before(app):
        nonlocal witness
        witness = Witness(app, None if options.calm else chance)
        return witness

    async with AsyncExitStack() as stack:
        server, name = await stack.enter_async_context(database_server())
        sandbox, url = await stack.enter_async_context(works(before=before))

        def count_sent():
            return sandbox.counts()["accepted"]

        machines, cut = await make_machines(options, folder, url, server, name, stack)
        site = Site(machines, server, name)
        await site.begin(sandbox, stack)
        leaves, every = (0.0, 0.1) if options.calm else (0.03, 0.0)
        load = Load(machines, book, chance, options.connections, leaves=leaves, every=every)
        load.is_enough_waiting = lambda: len(book.accepted) - count_sent() > BACKLOG
        tasks = []
        if not options.calm:
            tasks = [
                asyncio.create_task(trouble_works(sandbox, chance)),
                asyncio.create_task(lose(cut, chance)),
            ]
        rounds = Rounds(
            site, chance, options.lease, lambda: sandbox.counts()["accepted"], away=not options.calm
        )
        await do_rounds(options, rounds, chance, book, sandbox, load)
        for one in tasks:
            one.cancel()
        cut.lose = ""
        sandbox.faults.clear()
        await rounds.finish()
        while len(book.accepted) < options.messages:
            await asyncio.sleep(0.1)
        await load.end()
        await site.all_listen()
        say("draining")
        # What is unknown waits for minutes, unless a person asks.
        await machines[0].drain()
        found = rows(server, name)
        verdict = Verdict(book, sandbox, witness, found, lambda query: server.sql(query, name))
        result = {
            **{f"rounds: {kind}": number for kind, number in sorted(rounds.done.items())},
            "killed_or_stopped": sum(rounds.done[kind] for kind in HITS if kind != "long stop"),
            "of_them_the_sender": rounds.done["kill sender"] + rounds.done["stop sender"],
            "lost_on_the_way_to_the_database": cut.done,
            **verdict.figures(),
            "seconds": round(time.monotonic() - began),
        }
        for number in list(verdict.wrong)[:20]:
            say(verdict.explain(number))
    return finish(result, WRONG, as_json=options.json)


async def do_rounds(options, rounds, chance, book, sandbox, load):
    kinds = [kind for kind, weight in ROUNDS.items() for _ in range(weight)]
    for number in range(options.rounds):
        if not options.kinds and number % len(kinds) == 0:
            chance.shuffle(kinds)
        kind = options.kinds[number % len(options.kinds)] if options.kinds else kinds[number % len(kinds)]
        await rounds.run(kind)
        if (number + 1) % max(1, options.rounds // 40) == 0:
            sent = len(sandbox.messages)
            say(f"{number + 1} rounds, {len(book.accepted)} accepted of {load.next}, {sent} sent")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=450)
    parser.add_argument("--messages", type=int, default=10_000, help="at least so many are accepted")
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--lease", type=float, default=3.0, help="seconds")
    parser.add_argument("--machines", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=sorted(ROUNDS), help="of rounds, one after the other")
    parser.add_argument("--calm", action="store_true", help="Works and the network are well all the time")
    parser.add_argument("--verbose", action="store_true", help="the machines' logs tell of each message")
    parser.add_argument("--keep", type=Path, help="a folder for the machines' logs, if something is wrong")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relay-cluster-") as folder:
        code = 1
        try:
            code = asyncio.run(run(options, Path(folder)))
        finally:
            logs = list(Path(folder).glob("*/relay.log"))
            for log in logs if code else ():
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    shutil.copy(log, options.keep / f"{log.parent.name}.log")
                else:
                    say(f"{log.parent.name}: {log.read_text()[-2000:]}")
        return code


if __name__ == "__main__":
    sys.exit(main())
