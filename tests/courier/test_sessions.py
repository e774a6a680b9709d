"""Two sessions may wait for one message: that of a client which hung up, and its next try."""

import asyncio

import pytest

from relay.courier.verdicts import Sessions
from relay.outcome import Action, Blame, Outcome

TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken")


async def test_what_is_said_to_one_is_said_to_both():
    sessions = Sessions()
    both = [asyncio.create_task(sessions.wait("1A", "scanner", 10)) for _ in range(2)]
    await asyncio.sleep(0)
    assert sessions.bind("1A")
    sessions.answer("1A", TAKEN)
    assert await asyncio.gather(*both) == [TAKEN, TAKEN]
    assert not sessions.bind("1A")


async def test_who_joins_after_the_verdict_and_before_the_first_has_left_hears_it():
    """It once waited for ever for a verdict that had been given."""
    sessions = Sessions()
    first = asyncio.create_task(sessions.wait("1A", "scanner", 10))
    await asyncio.sleep(0)
    sessions.bind("1A")
    sessions.answer("1A", TAKEN)
    with pytest.raises(StopIteration) as heard:  # it returned without waiting: the first has not run yet
        sessions.wait("1A", "scanner", 10).send(None)
    assert heard.value.value == TAKEN
    assert await first == TAKEN


async def test_who_joins_a_bound_wait_hears_the_word_whatever_its_patience():
    """The first one's refusal is being settled: nobody may be told 250 meanwhile."""
    sessions = Sessions()
    first = asyncio.create_task(sessions.wait("1A", "scanner", 10))
    await asyncio.sleep(0)
    sessions.bind("1A")
    second = asyncio.create_task(sessions.wait("1A", "scanner", 0))
    await asyncio.sleep(0.05)
    assert not second.done()
    sessions.answer("1A", TAKEN)
    assert await asyncio.gather(first, second) == [TAKEN, TAKEN]
