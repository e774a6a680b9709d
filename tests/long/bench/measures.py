"""The measures: each a function that gives figures, none of which judges them."""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.long.bench import process, systems
from tests.long.bench.messages import KB, MB, empty_lines, of_size, one_line, page_of_size, scan, write
from tests.long.bench.systems import DISCARD, NAMES, RELAY, STRAIGHTFORWARD

# (b) holds several copies of each message, and both take minutes: above so many octets at once they are left
# out.
MOST_AT_ONCE = 400 * MB
_LAG_PATIENCE = 60.0  # seconds


class Bench:
    """What all measures share: the folder, the sink, the load, the messages."""

    def __init__(self, folder, sink, load, stack):
        self.folder, self.sink, self.load = folder, sink, load
        self._stack = stack
        self._messages = {}
        self._standing = {}
        self._systems = 0

    def message(self, size, make=of_size):
        if (size, make) not in self._messages:
            self._messages[size, make] = make(self.folder, size)
        return self._messages[size, make]

    def system(self, name):
        """A fresh process."""
        self._systems += 1
        return systems.system(name, self.sink.url, self.folder / f"{name}-{self._systems}")

    def standing(self, name):
        """One that stays up until the end."""
        if name not in self._standing:
            self._standing[name] = self._stack.enter_context(self.system(name))
        return self._standing[name]


