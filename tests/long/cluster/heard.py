"""Sessions at one machine whose mail another one sends: is the verdict heard, and how much later?

    python -m tests.long.cluster.heard --messages 1000

On one server two databases: of one a single machine, of the other two, of which the one that does not send
takes the mail. The same client sends to both in turn, at most five messages a second. Exit code 1 if less
than 999 of 1,000 hear `relayed`, or the half of them hear it over 10 ms later than at the single machine.
"""

import asyncio
import statistics
import sys
import time
from collections import defaultdict
from contextlib import AsyncExitStack

from tests.long.cluster.clients import Book, Caller, Door
from tests.long.cluster.machines import Machine, Site, database_server, store_grant
from tests.long.crash.harness import chance_of, compose, finish, make_parser, say, start, works

WRONG = ("too_few_heard", "too_late")
MOST_LATER = 10.0  # ms


class Side:
    """A machine that takes mail, and what its clients waited for."""

    def __init__(self, machine, chance):
        self._caller = Caller(Door([machine], chance), Book(), chance)
        self.seconds, self.heard = [], 0

    async def send(self, number):
        began = time.perf_counter()
        answer = await self._caller.submit(number, compose(number))
        self.seconds.append(time.perf_counter() - began)
        self.heard += answer is not None and "relayed" in answer

    def figures(self):
        ordered = sorted(self.seconds)
        return {
            "p50_ms": round(statistics.median(ordered) * 1000, 1),
            "p99_ms": round(ordered[int(0.99 * len(ordered))] * 1000, 1),
            "heard": self.heard,
        }


async def begin(stack, folder, url, server, name, sandbox, number):
    """So many machines on a database of this name."""
    machines = [
        Machine(folder / f"{name}-{at}", url, server.url(name, "relay"), None, wait="5s")
        for at in range(number)
    ]
    await store_grant(machines[0], sandbox)
    for one in machines:
        one.start()
        stack.push_async_callback(one.end)
    site = Site(machines, server, name)
    await site.all_listen()
    return site


async def run(options, folder):
    chance, sides = chance_of(options.seed), {}
    async with AsyncExitStack() as stack:
        server, alone = await stack.enter_async_context(database_server())
        both = await asyncio.to_thread(server.make)
        sandbox, url = await stack.enter_async_context(works())
        single = await begin(stack, folder, url, server, alone, sandbox, 1)
        pair = await begin(stack, folder, url, server, both, sandbox, 2)
        sender = await pair.sender()
        await asyncio.sleep(8)  # each node has heard of the other
        taker = next(one for one in pair.machines if one is not sender)
        sides = {"one machine": Side(single.machines[0], chance), "two machines": Side(taker, chance)}
        for number in range(1, options.messages + 1):
            for side in sides.values():
                await side.send(number)
            await asyncio.sleep(1 / options.rate)
            if number % 200 == 0:
                say({name: side.figures() for name, side in sides.items()})
    figures = {name: side.figures() for name, side in sides.items()}
    later = figures["two machines"]["p50_ms"] - figures["one machine"]["p50_ms"]
    result = defaultdict(int, figures)
    result |= {
        "messages_of_each": options.messages,
        "later_ms": round(later, 1),
        "too_few_heard": int(sides["two machines"].heard < 0.999 * options.messages),
        "too_late": int(later > MOST_LATER),
    }
    return finish(result, WRONG, as_json=options.json)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--messages", type=int, default=1000, help="to each")
    parser.add_argument("--rate", type=float, default=5.0, help="messages a second, at most")
    return start(run, parser, "heard")


if __name__ == "__main__":
    sys.exit(main())
