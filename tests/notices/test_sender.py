"""Notices to senders: who is told of a failure, and in which words."""

import asyncio
import errno

import pytest

from relay.envelope import Content
from relay.host.content import ContentWriter
from relay.notices.sender import Senders, submit
from relay.spool import State
from tests.support.notices import QUICK, refusing, text_of, told
from tests.support.relay import relaying, until


async def test_the_sender_is_told_why_and_gets_the_original_back(tmp_path):
    async with refusing(tmp_path) as relay:
        queue_id = await relay.put("a@example.net", "b@example.net", subject="Quarterly figures")
        notice = await told(relay)
        entry = await relay.entry(queue_id)
        life = await relay.service.verbs.trace(queue_id)
        original = relay.sandbox.attachment(relay.sandbox.messages[-1].id, 0)
    assert notice["to"] == "scanner@example.com"
    assert notice["subject"] == "Not sent: Quarterly figures"
    for fact in ("a@example.net", "b@example.net", "5.6.0", "malformed", queue_id, "relay queue retry"):
        assert fact in notice["body"]
    assert notice["attachments"][0]["filename"].endswith(".eml")
    assert b"Subject: Quarterly figures" in original
    assert entry.state is State.FAILED
    assert any(event["event"] == "notice" for event in life["events"])


@pytest.mark.parametrize(
    ("subject", "body", "word"),
    [
        ("見積書の件", "お世話になっております。", "送信できませんでした"),
        ("견적서", "안녕하세요. 견적서를 보냅니다.", "발송 실패"),
        ("Offer", "Hello", "Not sent"),
    ],
    ids=["ja", "ko", "en"],
)
async def test_a_notice_speaks_the_messages_language(tmp_path, subject, body, word):
    async with refusing(tmp_path) as relay:
        content = (
            "From: scanner@example.com\r\nTo: a@example.net\r\nMIME-Version: 1.0\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\nSubject: {subject}\r\n\r\n{body}\r\n"
        ).encode()
        await relay.put(content=content)
        notice = await told(relay)
    assert word in notice["subject"]
    assert subject in notice["subject"]


async def test_the_configuration_can_choose_the_language(tmp_path):
    async with refusing(tmp_path, notice_language="ja") as relay:
        await relay.put()
        assert "送信できませんでした" in (await told(relay))["subject"]


@pytest.mark.parametrize(
    ("author", "sender", "to"),
    [
        ("yamada@example.com", "scanner@example.com", "yamada@example.com"),
        ("x@elsewhere.example", "scanner@example.com", "scanner@example.com"),
        ("x@elsewhere.example", "y@elsewhere.example", "postmaster@example.com"),
        ("x@example.com;y@evil.test", "y@elsewhere.example", "x@example.com"),
        ("yama..da.@example.com", "y@elsewhere.example", "yama..da.@example.com"),
    ],
    ids=["From", "reverse-path", "operator", "never an address that could be two", "dots in a row"],
)
async def test_only_an_address_of_ours_is_written_to(tmp_path, author, sender, to):
    """A notice to whatever a message names would be backscatter."""
    async with refusing(tmp_path, notify="postmaster@example.com") as relay:
        await relay.put(author=author, sender=sender)
        assert (await told(relay))["to"] == to


async def test_other_domains_can_be_allowed(tmp_path):
    async with refusing(tmp_path, notice_domains=["factory.example"]) as relay:
        await relay.put(author="line1@factory.example", sender="scanner@example.com")
        assert (await told(relay))["to"] == "line1@factory.example"


@pytest.mark.parametrize("sender", ["", "x@elsewhere.example"], ids=["null reverse-path", "stranger"])
async def test_nobody_is_told_where_nobody_may_be(tmp_path, sender):
    """RFC 5321 §4.5.5: nothing is ever said about a message with the null reverse-path."""
    async with refusing(tmp_path) as relay:
        queue_id = await relay.put(sender=sender, author="x@elsewhere.example")
        await relay.reach(queue_id, State.FAILED)
        await asyncio.sleep(0.1)
        assert relay.sandbox.messages == []


async def test_a_notice_that_fails_makes_no_other(tmp_path):
    async with relaying(tmp_path / "state", delivery=QUICK | {"notify": "postmaster@example.com"}) as relay:
        relay.sandbox.add_fault("400", times=0)
        await relay.put()
        await until(lambda: has_failed(relay, 2))
        await asyncio.sleep(0.2)
        assert await has_failed(relay, 2)
        assert (await relay.service.spool.counts())[State.QUEUED] == 0


