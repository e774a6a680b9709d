"""Two machines on one PostgreSQL, killed and stopped under load, and the database with them.

    python -m tests.long.cluster.kill --rounds 300 --messages 10000

Each machine has a state directory of its own and is started again whenever it ends, as systemd would; the
one that has the lease takes mail. A round kills the sender (SIGKILL), stops it for longer than its lease
(SIGSTOP), or restarts the server at once, with fsync on. Works has troubles of its own. At the end what the
clients were told is held against what Works was given. Exit code 1 if an accepted message was lost, one that
was refused was sent, an accepted one has no row, one was sent twice without an unknown outcome on record, or
two requests were open for one message at the same time.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.long.crash.harness import (
    Client,
    Ledger,
    Relay,
    chance_of,
    compose,
    finish,
    judge,
    kind_of,
    make_trouble,
    say,
    works,
)
from tests.support import postgres

WRONG = ("lost", "sent_after_5yz", "250_without_a_row", "duplicates_not_recorded_as_possible", "two_at_once")
ROUNDS = ("kill", "kill", "stop", "database")
SPOOL = """
[spool]
url = "{database}"
key = "{key}"
patience = "5s"
keep_free = "1MB"
"""
# `relay serve`, with a lease that is over in seconds.
SERVE = """
import sys
from relay.postgres import node
node.Times.__init__.__defaults__ = ({lease}, {beat})
from relay.cli import main
sys.argv = ["relay", "serve", "--config", sys.argv[1]]
main()
"""


class Machine(Relay):
    """A relay on the database, started again whenever it ends."""

    def __init__(self, folder, url, database, lease):
        super().__init__(folder, url)
        text = self.config.read_text()
        text = text.replace('[spool]\nkeep_free = "1MB"\n', SPOOL.format(database=database, key=postgres.KEY))
        # A request's certain end, after which what another machine had under way is judged.
        self.config.write_text(text.replace("[works]\n", '[works]\nread_timeout = "3s"\n'))
        self.code = SERVE.format(lease=lease, beat=lease / 6)
        self.keeping = None

    def start(self, before=()):
        with self.log.open("ab") as log:
            command = [sys.executable, "-c", self.code, str(self.config)]
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self.pid = self.process.pid

    def keep(self):
        self.keeping = asyncio.create_task(self._keep())

    async def _keep(self):
        while True:
            if self.process is None or not self.alive():
                self.start()
            await asyncio.sleep(1.0)  # a start that is refused costs as much as any

    async def is_listening(self):
        with suppress(OSError):
            (await asyncio.open_connection("127.0.0.1", self.port))[1].close()
            return True
        return False

    async def end(self):
        self.keeping.cancel()
        self.signal(signal.SIGCONT)
        await self.kill()


class Site:
    """What a client connects to: a balancer in front of the machines."""

    def __init__(self, machines):
        self.machines = machines
        self._port = machines[0].port

    @property
    def port(self):
        return self._port

    async def watch(self):
        while True:
            for one in self.machines:
                if await one.is_listening():
                    self._port = one.port
            await asyncio.sleep(0.1)

    async def sender(self, seconds=60.0):
        async with asyncio.timeout(seconds):
            while True:
                for one in self.machines:
                    if await one.is_listening():
                        return one
                await asyncio.sleep(0.05)


class Load:
    """Clients that never tire; each takes the next number."""

    def __init__(self, site, ledger, connections):
        self._site, self._ledger, self._next = site, ledger, 0
        self.enough = asyncio.Event()
        self._tasks = [asyncio.create_task(self._work()) for _ in range(connections)]

    async def _work(self):
        client = Client(self._site)
        while not self.enough.is_set():
            self._next += 1
            number = self._next
            self._ledger.enter(number, *await client.insist(number, compose(number, kind_of(number))))
        client.hang_up()

    async def end(self):
        self.enough.set()
        await asyncio.gather(*self._tasks)


async def trouble_machine(kind, site, server, chance, lease):
    machine = await site.sender()
    await asyncio.sleep(chance.uniform(0, 2))
    if kind == "kill":
        machine.signal(signal.SIGKILL)
    elif kind == "stop":
        machine.signal(signal.SIGSTOP)
        await asyncio.sleep(lease * chance.uniform(1.5, 2.5))
        machine.signal(signal.SIGCONT)
    else:
        await asyncio.to_thread(server.restart)


def rows(server, name):
    """As `Relay.rows` gives them."""
    unknowns = Counter(
        queue_id
        for queue_id, outcome in server.sql("SELECT queue_id, outcome FROM relay.request", name)
        if outcome is None or json.loads(outcome)["action"] == "unknown"
    )
    found = {}
    query = "SELECT queue_id, state, envelope FROM relay.message ORDER BY queue_id"
    for queue_id, state, envelope in server.sql(query, name):
        address = json.loads(envelope)["forward_paths"][0]
        if address.startswith("r") and address[1:].partition("@")[0].isdecimal():
            number = int(address[1:].partition("@")[0])
            found.setdefault(number, []).append((queue_id, state, unknowns[queue_id]))
    return found


def count_at_once(server, name):
    """Requests that began before an earlier one of the same message had ended, as the table tells."""
    query = (
        "SELECT count(*) FROM relay.request a JOIN relay.request b USING (queue_id)"
        " WHERE a.serial < b.serial AND b.started < coalesce(a.ended, 'infinity')"
    )
    return server.sql(query, name)[0][0]


async def run(options, folder):
    chance, ledger, done = chance_of(options.seed), Ledger(), Counter()
    began = time.monotonic()
    server = postgres.Server(fsync="on")
    name = server.make()
    async with works() as (sandbox, url):
        database = server.url(name, "relay")
        machines = []
        for number in range(options.machines):
            (folder / str(number)).mkdir()
            machines.append(Machine(folder / str(number), url, database, options.lease))
        await store_grant(machines[0], sandbox)
        for one in machines:
            one.keep()
        site = Site(machines)
        watching = asyncio.create_task(site.watch())
        await site.sender()
        load = Load(site, ledger, options.connections)
        trouble = asyncio.create_task(asyncio.sleep(0) if options.calm else make_trouble(sandbox, chance))
        for number in range(options.rounds):
            kind = options.kinds[number % len(options.kinds)]
            await trouble_machine(kind, site, server, chance, options.lease)
            done[kind] += 1
            say(f"{number + 1} rounds, {len(ledger.accepted)} accepted, {len(sandbox.messages)} sent")
        trouble.cancel()
        sandbox.faults.clear()
        while len(ledger.accepted) < options.messages:
            await asyncio.sleep(0.1)
        await load.end()
        say("draining")
        # What is unknown waits for minutes, unless a person asks.
        await (await site.sender()).drain()
        for one in machines:
            await one.end()
        watching.cancel()
        machines[0].rows = lambda: rows(server, name)
        result = {
            **{f"{kind}_rounds": number for kind, number in done.items()},
            **judge(ledger, sandbox, machines[0]),
            "two_at_once": count_at_once(server, name),
            "seconds": round(time.monotonic() - began),
        }
    server.remove()
    return finish(result, WRONG, as_json=options.json)


async def store_grant(machine, sandbox):
    from relay.config.load import load
    from relay.stores import open_grants
    from relay.works.auth.files import GrantFiles

    machine.grant(sandbox)
    grant = GrantFiles(machine.state).read("scanner")
    await open_grants(load(machine.config, {}, learned=False)).store.store("scanner", grant)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--messages", type=int, default=10_000, help="at least so many are accepted")
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--lease", type=float, default=3.0, help="seconds")
    parser.add_argument("--machines", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", choices=sorted(set(ROUNDS)), default=ROUNDS, help="of rounds")
    parser.add_argument("--calm", action="store_true", help="Works is well all the time")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relay-cluster-") as folder:
        try:
            return asyncio.run(run(options, Path(folder)))
        except TimeoutError:
            for log in Path(folder).glob("*/relay.log"):
                say(log.read_text()[-2000:])
            raise


if __name__ == "__main__":
    sys.exit(main())
