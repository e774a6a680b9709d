"""Budgets with a clock that the test moves: never above the limit in any window, at least 95 % of it."""

import asyncio
import heapq
import random

import pytest

from relay.works.diagnosis import Answer
from relay.works.pace.pacing import Pacing, Sent
from tests.support.pacing import NO_LIMIT, limits, pacing_of
from tests.support.windows import most_in


def drain(pacing, clock, queues, *, latency=0.05, jitter=0.0):
    """Send what waits as fast as slots come; the times at which the API counted, by account.

    Every request is counted somewhere between its start and its answer, as `jitter` says.
    """
    dice = random.Random(7)
    counted, under_way, number = [], [], 0
    queues = dict(queues)
    while any(queues.values()) or under_way:
        while under_way and under_way[0][0] <= clock.now:
            heapq.heappop(under_way)[2].end()
        taken = False
        for account in [name for name, left in queues.items() if left]:
            slot = pacing.take(account)
            if slot is None:
                continue
            assert slot.bind(1) == 0.0
            taken, number = True, number + 1
            queues[account] = queues.pop(account) - 1  # to the end of the line, as who asks again stands
            took = latency + dice.random() * jitter
            counted.append((clock.now + dice.random() * took, account))
            heapq.heappush(under_way, (clock.now + took, number, slot))
        if not taken:
            waits = [pacing.next_free(name) for name, left in queues.items() if left]
            soonest = min(waits, default=1.0)
            if under_way:
                soonest = min(soonest, under_way[0][0] - clock.now)
            clock.now += max(soonest, 0.001)
    return sorted(counted)


def test_one_mailbox_never_above_60_and_at_least_95_percent():
    pacing, clock = pacing_of()
    times = [when for when, _ in drain(pacing, clock, {"a": 1000}, jitter=0.3)]
    assert most_in(times, 60.0) <= 60
    assert 1000 / ((times[-1] - times[0]) / 60) >= 0.95 * 60


def test_five_mailboxes_share_the_domain_and_halve_after_half_an_hour():
    """10,000 over 5 accounts: 240 a minute for half an hour, then 120."""
    names = "abcde"
    pacing, clock = pacing_of(240, **{name: limits() for name in names})
    counted = drain(pacing, clock, dict.fromkeys(names, 2000), jitter=0.2)
    times = [when for when, _ in counted]
    assert most_in(times, 60.0) <= 240
    for name in names:
        assert most_in([when for when, account in counted if account == name], 60.0) <= 60
    later = [when for when in times if when > times[0] + 1800]
    assert most_in(later, 60.0) <= 120
    minutes = (times[-1] - times[0]) / 60
    permitted = 30 * 240 + (minutes - 30) * 120
    assert 10_000 / permitted >= 0.95


def test_slow_answers_never_push_a_window_over_the_limit():
    """A request counts wherever between its start and its answer the API counts it."""
    pacing, clock = pacing_of(240, a=NO_LIMIT)
    times = [when for when, _ in drain(pacing, clock, {"a": 2000}, latency=0.01, jitter=8.0)]
    assert most_in(times, 60.0) <= 240