async def has_failed(relay, number):
    return (await relay.service.spool.counts())[State.FAILED] == number


async def test_a_large_original_gives_only_its_fields(tmp_path):
    async with refusing(tmp_path, notice_original="10KB") as relay:
        await relay.put(subject="Large", body="line\r\n" * 40_000)
        notice = await told(relay)
        headers = relay.sandbox.attachment(relay.sandbox.messages[-1].id, 0)
    assert len(notice["attachments"]) == 1
    assert b"Subject: Large" in headers
    assert len(headers) < 1000


async def test_without_room_for_a_file_the_notice_comes_without_the_original(tmp_path, monkeypatch):
    """A large original needs a file: with a full disk, or no descriptors, the failure was told to nobody."""
    write = ContentWriter.write

    def write_in_memory(writer, block):
        if writer.size + len(block) > writer.threshold:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(writer, block)

    def submit_without_room(*facts):
        with monkeypatch.context() as full:
            full.setattr(ContentWriter, "write", write_in_memory)
            return submit(*facts)

    async with refusing(tmp_path) as relay:
        monkeypatch.setattr("relay.notices.sender.submit", submit_without_room)
        queue_id = await relay.put("a@example.net", subject="Large", body="line\r\n" * 40_000)
        notice = await told(relay)
        assert (await relay.entry(queue_id)).state is State.FAILED
    assert notice["to"] == "scanner@example.com"
    assert notice["subject"] == "Not sent: Large"
    assert queue_id in notice["body"]
    assert "attached" not in notice["body"]
    assert not notice.get("attachments")


async def test_an_original_that_cannot_be_opened_keeps_no_notice_back(tmp_path, monkeypatch):
    """Out of file descriptors nothing of it can be read; that it failed can be said all the same."""

    def fail(_):
        raise OSError(errno.EMFILE, "Too many open files")

    def draft_without_files(_, *facts, **more):
        with monkeypatch.context() as short:
            short.setattr(Content, "map", fail)
            return draft(*facts, **more)

    async with refusing(tmp_path) as relay:
        draft = relay.service.sending.senders._draft
        monkeypatch.setattr(Senders, "_draft", draft_without_files)
        queue_id = await relay.put("a@example.net", body="line\r\n" * 40_000)
        notice = await told(relay)
    assert notice["to"] == "scanner@example.com"
    assert queue_id in notice["body"]


async def test_a_refused_second_request_keeps_the_250_and_names_the_rest(tmp_path):
    """Some have it already, so 554 would be a lie; who will not get it stands in the notice."""
    async with relaying(tmp_path / "state", works={"recipients_per_mail": 2}) as relay:
        relay.sandbox.add_fault("latency", times=1, seconds=0.3)
        to = [f"r{number}@example.net" for number in range(5)]
        sending = asyncio.create_task(relay.send(*to))
        await asyncio.sleep(0.15)
        relay.sandbox.add_fault("400")
        code, text = await sending
        assert code == 250
        await until(lambda: len(relay.sandbox.messages) == 2)
        notice = text_of(relay)
        entry = await relay.entry(text.rpartition("id=")[2])
    assert [one for one in to if one in notice["body"]] == [one for one in to if one not in entry.relayed]
    assert len(entry.relayed) == 2
    assert entry.state is State.FAILED


async def test_a_stop_before_the_settling_keeps_the_notice_to_the_refused(tmp_path):
    """One request was taken and one refused; the relay ended before it could say so: the next start does.

    The message counted as relayed, its content was deleted, and nobody heard of the refused recipient.
    """
    state, one_each = tmp_path / "state", {"recipients_per_mail": 1}
    async with relaying(state, works=one_each, delivery={"wait": "0s"}) as relay:
        record = relay.service.spool.record

        async def record_and_end(claim, request, outcome):
            await record(claim, request, outcome)
            if outcome.http_status == 202:
                relay.sandbox.add_fault("400")
            else:
                asyncio.current_task().cancel()

        relay.service.spool.record = record_and_end
        queue_id = await relay.put("a@example.net", "b@example.net")
        await until(lambda: relay.sandbox.messages and not relay.service.courier.under_way)
        assert (await relay.entry(queue_id)).state is State.SENDING
    async with relaying(state, works=one_each) as relay:
        notice = await told(relay)
        assert (await relay.entry(queue_id)).state is State.FAILED
    assert notice["subject"] == "Not sent: Scan"
    assert "b@example.net" in notice["body"]
    assert "a@example.net" not in notice["body"]
