"""One message among a hundred that nobody can read: the others are sent in order.

    python -m tests.long.load.poison

A program sends a hundred messages in one SMTP session; each kind of poison is put in the middle. What is
within the limits goes out: what cannot be understood as an attachment `message.eml` with its exact octets.
What is over the limits fails for good, and its sender is told. None of them may hold up the others.
"""

import argparse
import asyncio
import hashlib
import random
import smtplib
import sys
import tempfile
from pathlib import Path

from relay.sandbox import Settings
from relay.spool import State
from tests.long.load import driving


def make_garbage():
    """Octets of all values but the dot and line ends that a transport may change, in lines."""
    octets = random.Random(1).randbytes(20_000).translate(None, b"\r\n.")
    return b"".join(octets[n : n + 500] + b"\r\n" for n in range(0, len(octets), 500))


# What becomes of each: carried as it is, carried as any message, or failed.
KINDS = {
    "garbage": (make_garbage(), "message.eml"),
    "nested too deep": (
        b"".join(
            b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(300)
        ),
        State.FAILED,
    ),
    "endless field": (b"Subject: " + b"x " * 200_000 + b"\r\n\r\n", State.FAILED),
    "nothing": (b"\r\n", State.RELAYED),
}


def send(address, contents):
    """Give all of them to the relay in one session; the queue ids."""
    ids = []
    with smtplib.SMTP(*address, timeout=30) as client:
        client.ehlo("program.test")
        for content in contents:
            client.mail("box0@example.com")
            client.rcpt("r@example.net")
            code, text = client.data(content)
            assert code == 250, text
            ids.append(text.decode().rpartition("id=")[2])
    return ids


async def run(kind, messages):
    poison, _ = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        async with driving.loaded(
            Path(folder) / "state",
            Settings(requests_per_minute=0, mails_per_minute=0),
            account=[driving.accounts(1)[0] | {"mails_per_minute": 0}],
            # One request at a time: of several that wait for a connection any may be the first to start.
            works={"requests_per_minute": 0, "concurrency": 1},
            delivery={"wait": "0s"},
        ) as relay:
            contents = [driving.make_content("box0", n) for n in range(messages - 1)]
            contents.insert(messages // 2, poison)
            ids = await asyncio.to_thread(send, relay.service.server.addresses[0], contents)
            bad = ids.pop(messages // 2)
            await settled(relay, messages)
            spool, sandbox = relay.service.spool, relay.sandbox
            starts = [(await spool.attempts(one))[0].started for one in ids]
            entry = await spool.show(bad)
            states = [(await spool.show(one)).state for one in ids]
            files = [
                (file["filename"], file["sha256"])
                for message in sandbox.messages
                for file in sandbox.request(message.id).get("attachments", [])
            ]
    result = {
        "kind": kind,
        "others_relayed": sum(state is State.RELAYED for state in states),
        "others": len(ids),
        "in_order": starts == sorted(starts),
        "poison": entry.state.value,
        "losses": [loss.loss for loss in entry.losses],
        "files": [name for name, _ in files],
        "its_octets": files == [("message.eml", hashlib.sha256(poison).hexdigest())],
        "reason": entry.reason,
    }
    return result, result["others_relayed"] == len(ids) and result["in_order"] and as_meant(result)


def as_meant(result):
    """Whether the poison became what its kind is to become."""
    meant = KINDS[result["kind"]][1]
    if meant == "message.eml":
        return result["poison"] == "relayed" and result["its_octets"] and "unreadable" in result["losses"]
    return result["poison"] == meant and "message.eml" not in result["files"]


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
