"""How fast the relay is, and how small, beside aiosmtpd alone and a relay of sixty lines.

    python -m tests.long.bench            everything, under 10 minutes
    python -m tests.long.bench --short    under 60 s
    python -m tests.long.bench --json     the figures as one JSON object

docs/performance.md says what is measured.
"""

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.long.bench import measures, report, systems
from tests.long.bench.effort import FULL, LEAST, SHORT
from tests.long.bench.messages import KB, MB
from tests.long.bench.systems import NAMES, RELAY, STRAIGHTFORWARD

_ALL = ("matrix", "pages", "cpu", "memory", "latency", "lag", "hostile", "conversion", "start")


def measure(bench, only, effort):
    """All that is asked for, by name."""
    found = {"machine": measures.machine()}
    began = time.monotonic()
    steps = {
        "matrix": lambda: measures.matrix(bench, effort),
        "pages": lambda: measures.pages(bench, effort),
        "cpu": lambda: cpu(bench, effort, found.get("matrix", ())),
        "memory": lambda: memory(bench, effort),
        "latency": lambda: {
            name: measures.latency(bench, name, 0.05, effort.latency) for name in (STRAIGHTFORWARD, RELAY)
        },
        "lag": lambda: {
            name: measures.lag(bench, name, least, effort.large)
            for name, least in ((RELAY, effort.lag), *([(STRAIGHTFORWARD, 1)] if effort.lag_beside else ()))
        },
        "hostile": lambda: measures.hostile_messages(bench, effort),
        "conversion": lambda: measures.conversion(bench, effort.starts, effort.large),
        "start": lambda: measures.start(bench, effort.starts),
    }
    for name in only:
        print(f"{time.monotonic() - began:4.0f} s  {name}", file=sys.stderr, flush=True)
        found[name] = steps[name]()
    found["seconds"] = time.monotonic() - began
    return found


def cpu(bench, effort, cells):
    """Seconds of CPU for 1,000 small messages and for 100 MB of scans; from the matrix, if they are in it."""
    size, known = effort.scan, {(cell["size"], cell["connections"]): cell["figures"] for cell in cells}
    small, scans = (
        known.get(cell) or measures.throughput(bench, bench.message(cell[0]), cell[1], effort.plan(*cell))
        for cell in ((2 * KB, 20), (size, 4))
    )
    return {
        "small": {name: small[name]["cpu_per_message"] * 1000 for name in NAMES},
        "scans": {name: scans[name]["cpu_per_message"] * 100 * MB / size for name in NAMES},
    }


def memory(bench, effort):
    """By system and number of connections."""
    found = {
        f"{RELAY} {n}": measures.memory(bench, RELAY, n, effort.scan, effort.peaks) for n in effort.scans
    }
    if effort.peaks > 1:
        found[f"{STRAIGHTFORWARD} 4"] = measures.memory(bench, STRAIGHTFORWARD, 4, effort.scan, 1)
    return found


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.long.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="fewer and smaller runs, under 60 s")
    parser.add_argument("--least", action="store_true", help="the least that exercises all; no figures")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--only", action="append", choices=_ALL, help="one measure; may be repeated")
    parser.add_argument("--folder", type=Path, help="where spools and messages lie; a file system on a disk")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.folder) as folder,
        systems.sink() as sink,
        systems.load() as load,
        ExitStack() as stack,
    ):
        bench = measures.Bench(Path(folder), sink, load, stack)
        effort = LEAST if arguments.least else SHORT if arguments.short else FULL
        result = measure(bench, arguments.only or _ALL, effort)
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)


def show(result):
    machine = result["machine"]
    print("{cores} cores of {cpu}, Python {python}, load {load} at the start".format(**machine))
    if cells := [*result.get("matrix", ()), *result.get("pages", ())]:
        print(*report.matrix(cells), sep="\n")
    if "cpu" in result:
        print(*report.cpu(result), sep="\n")
    if all(name in result for name in _ALL):
        print(*report.table(result), sep="\n")
    else:
        print(
            json.dumps(
                {k: v for k, v in result.items() if k not in ("matrix", "pages", "machine", "seconds")},
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