def summarise(values):
    """Median and half of the range in which the middle half lies."""
    values = sorted(values)
    spread = (values[len(values) * 3 // 4] - values[len(values) // 4]) / 2
    return {"median": statistics.median(values), "spread": spread, "runs": len(values)}


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def throughput(bench, message, connections, plan, names=NAMES):
    """Messages a second, MB/s, CPU seconds: rounds of each in alternation, all of them up all the time."""
    count, rounds, patience = plan
    found = {name: {"rate": [], "cpu": [], "p50": []} for name in names}
    running = {name: bench.standing(name) for name in names}
    for target in running.values():
        bench.load.run(target, message, min(2, count), 1)  # imports and caches
    began = time.monotonic()
    for done in range(rounds):
        passed = time.monotonic() - began
        if done and passed + passed / done > patience:
            break
        for name, target in running.items():
            process.until_idle(target.pid, 1.0)
            before, came = process.cpu(target.pid), bench.sink.stats()
            result = bench.load.run(target, message, count, connections)
            process.until_idle(target.pid, 1.0)
            _check(name, bench, came, count, message)
            found[name]["rate"].append(count / result["seconds"])
            found[name]["cpu"].append((process.cpu(target.pid) - before) / count)
            found[name]["p50"].append(statistics.median(result["from_mail"]))
    return {
        name: {
            "rate": summarise(values["rate"]),
            "mb_per_second": statistics.median(values["rate"]) * message.size / MB,
            "cpu_per_message": statistics.median(values["cpu"]),
            "p50": statistics.median(values["p50"]),
        }
        for name, values in found.items()
    }


def _check(name, bench, came, count, message):
    """What was said to be relayed has come: a bench of a broken relay would measure nothing."""
    if name == DISCARD:
        return
    now = bench.sink.stats()
    requests, octets = now["requests"] - came["requests"], now["octets"] - came["octets"]
    if requests != count or octets < 0.7 * count * message.size:
        raise RuntimeError(f"{name}: {requests} requests with {octets} octets for {count} messages")


def matrix(bench, effort):
    """All sizes and connections of the effort."""
    cells = []
    for size, connections in effort.cells:
        names = [n for n in NAMES if n == RELAY or size * connections <= MOST_AT_ONCE]
        cells.append(_cell(bench, bench.message(size), connections, effort.plan(size, connections), names))
    return cells


def pages(bench, effort):
    """The html page with its image."""
    size, connections = effort.page
    return [_cell(bench, bench.message(size, page_of_size), connections, effort.plan(size, connections))]


def _cell(bench, message, connections, plan, names=NAMES):
    figures = throughput(bench, message, connections, plan, names)
    print(f"  {message.name} × {connections}", file=sys.stderr, flush=True)
    return {"name": message.name, "size": message.size, "connections": connections, "figures": figures}


def memory(bench, name, connections, size, runs):
    """Peak memory of a fresh process while `connections` messages come at once; and idle before.

    The largest of all runs: what is to hold must hold every time.
    """
    message = bench.message(size)
    found = []
    for _ in range(runs):
        with bench.system(name) as target:
            process.until_idle(target.pid)  # the converting process has started, and counts as idle
            idle, idle_resident = process.memory(target.pid)
            with process.Peak(target.pid) as peak:
                bench.load.run(target, message, connections, connections)
            after, _ = process.memory(target.pid)
        keys = ("idle", "idle_resident", "peak", "resident", "after")
        found.append(dict(zip(keys, (idle, idle_resident, peak.own, peak.resident, after), strict=True)))
    return {key: max(one[key] for one in found) for key in found[0]} | {"runs": runs}


def latency(bench, name, seconds, count):
    """What the relay adds to an API that is told to take `seconds`, at one connection.

    What the API takes in truth is measured by a bare socket: its timer is late by up to a millisecond, too.
    """
    message = bench.message(2 * KB)
    bench.sink.set_latency(seconds)
    try:
        with bench.system(name) as target:
            bench.load.run(target, message, 5, 1)
            own = bench.sink.own_time(2 * KB, max(5, count // 10))
            result = bench.load.run(target, message, count, 1)
    finally:
        bench.sink.set_latency(0)
    added = [one - own for one in result["from_dot"]]
    return {"own": own, "p50": percentile(added, 0.5), "p99": percentile(added, 0.99), "count": count}


def lag(bench, name, least, size):
    """Round trips of NOOP while 4 messages of that size come in and go out again and again.

    It goes on until there are `least` of them, and ends after a time in any case.
    """
    message = bench.message(size)
    quiet, busy = [], []
    with bench.system(name) as target:
        bench.load.run(target, message, 1, 1)
        with systems.probing(target.port, quiet):
            time.sleep(1.0)
        end = time.monotonic() + _LAG_PATIENCE
        with systems.probing(target.port, busy, least) as probe:
            bench.load.run(target, message, 4, 4)
            while not probe.enough and time.monotonic() < end:
                bench.load.run(target, message, 12, 4)
    names = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {
        "count": len(busy),
        **{key: percentile(busy, share) for key, share in names.items()},
        "idle_p999": percentile(quiet, 0.999),
    }


def hostile(bench, name, content, label, expect):
    """CPU and memory for one message that is built to hurt."""
    message = write(bench.folder, label, content)
    with bench.system(name) as target:
        # What the first small message loads is not this one's.
        bench.load.run(target, bench.message(2 * KB), 1, 1)
        process.until_idle(target.pid)
        before, (idle, _) = process.cpu(target.pid), process.memory(target.pid)
        with process.Peak(target.pid) as peak:
            result = bench.load.run(target, message, 1, 1, expect=expect)
            process.until_idle(target.pid, 5.0)
        used = process.cpu(target.pid) - before
    return {"cpu": used, "memory": peak.own - idle, "seconds": result["seconds"], "reply": expect}


def hostile_messages(bench, effort):
    """The two that cost a reader of lines 22 s and 2 GB, and 300 MB."""
    lines, line = "25 MB of empty lines", "300 MB without a line end"
    return {
        lines: hostile(bench, RELAY, empty_lines(effort.large), lines, expect="250"),
        line: hostile(bench, RELAY, one_line(effort.endless), line, expect="421"),
    }


_CONVERT = """
import mmap, resource, sys, time
from relay.mail import Conversion
from relay.message import convert
def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(l.split()[1]) for l in lines if l.startswith("RssAnon")) * 1024
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
    convert(b"From: a@example.com\\r\\n\\r\\nwarm\\r\\n", ["b@example.com"], Conversion(attachment_limit=0))
    before, began = anonymous(), time.perf_counter()
    converted = convert(content, ["office@example.com"], Conversion(attachment_limit=0))
    understood = time.perf_counter() - began
    most = anonymous()
    octets = 0
    for block in converted.requests[0].payload.blocks(content):
        octets += len(block)
        if octets % (1 << 20) < len(block):
            most = max(most, anonymous())
    print(understood, time.perf_counter() - began, most - before, octets)
"""


def conversion(bench, rounds, size):
    """A scan converted in a process of its own: to a request, and with its body read to the end."""
    path = bench.folder / "conversion.eml"
    path.write_bytes(scan(size))
    lines = [
        subprocess.run(
            [sys.executable, "-c", _CONVERT, str(path)],
            cwd=systems.ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(rounds)
    ]
    understood, whole, most = (summarise([float(line[n]) for line in lines]) for n in range(3))
    return {"convert": understood, "with_body": whole, "memory": most}


def start(bench, rounds):
    """`relay --help` to its end; `relay serve` until it greets."""
    helps, serves = [], []
    for number in range(rounds):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "relay", "--help"], cwd=systems.ROOT, capture_output=True, check=True
        )
        helps.append(time.perf_counter() - began)
        path, port = systems.prepare_relay(bench.sink.url, bench.folder / f"start-{number}")
        command = ["-m", "relay", "serve", "--config", str(path)]
        began = time.perf_counter()
        with systems.running(command, stderr=subprocess.DEVNULL) as running:
            systems.wait_for(port, running)
            serves.append(time.perf_counter() - began)
    return {"help": summarise(helps), "serve": summarise(serves)}


def machine():
    """What the figures were measured on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    load = Path("/proc/loadavg").read_text().split()[0]
    return {
        "cpu": model[1] if model else "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "python": sys.version.split()[0],
        "load": float(load),
        "folder": tempfile.gettempdir(),
    }


__all__ = ["DISCARD", "NAMES", "RELAY", "STRAIGHTFORWARD", "Bench"]
