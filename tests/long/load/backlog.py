"""A backlog drained through the whole relay: the share of what is permitted, and what any minute held.

python -m tests.long.load.backlog                      10,000 messages over 5 accounts
python -m tests.long.load.backlog --messages 1000 --accounts 1
python -m tests.long.load.backlog --one-source         the same program sends by every account
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from relay.sandbox import Settings
from tests.long.load import driving
from tests.support.windows import most_in, permitted

HALF_HOUR = 1800.0


async def run(messages, accounts, *, one_source=False):
    settings = Settings(keep=0)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        async with driving.loaded(
            Path(folder) / "state", settings, account=driving.accounts(accounts), delivery={"wait": "0s"}
        ) as relay:
            names = [f"box{number}" for number in range(accounts)]
            for number, name in enumerate(names):
                # Each account is a department's, and has its own programs; or one program has them all.
                source = "192.0.2.1" if one_source else f"192.0.2.{number}"
                await driving.put_many(relay, name, messages // accounts, source=source)
            sandbox = relay.sandbox

            def left():
                sent = sandbox.counts()["by_account"]
                return [
                    name for name in names if sent.get(f"{name}@example.com", 0) < messages // accounts
                ] or names

            await driving.drive(relay, lambda: len(sandbox.messages) >= messages, left)
            seen, answers = sandbox.messages, sandbox.counts()["answers"]
    times = [message.time for message in seen]
    minutes = (times[-1] - times[0]) / 60
    each = {message.account for message in seen}
    result = {
        "messages": len(seen),
        "accounts": accounts,
        "sources": 1 if one_source else accounts,
        "answers": answers,
        "simulated_minutes": round(minutes, 2),
        "share_of_permitted": round(
            len(seen) / permitted(minutes, accounts, settings.requests_per_minute, settings.mails_per_minute),
            4,
        ),
        "most_in_a_minute": most_in(times),
        "most_in_a_minute_of_one_account": max(
            most_in([m.time for m in seen if m.account == one]) for one in each
        ),
        "most_in_a_minute_after_half_an_hour": most_in(
            [t for t in times if t > times[0] + HALF_HOUR] or [0.0]
        ),
        "took_seconds": round(time.monotonic() - began, 1),
    }
    kept = (
        set(answers) == {"202"}
        and result["share_of_permitted"] >= 0.95
        and result["most_in_a_minute"] <= settings.requests_per_minute
        and result["most_in_a_minute_of_one_account"] <= settings.mails_per_minute
        and result["most_in_a_minute_after_half_an_hour"] <= settings.requests_per_minute // 2
    )
    return result, kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--accounts", type=int, default=5)
    parser.add_argument("--one-source", action="store_true")
    wish = parser.parse_args()
    driving.be_quiet()
    result, kept = asyncio.run(run(wish.messages, wish.accounts, one_source=wish.one_source))
    sys.exit(driving.report(result, kept=kept))


if __name__ == "__main__":
    main()
