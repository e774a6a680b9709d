"""One account's calls hang for ever; another account's mail, one a second, must go as if nothing were wrong.

python -m tests.long.load.hanging                    60 mails beside 40 of the account that hangs
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from relay.sandbox import Settings
from relay.spool import State
from tests.long.load import driving

# A verdict that comes later than this was not in time for the session.
WAIT = 10.0


async def send_one(relay, number):
    """Seconds until the reply, and whether it said `relayed`."""
    began = time.monotonic()
    _, text = await relay.send("a@example.net", subject=f"well {number}", sender="box1@example.com")
    return time.monotonic() - began, "relayed" in text


async def run(mails=60, hanging=40, every=1.0):
    with tempfile.TemporaryDirectory() as folder:
        async with driving.loaded(
            Path(folder) / "state",
            Settings(),
            account=driving.accounts(2),
            delivery={"wait": f"{WAIT:.0f}s"},
        ) as relay:
            silence = relay.sandbox.add_fault(
                "no-answer", at="send", account="box0@example.com", times=0, seconds=3600.0
            )
            await driving.put_many(relay, "box0", hanging)
            while silence.met < min(hanging, relay.service.config.works.concurrency - 1):
                await asyncio.sleep(0.05)
            answers = []
            for number in range(mails):
                seconds, relayed = await send_one(relay, number)
                answers.append((seconds, relayed))
                await asyncio.sleep(max(0.0, every - seconds))
            # One a second is all that the mailbox's budget permits: a few hear `queued` and go soon.
            end = time.monotonic() + WAIT
            while await driving.count(relay) < mails and time.monotonic() < end:
                await asyncio.sleep(0.05)
            sent = await driving.count(relay)
            failed = await driving.count(relay, State.FAILED)
            down = relay.service.standing.api_is_down
    seconds = [one for one, _ in answers]
    result = {
        "mails": mails,
        "hanging_calls": silence.met,
        "heard_relayed": sum(relayed for _, relayed in answers),
        "relayed_in_time": sent,
        "p50_seconds": round(statistics.median(seconds), 3),
        "most_seconds": round(max(seconds), 3),
        "failed": failed,
        "works_taken_for_down": down,
    }
    kept = result["relayed_in_time"] == mails and result["p50_seconds"] <= 1.0 and not failed and not down
    return result, kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mails", type=int, default=60)
    parser.add_argument("--hanging", type=int, default=40)
    wish = parser.parse_args()
    driving.be_quiet()
    result, kept = asyncio.run(run(wish.mails, wish.hanging))
    sys.exit(driving.report(result, kept=kept))


if __name__ == "__main__":
    main()
