"""The short form of each script here: what they show is checked in every run of the suite."""

import asyncio
import sys

import pytest

from tests.long.load import backlog, fairness, hanging, outage, poison, stop


@pytest.mark.parametrize(
    ("messages", "accounts", "one_source"), [(400, 5, False), (400, 5, True), (100, 1, True)]
)
async def test_a_backlog_goes_out_at_the_permitted_rate_and_never_above(messages, accounts, one_source):
    result, _ = await backlog.run(messages, accounts, one_source=one_source)
    assert result["answers"] == {"202": messages}
    assert result["share_of_permitted"] > 0.9
    assert result["most_in_a_minute"] <= 240
    assert result["most_in_a_minute_of_one_account"] <= 60


@pytest.mark.parametrize(("accounts", "after"), [(1, 50), (5, 50), (5, 150)])
async def test_a_newcomer_waits_for_two_slots_at_most(accounts, after):
    """Of its mailbox, counted from its 250: a slower machine gave away more while its row was written."""
    result, kept = await fairness.run(300, accounts, after)
    assert kept, result


@pytest.mark.parametrize("kind", ["503", "cut-before"])
async def test_three_days_without_works_lose_nothing_and_make_no_storm(kind):
    async with asyncio.timeout(180):
        result, kept = await outage.run(kind, messages=40, every=24 * 3600.0, step=2 * 3600.0)
    assert kept, result


@pytest.mark.parametrize("kind", poison.KINDS)
async def test_poison_does_not_hold_up_the_others(kind):
    result, kept = await poison.run(kind, 20)
    assert kept, result


async def test_sigterm_ends_it_in_time_and_loses_nothing():
    result, kept = await stop.run(sys.executable, idle=10, in_data=4)
    assert kept, result
    assert result["accepted"] == result["ended_their_data"]


async def test_an_account_whose_calls_hang_holds_up_no_other():
    """Its calls took every place for attempts: the other account's mail waited for over a minute."""
    result, _ = await hanging.run(mails=5, every=0.1)
    assert result["relayed_in_time"] == 5, result
    assert not result["works_taken_for_down"]
