"""Five thousand messages of one source, then one of another: how many slots it waits for.

python tests/load/fairness.py
python tests/load/fairness.py --accounts 5    the noisy one sends by all of them, the other by the last
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import driving

from relay.sandbox import Settings
from relay.spool import State


async def run(messages, accounts=1):
    with tempfile.TemporaryDirectory() as folder:
        async with driving.loaded(
            Path(folder) / "state",
            Settings(keep=0),
            account=driving.accounts(accounts),
            delivery={"wait": "0s"},
        ) as relay:
            noisy = []
            for number in range(accounts):
                noisy += await driving.put_many(relay, f"box{number}", messages // accounts)
            sandbox = relay.sandbox
            await driving.drive(relay, lambda: len(sandbox.messages) >= 50)
            before = relay.clock.now()
            quiet = await driving.put(relay, f"box{accounts - 1}", source="192.0.2.2", number="quiet")
            entry = None
            while entry is None or entry.state is not State.RELAYED:
                goal = len(sandbox.messages) + 1
                await driving.drive(relay, lambda goal=goal: len(sandbox.messages) >= goal)
                entry = await relay.service.spool.show(quiet)
            spool = relay.service.spool
            started = (await spool.attempts(quiet))[0].started
            slots = sum(one.started < started for one in await spool.history(before))
            waited = relay.clock.now() - before
            left = await driving.count(relay, State.QUEUED)
    result = {
        "queued_by_the_other": len(noisy),
        "accounts": accounts,
        "still_queued": left,
        "slots_waited_for": slots,
        "simulated_seconds": round(waited, 2),
    }
    return result, slots <= 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=5_000)
    parser.add_argument("--accounts", type=int, default=1)
    wish = parser.parse_args()
    driving.be_quiet()
    result, kept = asyncio.run(run(wish.messages, wish.accounts))
    sys.exit(driving.report(result, kept=kept))


if __name__ == "__main__":
    main()
