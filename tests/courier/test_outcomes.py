"""What each answer of Works does to a message, from SMTP to the simulated Works and back."""

import asyncio
import contextlib

import pytest

from relay.sandbox import Settings
from relay.spool import State
from relay.works.client import Client
from relay.works.diagnosis import Answer, diagnose
from tests.support.relay import relaying, until


@pytest.fixture
async def relay(tmp_path):
    async with relaying(tmp_path / "state") as one:
        yield one


async def test_the_session_hears_that_works_took_it(relay):
    code, text = await relay.send()
    assert (code, text.partition(",")[0]) == (250, "2.0.0 relayed")
    assert relay.subjects() == ["Scan"]


async def test_the_session_hears_a_refusal_and_nothing_is_kept(relay):
    """5yz means that nothing was sent and nothing will be: there is nothing to retry, and no notice."""
    relay.sandbox.add_fault("400")
    code, text = await relay.send()
    assert (code, text[:5]) == (554, "5.6.0")
    entry = await relay.entry(text.rpartition("id=")[2].rstrip(")"))
    assert entry.state is State.REFUSED
    assert relay.sandbox.messages == []


async def test_413_is_too_large_for_good(relay):
    relay.sandbox.add_fault("413")
    code, text = await relay.send()
    assert (code, text[:5]) == (552, "5.3.4")


@pytest.mark.parametrize("status", [400, 403, 413, 418, 451, 501])
async def test_an_answer_that_is_not_named_permanent_delays_the_message(relay, status):
    """The session does not sit through the whole of its wait: the next attempt is a minute away."""
    relay.sandbox.add_fault("wrong-content-type", status=status)
    async with asyncio.timeout(3):
        queue_id = await relay.put()
    assert (await relay.entry(queue_id)).state is State.DELAYED
    relay.pass_time(70)
    assert (await relay.reach(queue_id, State.RELAYED)).attempts == 2


async def test_what_goes_at_once_is_settled_as_what_was_put_before(relay):
    """A small message is kept and started in one commit when nothing waits: its trace tells no difference."""
    await relay.put()
    first = await relay.put()
    assert [one["action"] for one in await relay.attempts(first)] == ["relayed"]
    relay.sandbox.add_fault("503")
    second = await relay.put()
    assert (await relay.entry(second)).state is State.DELAYED
    relay.pass_time(70)
    assert (await relay.reach(second, State.RELAYED)).attempts == 2
    assert len(await relay.attempts(second)) == 2
    relay.sandbox.add_fault("no-answer", seconds=0.1)
    third = await relay.put()
    assert (await relay.reach(third, State.DELAYED)).unknowns == 1


@pytest.mark.parametrize("kind", ["cut-before", "cut-in"])
async def test_broken_before_the_body_had_left_is_tried_again_at_once(tmp_path, kind):
    """A connection that broke early was not taken: one more try costs nothing but a slot.

    The half that is not read must not fit into the kernel's buffers, or nobody knows.
    """
    async with relaying(tmp_path / "state", delivery={"wait": "60s"}) as relay:
        relay.sandbox.add_fault(kind)
        code, text = await relay.send(body="x" * 16_000_000)
        assert (code, text.partition(",")[0]) == (250, "2.0.0 relayed")
        assert len(relay.sandbox.messages) == 1


async def test_429_stops_the_budget_and_spends_nothing(relay):
    relay.sandbox.add_fault("429", seconds=30)
    first = await relay.put(subject="first")
    second = await relay.put(subject="second")
    assert [len(await relay.attempts(one)) for one in (first, second)] == [1, 0]
    assert [(await relay.entry(one)).attempts for one in (first, second)] == [0, 0]
    relay.pass_time(61)
    for one in (first, second):
        await relay.reach(one, State.RELAYED)
    assert sorted(relay.subjects()) == ["first", "second"]


