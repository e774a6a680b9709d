"""One message among a hundred that nobody can read: the others are sent in order.

    python tests/load/poison.py

Each kind of poison is put in the middle of a hundred. What is within the limits goes out, in the end as
`message.eml`; what is over them fails for good. None of them may hold up the others.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

import driving

from relay.sandbox import Settings
from relay.spool import State

KINDS = {
    "garbage": random.Random(1).randbytes(20_000),
    "nested too deep": b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(300)
    ),
    "endless field": b"Subject: " + b"x " * 200_000 + b"\r\n\r\n",
    "nothing": b"",
}


async def run(kind, messages):
    with tempfile.TemporaryDirectory() as folder:
        async with driving.loaded(
            Path(folder) / "state",
            Settings(requests_per_minute=0, mails_per_minute=0),
            account=[driving.accounts(1)[0] | {"mails_per_minute": 0}],
            works={"requests_per_minute": 0},
            delivery={"wait": "0s"},
        ) as relay:
            half = messages // 2
            ids = await driving.put_many(relay, "box0", half)
            poison = await driving.put(
                relay, "box0", source="192.0.2.1", number=0, content=KINDS[kind] or b"\r\n"
            )
            ids += await driving.put_many(relay, "box0", messages - half - 1, first=half)
            await settled(relay, len(ids) + 1)
            starts = [(await relay.service.spool.attempts(one))[0].started for one in ids]
            entry = await relay.service.spool.show(poison)
            states = [(await relay.service.spool.show(one)).state for one in ids]
            sent = relay.sandbox.messages
            files = [a["filename"] for m in sent for a in relay.sandbox.request(m.id).get("attachments", [])]
    result = {
        "kind": kind,
        "others_relayed": sum(state is State.RELAYED for state in states),
        "others": len(ids),
        "in_order": starts == sorted(starts),
        "poison": entry.state.value,
        "losses": [loss.loss for loss in entry.losses],
        "files": files,
        "reason": entry.reason,
    }
    return result, result["others_relayed"] == len(ids) and result["in_order"]


async def settled(relay, number):
    for _ in range(3000):
        counts = await relay.service.spool.counts()
        if counts[State.RELAYED] + counts[State.FAILED] >= number:
            return
        await asyncio.sleep(0.02)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=100)
    wish = parser.parse_args()
    driving.be_quiet()
    codes = []
    for kind in KINDS:
        result, kept = asyncio.run(run(kind, wish.messages))
        codes.append(driving.report(result, kept=kept))
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
