"""Mail to the operator: what is told, how often, and by whom."""

import asyncio
import contextlib
import errno
import os
import sqlite3
import time
from dataclasses import replace
from email import message_from_bytes
from email.policy import default

import pytest
from aiosmtpd.controller import Controller

from relay.host.documents import FileDocuments
from relay.notices.told import Told
from relay.outcome import TroubleKind
from relay.sandbox import Settings
from relay.service.reports import Reports
from relay.spool import State
from tests.support.notices import TWO, refusing, text_of, told
from tests.support.ports import free_port
from tests.support.relay import relaying, until


@pytest.mark.parametrize(
    ("language", "said"), [("en", "was not told"), ("ja", "通知できません"), ("ko", "알리지 못했습니다")]
)
async def test_the_operator_hears_of_a_failure_that_its_sender_does_not(
    tmp_path, monkeypatch, language, said
):
    """Somebody is told of whatever fails after its 250, if only that the sender was not."""

    def fail(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("relay.notices.sender.write_failure", fail)
    async with refusing(tmp_path, notify="postmaster@example.com", notice_language=language) as relay:
        queue_id = await relay.put()
        letter = await told(relay)
    assert letter["to"] == "postmaster@example.com"
    assert said in letter["subject"]
    assert f"relay trace {queue_id}" in letter["body"]


async def test_a_dead_grant_holds_and_tells_and_drains_after_login(tmp_path):
    """The operator hears of it by another account; nothing is spent, nothing bounces, the order is kept."""
    delivery = {"notify": "postmaster@example.com"}
    # One request at a time: of several that wait for a connection any may be the first to start.
    works = {"concurrency": 1}
    async with relaying(tmp_path / "state", account=TWO, delivery=delivery, works=works) as relay:
        await relay.put(subject="before")
        relay.sandbox.add_fault("token-death")
        ids = [await relay.put(subject=str(number)) for number in range(4)]
        await until(lambda: "postmaster@example.com" in relay.sent_to())
        alarm = text_of(relay)
        assert relay.sandbox.messages[-1].account == "erp@example.com"
        assert "scanner cannot send" in alarm["subject"]
        assert "relay login scanner" in alarm["body"]
        relay.pass_time(10 * 86400)  # longer than give_up_after
        await asyncio.sleep(0.1)
        for queue_id in ids:
            entry = await relay.entry(queue_id)
            assert (entry.state, entry.attempts) == (State.QUEUED, 0)
        listed = await relay.service.verbs.queue_list(["held"], 100)
        assert [one["queue_id"] for one in listed["messages"]] == ids[::-1]  # newest first
        await relay.log_in()
        for queue_id in ids:
            assert (await relay.reach(queue_id, State.RELAYED)).attempts == 1
        starts = [(await relay.service.spool.attempts(queue_id))[-1].started for queue_id in ids]
        assert starts == sorted(starts)


async def test_what_the_spool_set_aside_is_told_once(tmp_path):
    """A row whose bits have flipped, a file that is gone, a file without a row: one mail names the first."""
    state, delivery = tmp_path / "state", {"notify": "postmaster@example.com", "wait": "0s"}
    async with relaying(state, account=TWO, delivery=delivery) as relay:
        relay.sandbox.add_fault("503", times=0)
        ids = [await relay.put(body="x" * size) for size in (1, 100_000, 1)]
        await until(lambda: relay.service.standing.holds)
    with contextlib.closing(sqlite3.connect(state / "spool" / "spool.db")) as database, database:
        change = "UPDATE message SET envelope = replace(envelope, 'a@', 'b@') WHERE queue_id = ?"
        database.execute(change, ids[:1])
    (state / "spool" / "content" / ids[1]).unlink()
    lost = state / "spool" / "content" / "1LOST"
    lost.write_bytes(b"somebody's mail")
    os.utime(lost, (1e9, 1e9))
    async with relaying(state, account=TWO, delivery=delivery) as relay:

        def damaged():
            return {one.name for one in relay.service.troubles.current if one.kind == "damage"}

        relay.pass_time(3600)
        await until(lambda: len(damaged()) == 3 and len(relay.sandbox.messages) == 2)
        await relay.reach(ids[2], State.RELAYED)
        assert damaged() == {*ids[:2], "1LOST"}
        letters = [relay.sandbox.request(one.id) for one in relay.sandbox.messages]
        (alarm,) = [one for one in letters if one["to"] == "postmaster@example.com"]
        assert "damaged" in alarm["subject"]
        assert any(name in alarm["body"] for name in damaged())
        concerns = (await relay.service.read_state()).concerns
        assert len([one for one in concerns if one.kind == TroubleKind.DAMAGE]) == 3
        await relay.service.spool.discard(ids[0])
        concerns = (await relay.service.read_state()).concerns
        assert not any(ids[0] == one.name for one in concerns)


@pytest.mark.parametrize(
    ("language", "said"), [("en", "waits for you"), ("ja", "確認待ち"), ("ko", "기다리는 메일")]
)
async def test_a_message_that_is_held_for_a_person_is_told_to_one(tmp_path, language, said):
    """It had its 250 and is tried no more: held and seen by nobody, it would be lost."""
    delivery = {
        "notify": "postmaster@example.com",
        "notice_language": language,
        "on_unknown": "hold",
        "wait": "0s",
    }
    async with relaying(tmp_path / "state", delivery=delivery) as relay:
        relay.sandbox.add_fault("500")
        first = await relay.put(subject="first")
        await relay.reach(first, State.HELD)
        letter = await told(relay)
        assert letter["to"] == "postmaster@example.com"
        assert said in letter["subject"]
        assert f"relay queue retry {first}" in letter["body"]
        relay.sandbox.add_fault("500")
        second = await relay.put(subject="second")
        await relay.reach(second, State.HELD)
        await relay.service.verbs.queue_retry([first, second], unknown=True)
        for queue_id in (first, second):
            await relay.reach(queue_id, State.RELAYED)
        assert relay.sent_to().count("postmaster@example.com") == 1


async def test_a_grant_that_the_auth_server_only_fails_on_is_told_after_an_hour(tmp_path):
    """It may be dead, or the server down: a person is told; the mail waits, and goes when that is over."""
    delivery = {"notify": "postmaster@example.com", "wait": "0s"}
    async with relaying(tmp_path / "state", account=TWO, delivery=delivery) as relay:
        relay.sandbox.add_fault("500", at="token", times=0)
        await until(lambda: relay.service.authorizer.grant("scanner"))
        grant = relay.service.authorizer.grant("scanner")
        relay.keep_grant("scanner", replace(grant, expires_at=relay.clock.now() + 60))
        relay.pass_time(100)
        await relay.notice_grants()
        queue_id = await relay.put()
        await asyncio.sleep(0.1)
        assert relay.service.standing.holds
        assert not relay.service.standing.held
        for _ in range(2):
            relay.pass_time(1900)
            await relay.notice_grants()
        letter = await told(relay)
        assert letter["subject"] == "relay.test: account scanner cannot send"
        assert "could not be renewed for an hour" in letter["body"]
        assert "run: sudo relay login scanner" in letter["body"]
        relay.sandbox.faults.clear()
        relay.pass_time(100)
        await relay.notice_grants()
        await relay.reach(queue_id, State.RELAYED)
        assert not relay.service.standing.held


@pytest.mark.parametrize("restart", [False, True])
async def test_mail_of_an_account_that_left_the_configuration_is_told(tmp_path, monkeypatch, restart):
    """Nothing sends it and nothing gives it up: without a word it would wait for ever, in every state."""
    monkeypatch.setattr("relay.courier.unconfigured._LOOK_EVERY", 0.1)
    delivery = {"notify": "postmaster@example.com", "wait": "0s"}
    async with contextlib.AsyncExitStack() as stack:
        relay = await stack.enter_async_context(
            relaying(tmp_path / "state", account=TWO, grants=["scanner"], delivery=delivery)
        )
        await until(lambda: relay.service.standing.held)
        ids = [await relay.put(sender="erp@example.com") for _ in range(2)]
        await relay.service.verbs.queue_hold(ids[:1])
        if restart:
            await stack.aclose()
            relay = await stack.enter_async_context(relaying(tmp_path / "state", delivery=delivery))
        else:
            config = relay.service.config
            await relay.service.reload(config.model_copy(update={"account": config.account[:1]}))
        subject = "relay.test: mail waits for account erp, which is not configured"
        await until(lambda: subject in relay.subjects())
        assert "relay queue discard --account erp" in text_of(relay)["body"]
        concerns = (await relay.service.read_state()).concerns
        assert any(one.name == "erp" and "not in the configuration" in one.reason for one in concerns)
        assert [(await relay.entry(one)).state for one in ids] == [State.HELD, State.QUEUED]
        await relay.service.verbs.queue_discard(ids)
        await until(lambda: not relay.service.standing.held)
        assert not any(one.name == "erp" for one in (await relay.service.read_state()).concerns)


async def test_mail_of_an_account_that_comes_back_goes_out(tmp_path):
    """It was taken out by mistake: its mail is there, in order, and nobody need release it."""
    async with relaying(tmp_path / "state", account=TWO, delivery={"wait": "0s"}) as relay:
        with_both = relay.service.config
        relay.sandbox.add_fault("503")
        queue_id = await relay.put(sender="erp@example.com")
        await relay.reach(queue_id, State.DELAYED)
        await relay.service.reload(with_both.model_copy(update={"account": with_both.account[:1]}))
        await until(lambda: relay.service.standing.held)
        await relay.service.reload(with_both)
        await until(lambda: not relay.service.standing.held)
        relay.pass_time(3600)
        await relay.reach(queue_id, State.RELAYED)
        await asyncio.sleep(0.1)
        assert not relay.service.standing.held


HOLDING = {"notify": "postmaster@example.com", "on_unknown": "hold", "wait": "0s"}


async def hold(relay, subject):
    relay.sandbox.add_fault("500")
    queue_id = await relay.put(subject=subject)
    await relay.reach(queue_id, State.HELD)
    # Two unknown outcomes in a row would be an outage.
    await relay.reach(await relay.put(subject="well"), State.RELAYED)
    return queue_id


@pytest.mark.parametrize("restart", [False, True])
async def test_what_is_held_soon_after_a_mail_is_named_in_the_next_one(tmp_path, monkeypatch, restart):
    """Mail is written once in a while, and about everything: who is in no mail waits for ever, unseen."""
    monkeypatch.setattr("relay.notices.operator_mail._AGAIN", 0.05)
    async with contextlib.AsyncExitStack() as stack:
        relay = await stack.enter_async_context(relaying(tmp_path / "state", delivery=HOLDING))
        first = await hold(relay, "first")
        await until(lambda: "postmaster@example.com" in relay.sent_to())
        later = [await hold(relay, subject) for subject in ("second", "third", "dealt with")]
        await relay.service.verbs.queue_discard(later[-1:])
        if restart:
            await stack.aclose()
            relay = await stack.enter_async_context(relaying(tmp_path / "state", delivery=HOLDING))
        before = len(relay.sandbox.messages)
        relay.clock.move(11 * 3600)
        await asyncio.sleep(0.2)
        assert len(relay.sandbox.messages) == before
        relay.clock.move(2 * 3600)
        await until(lambda: len(relay.sandbox.messages) > before)
        body = text_of(relay)["body"]
        assert [one in body for one in (first, *later)] == [False, True, True, False]
        relay.clock.move(24 * 3600)
        await asyncio.sleep(0.2)
        assert len(relay.sandbox.messages) == before + 1


async def fill_the_day(relay):
    """Bring the only account into trouble, until tomorrow."""
    await relay.put(*(f"r{number}@example.net" for number in range(4)))
    await relay.put(subject="one too many")
    assert relay.service.standing.held


async def test_what_no_account_could_tell_is_told_when_one_can(tmp_path, monkeypatch):
    """The only account is in trouble just when something breaks: the operator hears of it afterwards."""
    monkeypatch.setattr("relay.notices.operator_mail._AGAIN", 0.05)
    settings, delivery = Settings(recipients_per_day=4), {"notify": "postmaster@example.com"}
    async with relaying(tmp_path / "state", settings, delivery=delivery) as relay:
        await fill_the_day(relay)
        Reports(relay.service.troubles).damaged("1LOST", "its content is gone")
        grant = relay.service.authorizer.grant("scanner")
        aged = replace(grant, refresh_issued_at=relay.clock.now() - 89.5 * 86400)
        relay.keep_grant("scanner", aged)
        await relay.notice_grants()
        await asyncio.sleep(0.2)
        assert len(relay.sandbox.messages) == 1
        relay.pass_time(86400)
        await until(lambda: len(relay.sandbox.messages) == 4)
        letters = [relay.sandbox.request(one.id) for one in relay.sandbox.messages]
    said = [one["subject"] for one in letters if one["to"] == "postmaster@example.com"]
    assert sorted(said) == [
        "relay.test: account scanner must consent again within 1 days",
        "relay.test: something damaged was set aside",
    ]


async def test_a_warning_is_not_told_after_the_consent_that_it_asks_for(tmp_path, monkeypatch):
    """It waited for a way to be told, and somebody has consented meanwhile."""
    monkeypatch.setattr("relay.notices.operator_mail._AGAIN", 0.05)
    delivery = {"notify": "postmaster@example.com"}
    async with relaying(tmp_path / "state", Settings(recipients_per_day=4), delivery=delivery) as relay:
        await fill_the_day(relay)
        grant = relay.service.authorizer.grant("scanner")
        aged = replace(grant, refresh_issued_at=relay.clock.now() - 89.5 * 86400)
        relay.keep_grant("scanner", aged)
        await relay.notice_grants()
        await asyncio.sleep(0.1)
        relay.clock.move(86400)
        await relay.log_in()
        await until(lambda: len(relay.sandbox.messages) == 2)
        await asyncio.sleep(0.2)
        assert "postmaster@example.com" not in relay.sent_to()


@pytest.mark.parametrize("text", ["", "[]", "null", '{"a": []}', "{", '{"untold": {"held": 1}}'])
def test_a_damaged_note_of_what_was_told_is_none(tmp_path, text):
    """At worst something is told twice; the relay starts all the same."""
    (tmp_path / "told.json").write_text(text)
    note = Told(FileDocuments(tmp_path))
    assert note.due_in("a", 1e9, 3600) == 0
    assert note.untold("held") == {}


async def test_one_trouble_is_told_once_in_a_while(tmp_path):
    delivery = {"notify": "postmaster@example.com", "notify_every": "12h"}
    async with relaying(tmp_path / "state", account=TWO, grants=["erp"], delivery=delivery) as relay:
        await until(lambda: len(relay.sandbox.messages) == 1)
        for _ in range(3):
            await relay.log_in()
            assert not relay.service.standing.held
            (tmp_path / "state" / "grants" / "scanner.json").unlink()
            await relay.notice_grants()
            assert relay.service.standing.held
        await asyncio.sleep(0.1)
        assert len(relay.sandbox.messages) == 1
    again = Told(FileDocuments(tmp_path / "state"))
    ((key, when),) = again._notes.value.when.items()
    assert again.due_in(key, when + 60, 3600) == 3540


@pytest.mark.parametrize("restart", [False, True])
async def test_a_trouble_that_lasts_is_told_again(tmp_path, monkeypatch, restart):
    """One letter is overlooked, and ten days of mail wait: also when the relay was started anew meanwhile."""
    monkeypatch.setattr("relay.notices.operator_mail._AGAIN", 0.05)
    delivery = {"notify": "postmaster@example.com", "notify_every": "12h"}
    async with relaying(tmp_path / "state", account=TWO, grants=["erp"], delivery=delivery) as relay:
        await until(lambda: len(relay.sandbox.messages) == 1)
        if not restart:
            await tell_again_after(relay, 1)
            await relay.log_in()
            relay.clock.move(13 * 3600)
            await asyncio.sleep(0.2)
            assert len(relay.sandbox.messages) == 2
    if restart:
        async with relaying(tmp_path / "state", account=TWO, grants=["erp"], delivery=delivery) as relay:
            await tell_again_after(relay, 0)


async def tell_again_after(relay, letters):
    relay.clock.move(11 * 3600)
    await asyncio.sleep(0.2)
    assert len(relay.sandbox.messages) == letters
    relay.clock.move(2 * 3600)
    await until(lambda: len(relay.sandbox.messages) == letters + 1)


class Postbox:
    def __init__(self):
        self.letters = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's
        self.letters.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=default)))
        return "250 OK"