@pytest.mark.parametrize("kind", ["500", "cut-after", "no-answer"])
async def test_unknown_is_sent_again_twice_at_most_then_a_person_decides(tmp_path, kind):
    wish = {"times": 0, "accepted": True} if kind == "500" else {"times": 0}
    if kind == "no-answer":
        wish["seconds"] = 3.0
    async with relaying(tmp_path / "state", works={"read_timeout": "0.3s"}) as relay:
        relay.sandbox.add_fault(kind, **wish)
        queue_id = await relay.put()
        for unknowns in (1, 2):
            entry = await relay.reach(queue_id, State.DELAYED)
            assert entry.unknowns == unknowns
            relay.pass_time(170)
            await asyncio.sleep(0.05)
            assert (await relay.entry(queue_id)).unknowns == unknowns  # minutes apart
            relay.pass_time(20)
            await until(lambda n=unknowns: has_unknowns(relay, queue_id, n + 1))
        entry = await relay.reach(queue_id, State.HELD)
        assert entry.unknowns == 3
        relay.pass_time(86400)
        await asyncio.sleep(0.1)
        assert len(relay.sandbox.messages) == 3  # the first and two more
        assert [one["action"] for one in await relay.attempts(queue_id)] == ["unknown"] * 3
        relay.sandbox.faults.clear()
        await relay.service.verbs.queue_release([queue_id], unknown=True)
        await relay.reach(queue_id, State.RELAYED)


async def has_unknowns(relay, queue_id, unknowns):
    return (await relay.entry(queue_id)).unknowns >= unknowns


async def test_on_unknown_hold_asks_a_person_at_once(tmp_path):
    async with relaying(tmp_path / "state", delivery={"on_unknown": "hold"}) as relay:
        relay.sandbox.add_fault("500")
        queue_id = await relay.put()
        assert (await relay.entry(queue_id)).state is State.HELD


async def test_401_is_mended_by_one_refresh(relay):
    relay.sandbox.add_fault("token-death", access_only=True)
    code, text = await relay.send()
    assert (code, text.partition(",")[0]) == (250, "2.0.0 relayed")


async def test_403_holds_the_account_only_when_a_second_message_meets_it(relay):
    relay.sandbox.add_fault("wrong-content-type", status=403, times=2)
    first = await relay.put(subject="first")
    assert relay.service.standing.held == {}
    second = await relay.put(subject="second")
    assert list(relay.service.standing.held) == ["scanner"]
    assert (await relay.entry(second)).attempts == 0
    third = await relay.put(subject="third")
    assert (await relay.entry(third)).state is State.QUEUED
    relay.pass_time(301)
    for queue_id in (first, second, third):
        await relay.reach(queue_id, State.RELAYED)
    assert relay.service.standing.held == {}


async def test_recipients_of_several_requests_are_each_served_once(tmp_path):
    """The second request meets trouble: the first is not repeated when it is tried again."""
    async with relaying(tmp_path / "state", works={"recipients_per_mail": 2}) as relay:
        relay.sandbox.add_fault("latency", times=1, seconds=0.3)
        to = [f"r{number}@example.net" for number in range(5)]
        sending = asyncio.create_task(relay.put(*to))
        await asyncio.sleep(0.15)
        relay.sandbox.add_fault("503")
        queue_id = await sending
        entry = await relay.reach(queue_id, State.DELAYED)
        assert len(entry.relayed) == 2
        relay.pass_time(70)
        await relay.reach(queue_id, State.RELAYED)
        served = [
            address
            for one in relay.sandbox.messages
            for field in ("to", "cc", "bcc")
            for address in relay.sandbox.request(one.id).get(field, "").replace(" ", "").split(";")
            if address
        ]
        assert sorted(served) == to
        # The second attempt has only the others to serve, and still nobody of To is left out of the mail.
        losses = (await relay.entry(queue_id)).losses
        assert "other-recipients" not in [loss.loss for loss in losses]


async def test_what_has_had_its_250_is_kept_when_it_fails(tmp_path):
    async with relaying(
        tmp_path / "state", delivery={"wait": "0s", "retry": ["1m"], "give_up_after": "5m"}
    ) as relay:
        relay.sandbox.add_fault("503", times=0)
        queue_id = await relay.put()
        for _ in range(6):
            await relay.reach(queue_id, State.DELAYED, State.FAILED)
            relay.pass_time(61)
            await asyncio.sleep(0.1)
        entry = await relay.reach(queue_id, State.FAILED)
        assert entry.status == "5.4.7"
        assert "out of service" in entry.reason
        relay.sandbox.faults.clear()
        await relay.service.verbs.queue_retry([queue_id])
        relay.pass_time(31)  # the notice met the outage too, so the circuit is open
        await relay.reach(queue_id, State.RELAYED)


