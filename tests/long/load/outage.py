"""Works is down for three days: what is tried meanwhile, and what becomes of the mail.

python -m tests.long.load.outage                       a look every two minutes of three simulated days
python -m tests.long.load.outage --step 0              every probe of them
python -m tests.long.load.outage --kind cut-before     connections are cut instead of answered with 503

The relay and the simulated Works share a clock that jumps from probe to probe. Works is asked by a call that
costs no message, so no message is tried meanwhile. `give_up_after` is shorter
than the outage, so that what is not excused would be given up; the access tokens die in it too.
A small message whose connection is cut may have been taken: it is unknown until it is sent again.
"""

import argparse
import asyncio
import math
import sys
import tempfile
import time
from pathlib import Path

from relay.sandbox import Settings
from relay.spool import State
from tests.long.load import driving
from tests.support.windows import most_in

HOUR = 3600.0
PROBE_EVERY = 30.0  # seconds; Works is asked no more often than this while it is down
ACCOUNTS = 2
QUIET = 20  # looks without anything under way, until the courier is taken to be asleep


async def settle_down(relay):
    quiet = 0
    while quiet < QUIET:
        await asyncio.sleep(0.0005)
        quiet = 0 if relay.service.courier.under_way else quiet + 1


async def soonest(relay):
    """Seconds until something can happen."""
    service, counts = relay.service, await relay.service.spool.counts()
    names = [account.name for account in service.config.account]
    waits = [max(service.standing.wait(one), service.pacing.next_free(one)) for one in names]
    if service.standing.api_is_down:
        waits = [service.standing.next_probe_in()]
    due = service.spool.next_due()
    if not counts[State.QUEUED] and due is not None:
        return max(min(waits), due - relay.clock.now())
    return min(waits)


async def pass_by(relay, step):
    """Let everything that is due be done, then let time jump."""
    await settle_down(relay)
    wait = await soonest(relay)
    if math.isinf(wait):
        await asyncio.sleep(0.002)  # Works is being asked just now: its answer says when to go on
    else:
        relay.pass_time(max(step, wait, driving.LEAST_STEP))


async def is_waiting(spool):
    counts = await spool.counts()
    return any(counts[state] for state in (State.QUEUED, State.SENDING, State.DELAYED))


async def put_by_smtp(relay, ids):
    ids.append(await relay.put(subject=f"during the outage {len(ids)}", sender="box0@example.com"))


async def endure(relay, *, hours, every, step, ids):
    """Be without Works for so many hours, with a new message every so often."""
    end, next_message = relay.clock.now() + hours * HOUR, 0.0
    while relay.clock.now() < end:
        if relay.clock.now() >= next_message:
            await put_by_smtp(relay, ids)
            next_message = relay.clock.now() + every
        await pass_by(relay, step)


async def run(kind="503", *, hours=72.0, messages=300, every=HOUR, step=0.0):
    with tempfile.TemporaryDirectory() as folder:
        async with driving.loaded(
            Path(folder) / "state",
            Settings(),
            account=driving.accounts(ACCOUNTS),
            delivery={"wait": "0s", "give_up_after": "1d"},
        ) as relay:
            began, sandbox, spool = time.monotonic(), relay.sandbox, relay.service.spool
            fault = sandbox.add_fault(kind, times=0, at="any")
            ids = []
            for number in range(ACCOUNTS):
                ids += await driving.put_many(relay, f"box{number}", messages // ACCOUNTS)
            while relay.service.pacing.circuit.down_since is None:
                await pass_by(relay, 1.0)
            await settle_down(relay)
            opened, before = relay.clock.now(), fault.met
            await endure(relay, hours=hours, every=every, step=step, ids=ids)
            tried = len(await spool.history(opened))
            at_the_end, met = await spool.counts(), fault.met - before
            sandbox.faults.clear()
            recovered = relay.clock.now()
            while await is_waiting(spool):
                await pass_by(relay, 0.0)
            counts, seen = await spool.counts(), sandbox.messages
            subjects = [sandbox.request(one.id)["subject"] + one.account for one in seen]
    times = [message.time for message in seen]
    result = {
        "kind": kind,
        "hours": hours,
        "messages": len(ids),
        "requests_while_it_was_down": met,
        "messages_tried_while_it_was_down": tried,
        "seconds_between_requests": round(hours * HOUR / met, 1),
        "given_up": at_the_end[State.FAILED],
        "held": counts[State.HELD],
        "relayed": counts[State.RELAYED],
        "sent_twice": len(subjects) - len(set(subjects)),
        "most_in_a_minute_of_recovery": most_in(times),
        "minutes_to_recover": round((times[-1] - recovered) / 60, 1),
        "took_seconds": round(time.monotonic() - began, 1),
    }
    kept = (
        len(seen) == counts[State.RELAYED] == len(ids) - counts[State.HELD]
        and (counts[State.HELD] == 0 or kind != "503")
        and tried == 0
        and result["seconds_between_requests"] >= PROBE_EVERY
        and result["given_up"] == result["sent_twice"] == 0
        and result["most_in_a_minute_of_recovery"] <= ACCOUNTS * Settings().mails_per_minute
    )
    return result, kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", default="503", choices=["503", "cut-before", "cut-in"])
    parser.add_argument("--hours", type=float, default=72.0)
    parser.add_argument("--step", type=float, default=120.0, help="seconds that pass at once, at least")
    parser.add_argument("--messages", type=int, default=300)
    wish = parser.parse_args()
    driving.be_quiet()
    result, kept = asyncio.run(run(wish.kind, hours=wish.hours, messages=wish.messages, step=wish.step))
    sys.exit(driving.report(result, kept=kept))


if __name__ == "__main__":
    main()