@pytest.fixture
def host():
    """A fallback host that is down."""
    controller = Controller(Postbox(), hostname="127.0.0.1", port=free_port())
    yield controller
    controller.stop(no_assert=True)


@pytest.fixture
def fallback(host):
    host.start()
    return host


async def test_the_fallback_host_is_told_when_no_account_can_send(tmp_path, fallback):
    delivery = {"notify": "postmaster@example.com", "fallback": f"127.0.0.1:{fallback.port}"}
    async with relaying(tmp_path / "state", grants=[], delivery=delivery):
        await until(lambda: fallback.handler.letters)
    to, letter = fallback.handler.letters[0]
    assert to == ["postmaster@example.com"]
    assert "scanner cannot send" in letter["Subject"]
    assert "relay login scanner" in letter.get_content()


async def test_a_fallback_host_that_comes_back_is_told_then(tmp_path, host, monkeypatch):
    """It was down in the moment of the trouble: without another try nobody hears of it, for days."""
    monkeypatch.setattr("relay.notices.operator_mail._AGAIN", 0.2)
    delivery = {"notify": "postmaster@example.com", "fallback": f"127.0.0.1:{host.port}"}
    async with relaying(tmp_path / "state", grants=[], delivery=delivery) as relay:
        await until(lambda: relay.service.standing.held)
        await asyncio.sleep(0.3)
        host.start()
        await until(lambda: host.handler.letters)
        await asyncio.sleep(0.5)
    assert len(host.handler.letters) == 1