async def test_one_message_that_breaks_us_blocks_nobody(tmp_path):
    """A fault of our own while a message is handled: the others go on, and it waits for a person."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        held = await relay.put(content=b"Subject: big\r\n\r\n" + b"x" * 200_000)
        relay.service.spool._files.path(held).unlink(missing_ok=True)
        others = [await relay.put(subject=str(number)) for number in range(3)]
        for queue_id in others:
            await relay.reach(queue_id, State.RELAYED)


async def test_limits_of_works_hold_the_account(tmp_path):
    """The mailbox's day is used up: its mail waits, nothing bounces, and goes when there is room again."""
    settings = Settings(recipients_per_day=2)
    async with relaying(tmp_path / "state", settings) as relay:
        for number in range(2):
            await relay.put(subject=str(number))
        queue_id = await relay.put(subject="one too many")
        assert list(relay.service.standing.held) == ["scanner"]
        entry = await relay.entry(queue_id)
        assert (entry.state, entry.attempts) == (State.QUEUED, 0)
        relay.pass_time(86400)
        assert (await relay.reach(queue_id, State.RELAYED)).attempts == 1


def is_quiet(relay):
    """Whether every attempt has ended, and the answer to every probe was understood."""
    return not relay.service.courier.under_way and not relay.service.standing.probes_due()


