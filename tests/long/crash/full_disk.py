"""The disk full at any moment, under load: nothing lost, nothing sent twice, normal again by itself.

    sudo python -m tests.long.crash.full_disk --times 40

The spool lies on a small tmpfs (needs root; without it, or with --limit, RLIMIT_FSIZE of the running relay
stands in: then no file can grow). At random moments the disk is filled to the last octet, and after a
while there is room again. Exit code 1 if an accepted message was lost, one was sent twice, or the first
acceptance came later than 5 s after there was room.
"""

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress

from tests.long.crash.harness import (
    Client,
    Ledger,
    Relay,
    chance_of,
    compose,
    finish,
    judge,
    kind_of,
    make_parser,
    say,
    start,
    works,
)

WRONG = ("lost", "sent_after_5yz", "250_without_a_row", "kept_twice", "duplicates", "too_late")
NORMAL_WITHIN = 5.0  # seconds
_BLOCK = os.urandom(1024 * 1024)


class Tmpfs:
    """A disk of its own, filled by a file."""

    def __init__(self, relay, size):
        self._relay, self.path = relay, relay.state
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", self.path], check=True)

    def fill(self):
        with (self.path / "filler").open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(_BLOCK)
        with (self.path / "filler").open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x")

    def free(self):
        (self.path / "filler").unlink(missing_ok=True)

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=True)


class Limit:
    """No file of the relay may grow, or be written beyond some octets."""

    def __init__(self, relay, chance):
        self._relay, self._chance = relay, chance

    def fill(self):
        limit = self._chance.choice([0, 4096, 100_000, 1_000_000])
        resource.prlimit(self._relay.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def free(self):
        every = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self._relay.pid, resource.RLIMIT_FSIZE, every)

    def close(self):
        """Nothing to undo."""


class Load:
    """Clients that never tire, and when somebody was last accepted."""

    def __init__(self, relay, ledger, connections):
        self._relay, self._ledger, self._next = relay, ledger, 0
        self.last, self.deferred = 0.0, Counter()
        self.enough = asyncio.Event()
        self._tasks = [asyncio.create_task(self._work()) for _ in range(connections)]

    async def _work(self):
        client = Client(self._relay)
        while not self.enough.is_set():
            self._next += 1
            number, tries, answer = self._next, 0, None
            while answer is None or answer[0] == "4":
                tries += 1
                answer = await client.submit(number, compose(number, kind_of(number)))
                if answer is None or answer[0] == "4":
                    self.deferred[(answer or "none")[:9]] += 1
                    await asyncio.sleep(0.05)
            self._ledger.enter(number, answer, tries)
            if answer[0] == "2":
                self.last = time.monotonic()
        client.hang_up()

    async def end(self):
        self.enough.set()
        await asyncio.gather(*self._tasks)


async def one_shortage(disk, load, chance):
    """Fill the disk, wait, free it; seconds until the next message is accepted."""
    await asyncio.sleep(chance.uniform(0.2, 1.0))
    await asyncio.to_thread(disk.fill)
    await asyncio.sleep(chance.uniform(0.05, 1.5))
    disk.free()
    freed = time.monotonic()
    while load.last < freed:
        await asyncio.sleep(0.01)
        if time.monotonic() > freed + 60:
            raise TimeoutError("it never accepts again")
    return load.last - freed


async def run(options, folder):
    chance, ledger = chance_of(options.seed), Ledger()
    async with works() as (sandbox, url):
        relay = Relay(folder, url, keep_free="2MB")
        use_limit = options.limit or os.geteuid() != 0
        disk = Limit(relay, chance) if use_limit else Tmpfs(relay, options.size)
        try:
            relay.grant(sandbox)
            relay.start()
            await relay.listening()
            sandbox.add_fault("latency", seconds=0.02, times=0)
            load = Load(relay, ledger, options.connections)
            waits = []
            for number in range(options.times):
                waits.append(await one_shortage(disk, load, chance))
                if number % max(1, options.times // 10) == 0:
                    say(f"{number + 1} times full, {len(ledger.accepted)} accepted, {waits[-1]:.1f} s")
            await load.end()
            await relay.drain()
            await relay.stop()
            result = {
                "means": "RLIMIT_FSIZE" if use_limit else "tmpfs",
                "times_full": options.times,
                **judge(ledger, sandbox, relay),
                "deferred": dict(load.deferred.most_common()),
                "longest_until_normal_s": round(max(waits), 2),
                "too_late": sum(one > NORMAL_WITHIN for one in waits),
            }
        finally:
            await relay.kill()
            disk.close()
    return finish(result, WRONG, as_json=options.json)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--size", type=int, default=48, help="of the disk, MB")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--limit", action="store_true", help="RLIMIT_FSIZE instead of a full disk")
    return start(run, parser, "full")


if __name__ == "__main__":
    sys.exit(main())
