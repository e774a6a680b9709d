"""Five thousand messages of one source, then one of another: how many slots it waits for.

python -m tests.long.load.fairness
python -m tests.long.load.fairness --accounts 5    the noisy one sends by all; one of another comes to each
python -m tests.long.load.fairness --after 200     when the burst is over and slots are a second apart

A slot that it waits for is one of its own mailbox that another gets first. While its mailbox has none to
give (a minute's budget is spread by the second), the other mailboxes go on: their slots are none of its
and are printed beside.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from relay.sandbox import Settings
from relay.spool import State
from tests.long.load import driving


def watch_claims(spool):
    """Whose turn it was, in the order in which turns were given.

    Not the order of starts on disk: many turns given before the newcomer came may start after it.
    """
    given, claim = [], spool.claim

    async def watched(accounts, now):
        one = await claim(accounts, now)
        if one is not None:
            given.append((one.entry.queue_id, one.entry.account))
        return one

    spool.claim = watched
    return given


async def wait_for(relay, account, number, given):
    """One message of a source of its own: how many turns and seconds it waits once it is kept."""
    spool, sandbox = relay.service.spool, relay.sandbox
    before = relay.clock.now()
    quiet = await driving.put(relay, account, source=f"192.0.2.{2 + number}", number=f"quiet {number}")
    # A turn given while its row was written was no turn of its.
    known = len(given)
    while (await spool.show(quiet)).state is not State.RELAYED:
        goal = len(sandbox.messages) + 1
        await driving.drive(relay, lambda goal=goal: len(sandbox.messages) >= goal)
    others = list(dict.fromkeys(given[known:]))
    others = others[: others.index((quiet, account))] if (quiet, account) in others else []
    return {
        "slots": len(others),
        "slots_of_its_mailbox": sum(name == account for _, name in others),
        "seconds": round(relay.clock.now() - before, 2),
    }


async def run(messages, accounts=1, after=50):
    with tempfile.TemporaryDirectory() as folder:
        async with driving.loaded(
            Path(folder) / "state",
            Settings(keep=0),
            account=driving.accounts(accounts),
            delivery={"wait": "0s"},
        ) as relay:
            for number in range(accounts):
                await driving.put_many(relay, f"box{number}", messages // accounts)
            given = watch_claims(relay.service.spool)
            await driving.drive(relay, lambda: len(relay.sandbox.messages) >= after)
            waits = [await wait_for(relay, f"box{n}", n, given) for n in range(accounts)]
            left = await driving.count(relay, State.QUEUED)
    result = {
        "queued_by_the_other": messages,
        "accounts": accounts,
        "sent_before": after,
        "still_queued": left,
    }
    result |= {f"most_{name}": max(one[name] for one in waits) for name in waits[0]}
    return result, result["most_slots_of_its_mailbox"] <= 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=5_000)
    parser.add_argument("--accounts", type=int, default=1)
    parser.add_argument("--after", type=int, default=50, help="how many are sent before the other comes")
    wish = parser.parse_args()
    driving.be_quiet()
    result, kept = asyncio.run(run(wish.messages, wish.accounts, wish.after))
    sys.exit(driving.report(result, kept=kept))


if __name__ == "__main__":
    main()