async def test_two_messages_that_get_403_again_and_again_are_held_and_never_given_up(tmp_path):
    """Once two have met it, the first one's next refusal is no sign that the account is well again."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s", "give_up_after": "6h"}) as relay:
        refusing = relay.sandbox.add_fault("wrong-content-type", status=403, times=0)
        ids = [await relay.put(subject=subject) for subject in ("first", "second")]
        await until(lambda: relay.service.standing.held and not relay.service.courier.under_way)
        for _ in range(12):
            before = refusing.met
            relay.pass_time(3601)
            await until(lambda before=before: refusing.met > before and is_quiet(relay))
            assert list(relay.service.standing.held) == ["scanner"]
        for queue_id in ids:
            assert (await relay.entry(queue_id)).attempts <= 1
        relay.sandbox.faults.clear()
        await relay.log_in()
        for queue_id in ids:
            relay.pass_time(3601)
            await relay.reach(queue_id, State.RELAYED)


async def test_a_login_ends_a_hold_that_only_the_api_knew_of(tmp_path):
    """The grant refreshes well and the API refuses it all the same: nobody waits an hour after the login."""
    async with relaying(tmp_path / "state") as relay:
        refusing = relay.sandbox.add_fault("wrong-content-type", status=401, times=0)
        queue_id = await relay.put()
        assert "log in again" in relay.service.standing.held["scanner"].reason
        assert relay.service.authorizer.trouble("scanner") is None
        refusing.times = 1  # met long ago: it is over
        relay.clock.move(5)
        await relay.log_in()
        await relay.reach(queue_id, State.RELAYED)


async def test_an_account_in_trouble_is_probed_by_one_message_at_a_time(relay):
    """The limit that it is over counts every request; and twenty mails in a row lock a mailbox for longer."""
    refusing = relay.sandbox.add_fault("wrong-content-type", status=404, times=0)
    relay.sandbox.add_fault("latency", times=0, seconds=0.1)
    for number in range(10):
        await relay.put(subject=str(number))
    service = relay.service
    await until(lambda: service.standing.held and not service.courier.under_way)
    for _ in range(4):
        before = refusing.met
        relay.pass_time(3601)
        await until(lambda before=before: refusing.met > before and is_quiet(relay))
        assert refusing.met == before + 1


async def test_one_account_without_an_answer_keeps_works_down_for_nobody(tmp_path):
    """Works was asked for the first account alone: while its calls failed, nobody's mail was sent."""
    accounts = [{"name": name, "address": f"{name}@example.com"} for name in ("ill", "well")]
    async with relaying(tmp_path / "state", account=accounts, delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("503", at="mail", account="ill@example.com", times=0)
        relay.sandbox.add_fault("503", at="send", account="well@example.com")
        await relay.reach(await relay.put(sender="ill@example.com"), State.DELAYED)
        waiting = await relay.put(sender="well@example.com")
        await until(lambda: relay.service.standing.api_is_down)
        for _ in range(20):
            relay.pass_time(60)
            with contextlib.suppress(AssertionError):
                await until(relay.subjects, patience=0.2)
                break
        await relay.reach(waiting, State.RELAYED)


async def test_a_probe_that_says_nothing_makes_room_for_the_next(relay, monkeypatch):
    """A fault of ours in the probe must not leave the account without one for good."""
    refusing = relay.sandbox.add_fault("wrong-content-type", status=404, times=0)
    queue_id = await relay.put()
    service = relay.service
    await until(lambda: service.standing.held and not service.courier.under_way)
    refusing.times = 1  # met long ago: it is over
    with monkeypatch.context() as patch:
        patch.setattr("relay.conversion.pool.convert", lambda *_: 1 / 0)
        relay.pass_time(3601)
        await relay.reach(queue_id, State.DELAYED)
    relay.pass_time(3601)
    await relay.reach(queue_id, State.RELAYED)


@pytest.fixture
def poisoned(monkeypatch):
    """Works gives this answer to whatever message says POISON; where it was given is counted."""
    refused = []
    send = Client.send

    async def refuse(self, account, payload, content, *more):
        if b"POISON" not in content.data:
            return await send(self, account, payload, content, *more)
        refused.append(account.name)
        return diagnose(Answer(400, {}, b'{"code": "LIMIT_EXCEEDED"}'))

    monkeypatch.setattr(Client, "send", refuse)
    return refused


async def test_a_message_that_alone_is_over_a_limit_is_held_and_not_its_account(tmp_path, poisoned):
    """Else it is tried for ever, and each time everybody's mail waits five minutes and more."""
    delivery = {"wait": "0s", "notify": "postmaster@example.com"}
    async with relaying(tmp_path / "state", delivery=delivery) as relay:
        standing = relay.service.standing
        queue_id = await relay.put(subject="POISON")
        await until(lambda: standing.held)
        for number in range(12):
            other = await relay.put(subject=str(number))
            for _ in range(2):
                relay.pass_time(700)
                await asyncio.sleep(0.1)
            await relay.reach(other, State.RELAYED)
            if (await relay.entry(queue_id)).state is State.HELD:
                break
        entry = await relay.reach(queue_id, State.HELD)
        assert "while others of its account pass" in entry.reason
        assert len(poisoned) <= 6
        assert not standing.held
        await until(lambda: any("mail waits for you" in subject for subject in relay.subjects()))


async def test_a_mailbox_over_its_limit_holds_no_message_for_a_person(tmp_path):
    """Nobody passes: it is the account's, however often each of its messages has been the probe."""
    async with relaying(tmp_path / "state", Settings(recipients_per_day=1), delivery={"wait": "0s"}) as relay:
        await relay.put(subject="takes all of the day")
        ids = [await relay.put(subject=str(number)) for number in range(2)]
        await until(lambda: relay.service.standing.held)
        for _ in range(12):
            relay.pass_time(3601)
            await asyncio.sleep(0.05)
        assert not {(await relay.entry(one)).state for one in ids} & {State.HELD, State.FAILED}


async def test_mail_to_several_is_sent_while_the_day_is_full_and_mail_to_one_never_ends(tmp_path):
    """One recipient becomes free every hour, and each would go to the message that needs only one."""
    account = {"name": "scanner", "address": "scanner@example.com", "default": True, "recipients_per_day": 24}
    async with relaying(tmp_path / "state", account=[account], delivery={"wait": "0s"}) as relay:
        for number in range(24):
            await relay.reach(await relay.put(subject=str(number)), State.RELAYED)
            relay.pass_time(3600)
        to_four = [f"r{number}@example.net" for number in range(4)]
        several = await relay.put(*to_four, source="127.0.0.2")
        others = [await relay.put(subject=f"one {number}") for number in range(20)]
        for _ in range(8):
            relay.pass_time(3600)
            await asyncio.sleep(0.1)
        assert (await relay.entry(several)).state is State.RELAYED
        states = [(await relay.entry(one)).state for one in others]
        assert 2 <= states.count(State.RELAYED) <= 6
