"""Windows and rates by themselves: what they keep, and for how long."""

import random
from bisect import bisect_right

import pytest
import structlog

from relay.works.diagnosis import Answer
from relay.works.pace.budget import DAY, MINUTE, Rate, Window
from tests.support.pacing import NO_LIMIT, limits, pacing_of


@pytest.mark.parametrize("length", [MINUTE, DAY])
def test_a_window_that_nobody_asks_stays_small(length):
    """Without a limit nobody asks how much is used: 60 MB a day were kept for nothing."""
    window, now = Window(length), 0.0
    for _ in range(100_000):
        now += 4 * length / 100_000
        window.take()
        window.end(now)
    assert len(window._ends) <= 1441
    assert window.used(now) == pytest.approx(25_000, rel=0.01)


def test_a_day_of_a_busy_mailbox_costs_constant_time():
    window = Window(DAY)
    for number in range(200_000):
        window.take(3)
        window.end(number * 0.5, 3)
        window.room_in(number * 0.5, 10, 10**9)
    assert 3 * 2 * DAY <= window.used(99_999.5) <= 3 * 2 * (DAY + 60)


def test_a_window_never_counts_too_little_and_hardly_too_much():
    """What ended about the same time is one entry, which goes when the last of it may go."""
    dice, window, ends, now = random.Random(5), Window(MINUTE), [], 0.0

    def younger(seconds, at):
        return len(ends) - bisect_right(ends, at - seconds)

    for _ in range(5000):
        now += dice.expovariate(20)
        window.add(now, 1)
        ends.append(now)
        used = window.used(now)
        assert younger(MINUTE, now) <= used <= younger(MINUTE + 0.05, now)
        if used > 1000:
            wait = window.room_in(now, 1, 1001)
            assert younger(MINUTE - 1e-6, now + wait) <= 1000


def test_a_mailbox_without_limits_keeps_little():
    """Nobody asked its windows either: neither the minute's nor the day's."""
    pacing, clock = pacing_of(0, a=NO_LIMIT, b=limits(mails=0), c=limits(recipients=0))
    for name in "abc":
        for _ in range(20_000):
            clock.now += 4 * DAY / 20_000
            slot = pacing.take(name)
            if slot is None or slot.bind(1):
                continue
            slot.end()
        mailbox = pacing._mailboxes[name]
        assert len(mailbox.day._ends) + len(mailbox.rate.window._ends) < 3000
    assert len(pacing.api.window._ends) < 1500


def test_a_limit_that_the_api_named_once_is_not_for_ever():
    """One answer with "rateLimit-limit: 1", and one request a minute went out for ever."""
    rate = Rate(240)
    rate.learn(1, None, 0.0, 1000.0)
    assert rate.allowed(1000.0) == rate.allowed(1500.0) == 1
    assert rate.allowed(1601.0) == 240
    rate.learn(2, None, 0.0, 1601.0)
    rate.learn(2, None, 0.0, 2200.0)
    assert rate.allowed(2700.0) == 2


def test_a_lower_limit_is_said_once():
    pacing, clock = pacing_of(240)
    with structlog.testing.capture_logs() as said:
        for limit in ("240", "60", "60", "1000", "60"):
            pacing.learn(Answer(202, {"ratelimit-limit": limit}))
            clock.now += 1
    assert [(one["log_level"], one["per_minute"]) for one in said] == [("warning", 60)] * 2
