"""Sources take turns at the converting process, by what their messages cost."""

import asyncio

import pytest

from relay.conversion import turns
from relay.conversion.turns import Turns

PATIENCE = 60.0  # seconds


class Queue:
    """Messages that wait for a process, and the order in which they come to it."""

    def __init__(self, monkeypatch):
        self.seconds = 0.0
        self.order = []
        self._begun = asyncio.Event()  # all have asked
        self.turns = Turns()
        self._tasks = []
        monkeypatch.setattr(turns.time, "monotonic", lambda: self.seconds)

    def ask(self, line, count, seconds=0.0):
        self._tasks += [asyncio.ensure_future(self._have(line, seconds)) for _ in range(count)]

    async def _have(self, line, seconds):
        async with self.turns.turn(line):
            self.order.append(line)
            await self._begun.wait()
            self.seconds += seconds

    async def end(self):
        await asyncio.sleep(0)
        self._begun.set()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*self._tasks)
        return self.order


@pytest.fixture
def queue(monkeypatch):
    monkeypatch.setattr(turns, "_SOON", PATIENCE)
    return Queue(monkeypatch)


async def test_a_source_that_floods_holds_another_up_by_one_message(queue):
    """A scan waited for each message of forty senders of the worst: eight seconds."""
    queue.ask("hostile", 50, seconds=0.3)
    queue.ask("scanner", 10, seconds=0.02)
    order = await queue.end()
    assert order[:12] == ["hostile"] + ["scanner"] * 10 + ["hostile"]


async def test_what_a_message_costs_is_its_sources(queue):
    """Ten scans take as long as one of the others', and each of the two sources gets the same time."""
    queue.ask("dear", 3, seconds=0.2)
    queue.ask("scanner", 30, seconds=0.02)
    order = await queue.end()
    gaps = [len(one) for one in "".join(name[0] for name in order).split("d")[1:3]]
    assert all(8 <= gap <= 12 for gap in gaps), order


async def test_a_source_has_one_process_and_another_source_the_other(monkeypatch):
    """Who sends what takes long holds up its own mail, and nobody else's for more than a moment."""
    monkeypatch.setattr(turns, "_SOON", 0.01)
    some, go, had = Turns(), asyncio.Event(), []

    async def have(line):
        async with some.turn(line):
            had.append(line)
            await go.wait()

    tasks = [asyncio.ensure_future(have("a")) for _ in range(3)]
    await asyncio.sleep(0.1)
    tasks += [asyncio.ensure_future(have("b")) for _ in range(2)]
    async with asyncio.timeout(PATIENCE):
        while "b" not in had:
            await asyncio.sleep(0.01)
    assert had == ["a", "b"]
    go.set()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*tasks)
    assert sorted(had) == ["a", "a", "a", "b", "b"]


async def test_who_gives_up_waiting_has_no_place(queue):
    """Also if it was given in the same moment."""
    some = queue.turns

    async def have(line):
        async with some.turn(line):
            await asyncio.Event().wait()

    first, second, third = (asyncio.ensure_future(have("a")) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    third.cancel()  # it has just been given the place
    await asyncio.gather(third, return_exceptions=True)
    queue.ask("b", 1)
    assert await queue.end() == ["b"]
