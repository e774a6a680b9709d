"""A node on PostgreSQL beside one on SQLite: what they take by SMTP, and how much memory a node needs.

    python -m tests.long.cluster.door

Both are `relay serve` and take turns at the same load, 2 KB from 20 clients; the server runs here, with
fsync on. *Kept*: the mailbox has not consented, so that a message is put and nothing else happens.
*Relayed*: the whole way to a simulated API. Memory is the largest of the node on PostgreSQL while it takes
and relays 18 MB four times at once, the converting process included. Exit code 1 if fewer than half as many
are kept as on SQLite, or if the node needs more than 120 MB.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

from relay.config.load import load
from relay.stores import open_grants
from relay.works.auth.files import FileGrants
from tests.long.bench import measures, process, systems
from tests.long.bench.messages import KB, MB
from tests.long.crash.harness import finish, say
from tests.support import postgres

_LEAST, _MOST = 0.5, 120  # times as many as SQLite; MB
_SPOOL = '[spool]\nurl = "{url}"\nkey = "{key}"\n'
_AT_ONCE = '[delivery]\nwait = "0s"\n'


class Site:
    """Makes nodes, each with a spool of its own."""

    def __init__(self, bench, server, stack):
        self._bench, self._server, self._stack = bench, server, stack
        self._made = 0

    def start(self, engine, *, consented):
        return self._stack.enter_context(self._run(engine, consented=consented))

    @contextmanager
    def _run(self, engine, *, consented):
        self._made += 1
        folder = self._bench.folder / f"node-{self._made}"
        path, port = systems.prepare_relay(self._bench.sink.url, folder)
        text = path.read_text() + _AT_ONCE
        if engine == "postgres":
            url = self._server.url(self._server.make(), "relay")
            text += _SPOOL.format(url=url, key=postgres.KEY)
        path.write_text(text)
        asyncio.run(_consent(path, folder, consented=consented))
        command = ["-m", "relay", "serve", "--config", str(path)]
        with (folder / "log").open("wb") as log, systems.running(command, stderr=log) as child:
            systems.wait_for(port, child)
            yield systems.System(child, port)


async def _consent(path, folder, *, consented):
    """Keep the grant that was written to a file where this node looks for it, or nowhere."""
    files, grants = FileGrants(folder), open_grants(load(path, {}, learned=False))
    grant = await files.load("scanner")
    await files.remove("scanner")
    if consented:
        await grants.begin("scanner", grant)


def measure_rates(bench, nodes, options):
    """Messages a second and milliseconds of CPU for each, by engine; rounds of each in alternation."""
    message = bench.message(2 * KB)
    rates, cpu = ({engine: [] for engine in nodes} for _ in range(2))
    for node in nodes.values():
        bench.load.run(node, message, 20, 2)
    for _ in range(options.rounds):
        for engine, node in nodes.items():
            process.until_idle(node.pid, 5.0)
            before = process.cpu(node.pid)
            result = bench.load.run(node, message, options.messages, 20)
            rates[engine].append(options.messages / result["seconds"])
            process.until_idle(node.pid, 5.0)
            cpu[engine].append((process.cpu(node.pid) - before) * 1000 / options.messages)
    return Rates(rates, cpu)


class Rates:
    """What was seen, by engine."""

    def __init__(self, rates, cpu):
        self._rates, self._cpu = rates, cpu
        pairs = zip(rates["postgres"], rates["sqlite"], strict=True)
        # Of two that ran one after the other: whatever else the machine did, it did to both.
        self.times = statistics.median(one / other for one, other in pairs)

    def figures(self, what):
        found = {f"{what}: times": round(self.times, 2)}
        for engine, rates in self._rates.items():
            found[f"{what} a second, {engine}"] = round(statistics.median(rates))
            found[f"{what}: ms of the node's CPU, {engine}"] = round(statistics.median(self._cpu[engine]), 2)
        return found


def measure_memory(bench, node):
    """MB."""
    message = bench.message(18 * MB)
    process.until_idle(node.pid)
    with process.Peak(node.pid) as peak:
        for _ in range(3):
            bench.load.run(node, message, 4, 4)
    process.until_idle(node.pid)
    return peak.own / MB


def run(options, folder):
    server = postgres.Server(fsync="on", shared_buffers="128MB", max_wal_size="1GB")
    engines = ("sqlite", "postgres")
    with systems.sink() as sink, systems.load() as load_, ExitStack() as stack:
        bench = measures.Bench(folder, sink, load_, stack)
        site = Site(bench, server, stack)
        say("kept")
        kept = measure_rates(bench, {one: site.start(one, consented=False) for one in engines}, options)
        say("relayed")
        nodes = {one: site.start(one, consented=True) for one in engines}
        relayed = measure_rates(bench, nodes, options)
        say("memory")
        memory = measure_memory(bench, nodes["postgres"])
    server.remove()
    result = {**kept.figures("kept"), **relayed.figures("relayed")}
    result |= {"MB of the node, 4 of 18 MB": round(memory)}
    missed = {"too slow": kept.times < _LEAST, "too large": memory > _MOST}
    return finish({**result, **missed}, tuple(missed), as_json=options.json)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, default=500, help="of a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relay-door-") as folder:
        return run(options, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
