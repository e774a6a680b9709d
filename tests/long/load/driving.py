"""What the load scripts share: the whole relay in one process, and a clock that jumps from slot to slot.

The relay and the simulated Works live by one clock, so half an hour of paced sending takes seconds, and
what the one permits is counted by the other.
"""

import asyncio
import contextlib
import json
from datetime import UTC, datetime

import structlog

from relay.config.model import Log
from relay.envelope import Envelope, Submission
from relay.host.logs import set_up
from relay.spool import State
from tests.support.relay import relaying

LEAST_STEP = 0.005  # seconds


def be_quiet():
    """Only errors to standard error: the result alone is printed."""
    set_up(Log(level="error"))
    structlog.get_logger().debug("quiet")


def accounts(number):
    return [{"name": f"box{n}", "address": f"box{n}@example.com", "default": n == 0} for n in range(number)]


def make_content(account, number):
    return f"From: {account}@example.com\r\nTo: r@example.net\r\nSubject: {number}\r\n\r\nx\r\n".encode()


async def put(relay, account, *, source, number):
    """Keep one message of a source, as the door would, and do not wait."""
    spool = relay.service.spool
    writer = spool.writer()
    writer.write(make_content(account, number))
    arrival = datetime.fromtimestamp(relay.clock.now(), UTC)
    envelope = Envelope("", ("r@example.net",), arrival, client_address=source)
    return await spool.put(Submission(envelope, writer.finish()), account)


async def put_many(relay, account, number, *, source="192.0.2.1", first=0):
    """Keep many, a hundred to a commit."""
    ids = []
    for start in range(0, number, 100):
        some = range(first + start, first + min(start + 100, number))
        ids += await asyncio.gather(*[put(relay, account, source=source, number=n) for n in some])
    return ids


async def drive(relay, done, left=None):
    """Let time jump to the next slot whenever nothing is under way, until `done()`.

    `left` gives the accounts that have mail left; all by default.
    """
    courier, pacing = relay.service.courier, relay.service.pacing
    names = [account.name for account in relay.service.config.account]
    idle = 0
    while not done():
        await asyncio.sleep(0)
        wait = min(pacing.next_free(name) for name in (left() if left else names))
        # A claim that is being made looks idle for a moment.
        idle = idle + 1 if not courier.under_way else 0
        if courier.under_way or (wait <= 0 and idle < 50):
            await asyncio.sleep(0.0005)
            continue
        relay.clock.move(max(LEAST_STEP, wait))
        pacing.wake()
        courier.wake()
        idle = 0


async def count(relay, state=State.RELAYED):
    return (await relay.service.spool.counts())[state]


def report(result, *, kept):
    """Print the figures; the exit code says whether they are what was promised."""
    print(json.dumps(result | {"kept": kept}))
    return 0 if kept else 1


@contextlib.asynccontextmanager
async def loaded(folder, settings, **sections):
    async with relaying(folder, settings, **sections) as relay:
        yield relay
