"""Second mails without faults, and with faults after which Works certainly has nothing.

    python tests/crash/duplicates.py --messages 10000

First all messages go through a Works in good health. Then as many again meet, one at a time, faults that
provably took nothing: reset before the body, reset within it, 503 and 429 that refuse, 401 for an old
token. Exit code 1 if any message was sent twice, or lost.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

from harness import Client, Ledger, Relay, chance_of, compose, finish, judge, say, works

# Of "token-death" only the access token dies: the refresh token gives another.
FAULTS = {
    "cut-before": {},
    "cut-in": {},
    "503": {},
    "429": {},
    "token-death": {"access_only": True},
}
# Not unknown outcomes: of a small body it cannot be known that it was cut within.
WRONG = ("lost", "duplicates", "kept_twice", "250_without_a_row")


async def submit_all(relay, ledger, numbers, connections):
    async def work():
        client = Client(relay)
        for number in numbers:
            kind = "large" if number % 50 == 0 else "small"
            ledger.enter(number, *await client.insist(number, compose(number, kind)))
        client.hang_up()

    await asyncio.gather(*(work() for _ in range(connections)))


async def interfere(sandbox, chance, met):
    while True:
        await asyncio.sleep(chance.uniform(0.3, 0.6))
        kind = chance.choice(list(FAULTS))
        fault = sandbox.add_fault(kind, times=1, **FAULTS[kind])
        while fault in sandbox.faults.standing():
            await asyncio.sleep(0.02)
        met[kind] += 1


async def run(options, folder):
    chance, ledger, met = chance_of(options.seed), Ledger(), Counter()
    async with works() as (sandbox, url):
        relay = Relay(folder, url)
        relay.grant(sandbox)
        relay.start()
        await relay.listening()
        await submit_all(relay, ledger, iter(range(1, options.messages + 1)), options.connections)
        healthy = len(sandbox.messages) - len({one.subject for one in sandbox.messages})
        say(f"in good health: {len(sandbox.messages)} sent, {healthy} of them twice")
        trouble = asyncio.create_task(interfere(sandbox, chance, met))
        numbers = iter(range(options.messages + 1, 2 * options.messages + 1))
        await submit_all(relay, ledger, numbers, options.connections)
        trouble.cancel()
        sandbox.faults.clear()
        await relay.drain()
        await relay.stop()
        result = {
            **judge(ledger, sandbox, relay),
            "duplicates_in_good_health": healthy,
            "faults_met": dict(met),
        }
    return finish(result, WRONG, as_json=options.json)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relay-twice-") as folder:
        return asyncio.run(run(options, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
