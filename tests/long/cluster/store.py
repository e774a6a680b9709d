"""What the engine on PostgreSQL takes without SMTP: small puts of one process and of three, and large ones.

    python -m tests.long.cluster.store --putters 3

The server runs here, with fsync on, and each putter is a process with a node's engine: 20
sessions, each of which puts its next message when the last one is kept. The best of some rounds counts, as
the machine may be shared. Exit code 1 if three putters keep fewer than 5,000 messages of 2 KB a second, or
if four contents of 18 MB at once are kept at less than 60 MB/s.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

from tests.long.crash.harness import finish
from tests.support import ROOT, postgres
from tests.support.submissions import make_submission

SMALL = b"Subject: a\r\n\r\n" + b"x" * 2000
_LARGE = 18_000_000  # octets
_LEAST_PUTS, _LEAST_MB = 5_000, 60  # a second


@asynccontextmanager
async def node(url, folder):
    """A node that takes mail, and never sends."""
    from relay.postgres.engine import Options, PostgresSpool
    from relay.postgres.server import Address

    spool = PostgresSpool(Options(folder, folder.name, Address(url)))
    await spool.open(stands=False)
    try:
        yield spool
    finally:
        await spool.close()


async def put_many(spool, seconds, sessions):
    """Messages a second. No two of any node are equal: that would be one message that comes again."""
    mine = os.urandom(8).hex().encode()
    end, done = time.monotonic() + seconds, 0

    async def work():
        nonlocal done
        while time.monotonic() < end:
            done += 1
            await spool.put(make_submission(spool, SMALL + b"%s %d\r\n" % (mine, done)), "scanner")

    began = time.monotonic()
    await asyncio.gather(*(work() for _ in range(sessions)))
    return done / (time.monotonic() - began)


async def put_large(spool, number):
    """Octets a second."""
    contents = [make_submission(spool, b"x" * _LARGE) for _ in range(number)]
    began = time.monotonic()
    await asyncio.gather(*(spool.put(one, "large") for one in contents))
    return _LARGE * number / (time.monotonic() - began)


async def serve_jobs(url, folder):
    """The putter: a line with seconds comes in, a line with what was reached goes out."""
    async with node(url, folder) as door:
        await put_many(door, 0.2, 20)  # connections
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await put_many(door, float(line), 20), flush=True)


class Putter:
    """A process of its own."""

    def __init__(self, url, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.long.cluster.store", "--child", url, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def begin(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def hear(self):
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def put_together(putters, seconds):
    """Messages a second of all at once."""
    for one in putters:
        one.begin(seconds)
    return sum(float(one.hear()) for one in putters)


async def measure_large(url, folder, rounds):
    async with node(url, folder) as door:
        return max([await put_large(door, 4) for _ in range(rounds)])


def run(options, folder):
    server = postgres.Server(fsync="on", shared_buffers="128MB", max_wal_size="1GB")
    url = server.url(server.make(), "relay")
    putters = [Putter(url, folder / str(number)) for number in range(options.putters)]
    assert [one.hear() for one in putters] == ["ready"] * options.putters
    alone = [put_together(putters[:1], options.seconds) for _ in range(options.rounds)]
    together = [put_together(putters, options.seconds) for _ in range(options.rounds)]
    for one in putters:
        one.end()
    large = asyncio.run(measure_large(url, folder / "large", options.rounds)) / 1e6
    server.remove()
    result = {
        "puts a second, one process": round(max(alone)),
        f"puts a second, {options.putters} processes": round(max(together)),
        "all rounds": ", ".join(str(round(one)) for one in together),
        "MB a second, 4 of 18 MB": round(large),
        "too slow": max(together) < _LEAST_PUTS or large < _LEAST_MB,
    }
    return finish(result, ("too slow",), as_json=options.json)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--putters", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, metavar=("URL", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        import uvloop

        uvloop.run(serve_jobs(options.child[0], Path(options.child[1])))
        return 0
    with tempfile.TemporaryDirectory(prefix="relay-store-") as folder:
        return run(options, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