async def test_nobody_is_told_of_a_trouble_that_is_over(tmp_path, host, monkeypatch):
    """Another try is for a trouble that goes on."""
    monkeypatch.setattr("relay.notices.operator_mail._AGAIN", 0.2)
    delivery = {"notify": "postmaster@example.com", "fallback": f"127.0.0.1:{host.port}"}
    async with relaying(tmp_path / "state", grants=[], delivery=delivery) as relay:
        await until(lambda: relay.service.standing.held)
        await relay.log_in()
        host.start()
        await asyncio.sleep(0.5)
        assert host.handler.letters == []
        assert relay.sandbox.messages == []


async def test_a_grant_that_will_die_is_announced(tmp_path):
    """30, 14, 7 and 1 days before, each once, also over a restart."""
    now = time.time()
    for _ in range(2):
        async with relaying(tmp_path / "state", delivery={"notify": "postmaster@example.com"}) as relay:
            grant = await until(lambda: relay.service.authorizer.grant("scanner"))
            for age in (50, 61, 62, 77, 84, 89.5):
                aged = replace(grant, consented_at=1.0, refresh_issued_at=now - age * 86400)
                relay.keep_grant("scanner", aged)
                await relay.notice_grants()
            told = relay.service.sending.operator._told._notes.value.when
            seen = {key.split(": ")[1].split(",")[0] for key in told}
            await asyncio.sleep(0.1)
    assert seen == {"30 days", "14 days", "7 days", "1 days"}
    assert relay.sandbox.messages == []  # of the second relay


async def test_what_is_held_again_after_a_person_dealt_with_it_is_told_again(tmp_path):
    """The same message for the same reason: the registry once took it for what was told before."""
    delivery = {"notify": "postmaster@example.com", "on_unknown": "hold", "wait": "0s", "notify_every": "0s"}
    async with relaying(tmp_path / "state", delivery=delivery) as relay:
        relay.sandbox.add_fault("500")
        queue_id = await relay.put()
        await relay.reach(queue_id, State.HELD)
        await until(lambda: relay.sent_to().count("postmaster@example.com") >= 1)
        assert [one.name for one in relay.service.troubles.current] == [queue_id]
        relay.sandbox.add_fault("500")
        await relay.service.verbs.queue_retry([queue_id], unknown=True)
        assert relay.service.troubles.current == [] or (await relay.entry(queue_id)).state is State.HELD
        told = relay.sent_to().count("postmaster@example.com")
        await relay.reach(queue_id, State.HELD)
        await until(lambda: relay.sent_to().count("postmaster@example.com") > told)
