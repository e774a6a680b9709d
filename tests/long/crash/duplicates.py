"""Second mails without faults, and with faults after which Works certainly has nothing.

    python -m tests.long.crash.duplicates --messages 10000

First all messages go through a Works in good health. Then as many again while faults take nothing, one at
a time: resets before the body and within it, 503, 429, 400, 403, 413, and 401 for an old token. Then
messages of 15 MB that are reset, and at last connections that are refused. Of a small body nobody can know
that it was cut: its last octet has left the machine. Such an attempt is unknown, and is the only kind that
may be; a body larger than all buffers is known to have been cut.

Exit code 1 if any message was sent twice or lost, one that was refused was sent, an unknown outcome has no
such cause, or a fault was met fewer times than `--least`.
"""

import asyncio
import itertools
import sqlite3
import sys
from collections import Counter

from relay.console.server import serving
from tests.long.crash.harness import (
    Client,
    Ledger,
    Relay,
    chance_of,
    compose,
    finish,
    free_port,
    judge,
    make_parser,
    say,
    start,
    works,
)

# Of "token-death" only the access token dies: the refresh token gives another. A 429 lasts a second.
FAULTS = {
    "cut-before": {},
    "cut-in": {},
    "503": {},
    "429": {"seconds": 1},
    "token-death": {"access_only": True},
    "400": {},
    "a proxy's 400": {"kind": "wrong-content-type", "status": 400},
    "403": {"kind": "wrong-content-type", "status": 403},
    "413": {},
}
CUTS = ("cut-before", "cut-in")
# Messages that go well between two faults: two in a row would be an outage, and nothing sent for a while.
BETWEEN = 10
WRONG = (
    "lost",
    "sent_after_5yz",
    "duplicates",
    "kept_twice",
    "250_without_a_row",
    "unknown_outcomes_without_a_cause",
    "faults_hardly_met",
)


async def submit_all(relay, ledger, numbers, connections):
    async def work():
        client = Client(relay)
        for number in numbers:
            kind = "large" if number % 50 == 0 else "small"
            ledger.enter(number, *await client.insist(number, compose(number, kind)))
        client.hang_up()

    await asyncio.gather(*(work() for _ in range(connections)))


async def interfere(sandbox, chance, met):
    """Let one request after another meet a fault, each kind as often as the others."""
    while True:
        kinds = [kind for kind in FAULTS if met[kind] == min(met[one] for one in FAULTS)]
        kind = chance.choice(kinds)
        fault = sandbox.add_fault(**{"kind": kind, "times": 1, **FAULTS[kind]})
        while fault in sandbox.faults.standing():
            await asyncio.sleep(0.005)
        met[kind] += fault.met
        sent = len(sandbox.messages)
        while len(sandbox.messages) < sent + BETWEEN:
            await asyncio.sleep(0.005)


async def meet_faults(relay, sandbox, ledger, chance, options, first):
    """The faults under load; how often each was met."""
    met, last = Counter(dict.fromkeys(FAULTS, 0)), first + 8 * options.messages

    def numbers():
        for number in range(first, last):
            if number >= first + options.messages and min(met.values()) >= options.least:
                return
            yield number

    trouble = asyncio.create_task(interfere(sandbox, chance, met))
    await submit_all(relay, ledger, numbers(), options.connections)
    trouble.cancel()
    sandbox.faults.clear()
    return met


async def cut_huge_ones(relay, sandbox, ledger, numbers, least):
    """Messages that no buffer holds, each cut once; how often that was met."""
    met, client = Counter(), Client(relay)
    for _, kind in itertools.product(range(least), CUTS):
        fault, number = sandbox.add_fault(kind, times=1), next(numbers)
        ledger.enter(number, *await client.insist(number, compose(number, "huge")))
        await relay.drain()
        met[f"{kind} of 15 MB"] += fault.met
    client.hang_up()
    return met


async def refuse_connections(relay, sandbox, ledger, numbers, least, port):
    """One message at a time, for which at first nobody listens; how often the relay noted that."""
    client = Client(relay)
    for one in range(1, least + 1):
        number = next(numbers)
        submitting = asyncio.create_task(client.insist(number, compose(number)))
        while count_refused(relay) < one:
            await asyncio.sleep(0.01)
        async with serving(sandbox.app, port=port):
            ledger.enter(number, *await submitting)
            while sandbox.messages[-1].subject != f"n{number}":
                await asyncio.sleep(0.01)
    client.hang_up()
    return count_refused(relay)


def count_refused(relay):
    database = sqlite3.connect(f"file:{relay.state}/spool/spool.db?mode=ro", uri=True)
    query = "SELECT COUNT(*) FROM request WHERE json_extract(outcome, '$.status') = '4.4.1'"
    (count,) = database.execute(query).fetchone()
    database.close()
    return count


def count_unexplained(relay, huge, met):
    """Unknown outcomes of huge messages, and those of others beyond the cuts that these met."""
    unknown = {number: sum(one[2] for one in found) for number, found in relay.rows().items()}
    of_huge = sum(count for number, count in unknown.items() if number in huge)
    return of_huge + max(0, sum(unknown.values()) - of_huge - sum(met[kind] for kind in CUTS))


async def run(options, folder):
    chance, ledger, least = chance_of(options.seed), Ledger(), options.least
    async with works() as (sandbox, url):
        relay = Relay(folder, url, attachment_limit="20MB")
        relay.grant(sandbox)
        relay.start()
        await relay.listening()
        await submit_all(relay, ledger, iter(range(1, options.messages + 1)), options.connections)
        await relay.drain()
        healthy = len(sandbox.messages) - len({one.subject for one in sandbox.messages})
        say(f"in good health: {len(sandbox.messages)} sent, {healthy} of them twice")
        met = await meet_faults(relay, sandbox, ledger, chance, options, options.messages + 1)
        await relay.drain()
        say(f"under load: {dict(met)}")
        numbers = itertools.count(10 * options.messages)
        met += await cut_huge_ones(relay, sandbox, ledger, numbers, least)
        huge = range(10 * options.messages, next(numbers))
        await relay.stop()
        say("huge ones were cut; now nobody listens")
        port = free_port()
        relay = Relay(folder, f"http://127.0.0.1:{port}", port=relay.port)
        relay.start()
        await relay.listening()
        met["refused"] = await refuse_connections(relay, sandbox, ledger, numbers, least, port)
        await relay.drain()
        await relay.stop()
        judged = judge(ledger, sandbox, relay)
        result = {
            **judged,
            "duplicates_in_good_health": healthy,
            "unknown_outcomes_without_a_cause": count_unexplained(relay, huge, met),
            "faults_met": dict(met),
            "faults_hardly_met": [kind for kind, count in met.items() if count < least],
        }
    return finish(result, WRONG, as_json=options.json)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--least", type=int, default=50, help="so often each fault is met")
    parser.add_argument("--connections", type=int, default=10)
    return start(run, parser, "twice")


if __name__ == "__main__":
    sys.exit(main())
