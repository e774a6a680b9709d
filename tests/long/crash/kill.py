"""SIGKILL at random moments and at named points, under load, with a Works that has its own troubles.

    python -m tests.long.crash.kill --kills 1000 --messages 100000

Clients submit without pause and insist until they hear 2yz or 5yz; the relay is killed and started
again. Every tenth kill falls at a named point: strace delivers it as the n-th call of fsync,
fdatasync, rename, a write to the log of the database, an unlink or a send begins. At the end the relay
drains, and what the clients were told is held against what Works was given. Exit code 1 if an
accepted message was lost, one that was refused was sent, an accepted one has no row, or one was sent
twice without an unknown outcome on record.
"""

import asyncio
import shutil
import sys
import time

from tests.long.crash.harness import (
    Client,
    Ledger,
    Nursery,
    Relay,
    chance_of,
    compose,
    finish,
    judge,
    kind_of,
    make_parser,
    make_trouble,
    say,
    start,
    works,
)

POINTS = ("fsync", "fdatasync", "rename", "pwrite64", "unlink", "sendto,sendmsg,write,writev")
WRONG = ("lost", "sent_after_5yz", "250_without_a_row", "duplicates_not_recorded_as_possible")


class Load:
    """Clients that never tire; each takes the next number."""

    def __init__(self, relay, ledger, connections):
        self._relay, self._ledger = relay, ledger
        self._next = 0
        self.enough = asyncio.Event()
        self._tasks = [asyncio.create_task(self._work()) for _ in range(connections)]

    async def _work(self):
        client = Client(self._relay)
        while not self.enough.is_set():
            self._next += 1
            number = self._next
            self._ledger.enter(number, *await client.insist(number, compose(number, kind_of(number))))
        client.hang_up()

    async def end(self):
        self.enough.set()
        await asyncio.gather(*self._tasks)


async def kill_at_a_point(relay, chance):
    """Start under strace and let it kill at the n-th call of one kind; whether it came to that."""
    calls = chance.choice(POINTS)
    most = 60 if "write" in calls else 15
    inject = f"inject={calls}:signal=KILL:when={chance.randint(1, most)}"
    relay.start(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", inject])
    end = time.monotonic() + 12.0
    while relay.alive() and time.monotonic() < end:
        await asyncio.sleep(0.01)
    fell = not relay.alive()
    await relay.kill()
    return fell


async def kill_at_random(relay, chance, up):
    relay.start()
    if chance.random() < 0.1:
        await asyncio.sleep(chance.uniform(0, 0.3))  # while it starts
    else:
        await relay.listening()
        await asyncio.sleep(chance.uniform(0, 2 * up))
    await relay.kill()


async def run(options, folder):
    chance, began = chance_of(options.seed), time.monotonic()
    ledger, points, nursery = Ledger(), 0, Nursery()
    async with works() as (sandbox, url):
        relay = Relay(folder, url, nursery=nursery)
        relay.grant(sandbox)
        load = Load(relay, ledger, options.connections)
        trouble = asyncio.create_task(make_trouble(sandbox, chance))
        kills, last = 0, began + options.minutes * 60
        for number in range(1, options.kills + 1):
            if time.monotonic() > last:
                say("the time is up")
                break
            kills = number
            if shutil.which("strace") and number % options.points == 0:
                points += await kill_at_a_point(relay, chance)
            else:
                await kill_at_random(relay, chance, options.up)
            if number % max(1, options.kills // 20) == 0:
                say(f"{number} kills, {len(ledger.accepted)} accepted, {len(sandbox.messages)} sent")
        trouble.cancel()
        sandbox.faults.clear()
        relay.start()
        while len(ledger.accepted) < options.messages and time.monotonic() < last:
            await asyncio.sleep(0.1)
        await load.end()
        say("draining")
        await relay.drain()
        await relay.stop()
        nursery.close()
        result = {
            "kills": kills,
            "of_them_at_named_points": points,
            **judge(ledger, sandbox, relay),
            "seconds": round(time.monotonic() - began),
        }
    return finish(result, WRONG, as_json=options.json)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=100_000, help="at least so many are accepted")
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--up", type=float, default=0.25, help="seconds that it lives, on average")
    parser.add_argument("--points", type=int, default=20, help="every n-th kill at a named point")
    parser.add_argument("--minutes", type=float, default=60, help="then it ends, whatever is missing")
    return start(run, parser, "kill")


if __name__ == "__main__":
    sys.exit(main())