def test_accounts_take_turns():
    names = "ab"
    pacing, clock = pacing_of(60, **dict.fromkeys(names, NO_LIMIT))
    counted = drain(pacing, clock, {"a": 300, "b": 300})
    half = counted[: len(counted) // 2]
    assert abs(sum(account == "a" for _, account in half) - len(half) / 2) <= 2


def test_half_of_a_minute_may_go_at_once_and_the_rest_is_spread():
    """A person's scan then waits for a slot and not for a minute."""
    pacing, _clock = pacing_of(0, a=limits(60))
    at_once = 0
    assert pacing.room("a") == 30
    while (slot := pacing.take("a")) is not None:
        slot.bind(1)
        slot.end()
        at_once += 1
        assert (pacing.room("a") > 0) == (at_once < 30)
    assert at_once == 30
    assert 0 < pacing.next_free("a") <= 1.0


def test_zero_is_no_limit():
    pacing, _clock = pacing_of(0, a=NO_LIMIT)
    for _ in range(5000):
        slot = pacing.take("a")
        assert slot is not None
        assert slot.bind(500) == 0.0
        slot.end()
    assert pacing.room("a") > 10**6


def test_recipients_of_a_day():
    pacing, clock = pacing_of(0, a=limits(0, 1000))
    for _ in range(2):
        slot = pacing.take("a")
        assert slot.bind(500) == 0.0
        slot.end()
        clock.now += 3600
    slot = pacing.take("a")
    wait = slot.bind(1)
    slot.cancel()
    assert wait == pytest.approx(86400 - 7200)
    clock.now += wait
    assert pacing.take("a").bind(500) == 0.0


def test_mail_to_one_does_not_take_each_recipient_that_mail_to_many_waits_for():
    """The day is full and frees one recipient a minute: whoever needs five of them gets them, too."""
    pacing, clock = pacing_of(0, a=limits(0, 100))
    for _ in range(100):
        with pacing.take("a") as slot:
            assert slot.bind(1) == 0.0
        clock.now += 60
    clock.now += 86400 - 100 * 60  # the first one becomes free
    sent, due = [], 0.0
    for minute in range(20):
        if clock.now >= due:
            with pacing.take("a") as slot:
                wait = slot.bind(5, "to five")
            due = clock.now + wait
            sent += [(minute, 5)] if not wait else []
            due = due if wait else 1e9
        while pacing.next_free("a") == 0.0:
            with pacing.take("a") as slot:
                assert slot.bind(1, "to one") == 0.0  # nobody is called in vain
            sent.append((minute, 1))
        clock.now += 60
    assert sent[0] == (4, 5)
    assert len(sent) == 16  # and then one a minute


def test_room_that_is_kept_for_mail_that_never_comes_is_free_again():
    """Somebody threw it away: a day later nobody waits for it any more."""
    pacing, clock = pacing_of(0, a=limits(0, 10))
    with pacing.take("a") as slot:
        slot.bind(8)
    with pacing.take("a") as slot:
        assert slot.bind(5, "thrown away") > 0
    assert pacing.take("a").bind(1) > 0
    assert pacing.take("a").bind(5) > 0  # of another message
    clock.now += 86400
    assert pacing.take("a").bind(5) == 0.0
    clock.now += 86401
    assert pacing.take("a").bind(5) == 0.0


def test_more_recipients_than_a_day_allows_go_alone():
    """Works itself says no to them, and a person hears it; waiting for ever tells nobody."""
    pacing, _clock = pacing_of(0, a=limits(0, 100))
    assert pacing.take("a").bind(300) == 0.0


def test_a_cancelled_slot_costs_nothing():
    pacing, clock = pacing_of(4, a=limits(4, 100))
    for _ in range(50):
        slot = pacing.take("a")
        slot.bind(100)
        slot.cancel()
        slot.end()  # harmless
    assert pacing.api.window.used(clock.now) == 0
    assert pacing.take("a").bind(100) == 0.0


def test_a_restart_remembers():
    pacing, clock = pacing_of(240, a=limits(60, 1000))
    wall = 1_700_000_000.0
    pacing.seed([Sent(wall - 90_000, "a", 900), Sent(wall - 7200, "a", 800)], wall)
    pacing.seed([Sent(wall - 30, "a", 1) for _ in range(60)], wall)
    assert pacing.next_free("a") == pytest.approx(30)
    clock.now += 31
    slot = pacing.take("a")
    assert slot.bind(141) > 0
    assert slot.bind(140) == 0.0


def test_history_from_the_future_counts_as_now():
    pacing, _clock = pacing_of(0, a=limits(1))
    pacing.seed([Sent(5000.0, "a", 1), Sent(6000.0, "gone", 1)], wall=1000.0)
    assert 0 < pacing.next_free("a") <= 60


def answer(status=202, **headers):
    return Answer(status, {f"ratelimit-{name}": str(value) for name, value in headers.items()})


def test_a_429_pauses_every_message():
    pacing, clock = pacing_of(240, a=limits(), b=limits())
    slot = pacing.take("a")
    slot.bind(1)
    slot.answered(answer(429, reset=17))
    slot.end()
    assert pacing.next_free("b") == pytest.approx(17)
    clock.now += 17
    assert pacing.take("b") is not None


def test_a_pause_is_kept_without_a_limit_too():
    pacing, _ = pacing_of(0, a=NO_LIMIT)
    pacing.learn(answer(429))
    assert pacing.next_free("a") == pytest.approx(60)


def test_a_lower_limit_is_learned_and_a_higher_one_is_not():
    pacing, clock = pacing_of(240, a=NO_LIMIT)
    pacing.learn(answer(limit=60, remaining=59, reset=60))
    assert pacing.api.allowed(clock.now) == 60
    pacing.learn(answer(limit=9999, remaining=9998, reset=60))
    assert pacing.api.allowed(clock.now) == 240
    pacing.learn(answer(limit=0))
    pacing.learn(Answer(202, {"ratelimit-limit": "many"}))
    assert pacing.api.allowed(clock.now) == 240


def test_what_others_of_the_domain_use_is_left_to_them():
    pacing, clock = pacing_of(100, a=NO_LIMIT)
    pacing.learn(answer(limit=100, remaining=3, reset=20))
    taken = 0
    while pacing.take("a") is not None:
        taken += 1
        clock.now += 0.7
    assert taken == 3
    clock.now = 1000.0 + 20
    assert pacing.take("a") is not None


def test_what_others_use_comes_from_what_the_configuration_leaves_them():
    """60 of the domain's 240 are ours by the configuration: 120 used by others cost us none of them."""
    pacing, clock = pacing_of(60, a=NO_LIMIT)
    pacing.learn(answer(limit=240, remaining=120, reset=60))
    assert pacing.api.allowed(clock.now) == 60
    taken = 0
    while pacing.take("a") is not None:
        taken += 1
    assert taken == 30
    pacing.learn(answer(limit=240, remaining=5, reset=60))
    assert pacing.take("a") is None


def test_a_429_that_asks_for_no_wait_makes_no_storm():
    """`rateLimit-reset: 0` is a second that is not over yet."""
    pacing, _ = pacing_of(240, a=NO_LIMIT)
    pacing.learn(answer(429, limit=240, remaining=0, reset=0))
    assert pacing.next_free("a") == pytest.approx(1)


def test_our_own_use_is_not_taken_for_others():
    pacing, _clock = pacing_of(100, a=NO_LIMIT)
    for number in range(40):
        slot = pacing.take("a")
        slot.bind(1)
        slot.answered(answer(limit=100, remaining=99 - number, reset=60))
        slot.end()
    assert pacing.take("a") is not None


async def test_slots_are_waited_for_in_the_order_of_asking():
    pacing = Pacing(0, {"a": limits(600)})
    for _ in range(300):
        pacing.take("a").end()
    order = []

    async def wait(number):
        slot = await pacing.slot("a")
        order.append(number)
        slot.end()

    await asyncio.gather(*[wait(number) for number in range(4)])
    assert order == [0, 1, 2, 3]


async def test_who_stops_waiting_leaves_the_slot_to_the_next():
    pacing = Pacing(0, {"a": limits(600)})
    for _ in range(300):
        pacing.take("a").end()
    first = asyncio.create_task(pacing.slot("a"))
    second = asyncio.create_task(pacing.slot("a"))
    await asyncio.sleep(0.01)
    first.cancel()
    slot = await second
    assert pacing.api.window.under_way == 1
    slot.cancel()
    assert pacing.api.window.under_way == 0


async def test_an_account_that_is_full_does_not_hold_up_another():
    pacing = Pacing(0, {"full": limits(2), "free": limits(600)})
    for _ in range(2):
        if slot := pacing.take("full"):
            slot.end()
    waiting = asyncio.create_task(pacing.slot("full"))
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        (await pacing.slot("free")).end()
    waiting.cancel()


async def test_a_second_request_of_one_message_takes_its_share():
    pacing = Pacing(240, {"a": limits()})
    with pacing.take("a") as slot:
        slot.bind(1)
        await slot.again()
    assert pacing.api.window.used(pacing.now()) == 2
    assert pacing.api.window.under_way == 0


async def test_an_unknown_account_is_an_error_at_once():
    with pytest.raises(KeyError):
        await Pacing(0, {}).slot("nobody")


def test_an_open_circuit_lets_through_one_and_only_when_it_is_told_to():
    pacing, clock = pacing_of(0, a=NO_LIMIT)
    pacing.circuit.open(clock.now)
    clock.now += 3600
    assert pacing.take("a") is None
    assert pacing.next_free("a") > 0
    for _ in range(3):
        pacing.circuit.let_one()
        with pacing.take("a"):
            pacing.circuit.let_one()
            assert pacing.take("a") is None  # one at a time
        pacing.circuit.open(clock.now)
        assert pacing.take("a") is None
    pacing.circuit.close()
    assert pacing.take("a") is not None


def test_after_recovery_no_burst_above_the_rate():
    pacing, clock = pacing_of(60, a=NO_LIMIT)
    pacing.circuit.open(clock.now)
    clock.now += 3600
    pacing.circuit.let_one()
    pacing.take("a").end()
    pacing.circuit.close()
    times = [when for when, _ in drain(pacing, clock, {"a": 300})]
    assert most_in(times, 60.0) <= 60
