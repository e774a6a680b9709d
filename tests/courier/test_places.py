"""A message that waits for the converting process keeps nobody from being sent."""

import asyncio
import os
import signal
from types import SimpleNamespace

import pytest

from relay.courier.slots import Slots
from relay.spool import State
from tests.support.converter import all_children
from tests.support.relay import relaying, until

PATIENCE = 60.0  # seconds
# Nothing that the event loop converts itself: a form that nobody knows the cost of before it is read.
DEAR = (
    b"From: scanner@example.com\r\nTo: a@example.net\r\nSubject: dear\r\n"
    b"Content-Type: application/ms-tnef\r\nContent-Transfer-Encoding: base64\r\n\r\neJ8+IgAA\r\n"
)


def slots(concurrency, *accounts):
    config = SimpleNamespace(works=SimpleNamespace(concurrency=concurrency), account=accounts)
    return Slots(SimpleNamespace(config=config), lambda: None)


async def take(some, account):
    async with asyncio.timeout(PATIENCE):
        await some.acquire()
    return some.take(account)


async def test_a_process_that_takes_long_keeps_nobody_from_being_sent(tmp_path):
    """Twenty senders of the worst messages had all places, and nothing was sent until one was converted.

    And another device's scan waited for each of theirs.
    """
    before = set(all_children())
    async with relaying(tmp_path / "state", works={"concurrency": 1}, delivery={"wait": "0s"}) as relay:
        await relay.reach(await relay.put(content=DEAR), State.RELAYED)
        (child,) = set(all_children()) - before
        os.kill(child, signal.SIGSTOP)
        try:
            dear = [await relay.put(content=DEAR) for _ in range(4)]
            await until(lambda: relay.service.courier.under_way)
            for number in range(3):
                await relay.reach(await relay.put(subject=f"small {number}"), State.RELAYED)
            scan = await relay.put(content=DEAR, source="127.0.0.2")
            await relay.reach(scan, State.RELAYED)
            assert [(await relay.entry(one)).state for one in dear] == [State.QUEUED] * 4
        finally:
            os.kill(child, signal.SIGCONT)
        for one in dear:
            await relay.reach(one, State.RELAYED)


async def convert_meanwhile(place):
    """A task for which the place is lent, and the event that ends it."""
    entered, go = asyncio.Event(), asyncio.Event()

    async def convert():
        async with place.lent():
            entered.set()
            await go.wait()

    converting = asyncio.create_task(convert())
    await entered.wait()
    return converting, go


async def test_a_place_is_waited_for_before_the_message_is_sent():
    some = slots(1, "a", "b")
    place = await take(some, "a")
    converting, go = await convert_meanwhile(place)
    other = await take(some, "b")
    go.set()
    await asyncio.sleep(0)
    assert not converting.done()
    other.give_back()
    await asyncio.wait_for(converting, PATIENCE)
    assert some.is_full("a")
    place.give_back()
    place.give_back()  # once is enough
    assert not some.is_full("a")
    (await take(some, "b")).give_back()


async def test_an_account_that_has_its_share_gets_no_place_back_beyond_it():
    """Its calls hang: what was converted meanwhile must not take the others' places."""
    some = slots(3, "a", "b", "c")
    place = await take(some, "a")
    converting, go = await convert_meanwhile(place)
    hanging = await take(some, "a")
    go.set()
    for other in ("b", "c"):
        (await take(some, other)).give_back()
    assert not converting.done()
    hanging.give_back()
    await asyncio.wait_for(converting, PATIENCE)


@pytest.mark.parametrize(
    ("most", "accounts", "taken"),
    [(20, 1, [20]), (20, 2, [19, 1]), (20, 3, [18, 1, 1]), (20, 4, [17, 1, 1, 1]), (3, 4, [1, 1, 1, 0])],
)
async def test_accounts_whose_calls_hang_leave_a_place_for_each_other_one(most, accounts, taken):
    """Two of them had all twenty places, and the third account's mail waited until their calls ended."""
    names = [str(number) for number in range(accounts)]
    some, found = slots(most, *names), []
    for name in names:
        found.append(0)
        while sum(found) < most and not some.is_full(name):
            await take(some, name)
            found[-1] += 1
    assert found == taken


@pytest.mark.parametrize("end", [ValueError, asyncio.CancelledError])
async def test_what_ends_within_has_no_place_and_gives_none_back(end):
    some = slots(1, "a")
    place = await take(some, "a")
    with pytest.raises(end):
        async with place.lent():
            raise end
    place.give_back()
    held = await take(some, "a")
    assert some.lent == 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await some.acquire()
    held.give_back()
