"""Large messages are converted in a process that can be limited and killed, and nothing is lost by it."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from relay.conversion import pool
from relay.conversion.pool import Converter
from relay.conversion.process import start
from relay.envelope import Content
from relay.host.content import ContentWriter
from relay.mail import Conversion, Unconvertible
from relay.message import convert
from tests.support.converter import FIELDS, HOW, TO, all_children, kill_over_scans, make_scan

# Converting processes that die, or do not come to an end, over whatever is to be understood.
_OVER_ALL = """
import sys; sys.path[:] = sys.argv[1:]
import os, time
from relay.conversion import child
make = child.make_mail
def make_mail(*message, unread):
    if not unread: {}
    return make(*message, unread=unread)
child.make_mail = make_mail
os.read(0, 1)
child.main()
"""
DIES, HANGS = _OVER_ALL.format("os._exit(1)"), _OVER_ALL.format("os.read(0, 1)")
SCAN = make_scan(300_000)


@pytest.fixture
async def converter():
    converter = Converter()
    yield converter
    await converter.stop()


@pytest.fixture
def keep(tmp_path):
    def write(octets):
        writer = ContentWriter(tmp_path, threshold=0)
        writer.write(octets)
        return writer.finish()

    return write


@pytest.fixture
def children():
    """The processes of this test alone: a relay of another test, in the same session, may have one too."""
    before = set(all_children())
    return lambda: [pid for pid in all_children() if pid not in before]


async def test_a_message_becomes_the_same_as_in_the_relay_itself(converter, keep):
    assert await converter.convert(keep(SCAN), TO, HOW) == convert(SCAN, TO, HOW)


async def test_one_process_serves_one_after_the_other(converter, keep, children):
    for _ in range(3):
        await converter.convert(keep(SCAN), TO, HOW)
    assert len(children()) == 1


async def test_many_at_once_wait_for_one_process(converter, keep, children):
    """Twenty scans at once must not need twenty times the memory."""
    results = await asyncio.gather(*(converter.convert(keep(SCAN), TO, HOW) for _ in range(8)))
    assert results == [convert(SCAN, TO, HOW)] * 8
    assert len(children()) <= 2


async def test_a_message_that_takes_long_holds_up_nobody_else(converter, keep, children):
    """Mail of the same source waits for it: with both processes at work for one, others would wait."""
    await converter.convert(keep(SCAN), TO, HOW)
    (pid,) = children()
    os.kill(pid, signal.SIGSTOP)
    stuck = [asyncio.ensure_future(converter.convert(keep(SCAN), TO, HOW, line="a")) for _ in range(2)]
    await asyncio.sleep(0.05)
    try:
        for _ in range(2):
            assert await converter.convert(keep(SCAN), TO, HOW, line="b") == convert(SCAN, TO, HOW)
        assert not any(one.done() for one in stuck)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await asyncio.gather(*stuck) == [convert(SCAN, TO, HOW)] * 2


async def test_a_refusal_is_the_same_refusal(converter, keep):
    with pytest.raises(Unconvertible) as here:
        convert(SCAN, TO, Conversion(attachment_limit=1000))
    with pytest.raises(Unconvertible) as there:
        await converter.convert(keep(SCAN), TO, Conversion(attachment_limit=1000))
    assert (there.value.status, there.value.reason) == (here.value.status, here.value.reason)


async def test_a_file_that_is_gone_is_an_os_error(converter, keep):
    content = keep(SCAN)
    content.discard()
    with pytest.raises(FileNotFoundError):
        await converter.convert(content, TO, HOW)


async def test_a_process_that_is_killed_over_a_message_costs_nothing(converter, keep, children):
    """The kernel kills whoever is large when memory is short: a good scan arrived as message.eml."""
    await converter.convert(keep(SCAN), TO, HOW)
    (pid,) = children()
    os.kill(pid, signal.SIGSTOP)
    asked = asyncio.ensure_future(converter.convert(keep(SCAN), TO, HOW))
    await asyncio.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    assert await asked == convert(SCAN, TO, HOW)
    assert children() != [pid]


async def test_a_process_that_died_idle_costs_nobody_a_delay(converter, keep, children):
    """The next large message waited for a retry: "attempt broke off"."""
    await converter.convert(keep(SCAN), TO, HOW)
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    assert await converter.convert(keep(SCAN), TO, HOW) == convert(SCAN, TO, HOW)


async def test_one_kill_for_each_scan_at_random_moments(converter, keep, children):
    """The short form of tests/long/crash/converter.py."""
    assert await kill_over_scans(converter, keep(SCAN), children, 15) == [convert(SCAN, TO, HOW)] * 15


async def test_a_message_over_which_every_process_dies_goes_along_as_a_file(keep, monkeypatch):
    """With its subject and its recipients, which its header says."""
    converter = Converter(lambda: start([sys.executable, "-c", DIES, *sys.path]))
    converted = await converter.convert(keep(SCAN), TO, HOW)
    await converter.stop()
    assert [loss.loss for loss in converted.losses][-1:] == ["unreadable"]
    body = json.loads(b"".join(converted.requests[0].payload.describe(SCAN)))
    assert (body["subject"], body["to"]) == ("scan", "office@example.com")
    assert [one["filename"] for one in body["attachments"]] == ["message.eml"]


async def test_a_message_that_takes_too_long_goes_along_as_a_file(keep, monkeypatch):
    """That is its own fault: it is not tried a second time."""
    started = []

    def begin():
        # Only the first is given little time: the second has to come to its end on a busy machine, too.
        monkeypatch.setattr(pool, "_PATIENCE", 60.0 if started else 1.0)
        started.append(start([sys.executable, "-c", HANGS, *sys.path]))
        return started[-1]

    converter = Converter(begin)
    converted = await converter.convert(keep(SCAN), TO, HOW)
    await converter.stop()
    assert "unreadable" in [loss.loss for loss in converted.losses]
    assert len(started) == 2


async def test_without_any_process_the_relay_does_not_read_it_itself(keep):
    def none():
        raise BlockingIOError

    with pytest.raises(BlockingIOError):
        await Converter(none).convert(keep(SCAN), TO, HOW)


async def test_small_and_dear_goes_to_a_process_too(converter, children):
    """32 KB of names without a charset held up every session."""
    parts = b"".join(b"--b\r\nContent-Type: a/b; name=\xc1\xe9%d\r\n\r\nx\r\n" % n for n in range(600))
    dear = FIELDS + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n"
    content = Content(len(dear), "", data=dear)
    assert await converter.convert(content, TO, HOW) == convert(dear, TO, HOW)
    assert len(children()) == 1


async def test_small_and_plain_needs_none(converter, children):
    plain = FIELDS + b"\r\n" + b"Backup is done.\r\n" * 100
    content = Content(len(plain), "", data=plain)
    assert await converter.convert(content, TO, HOW) == convert(plain, TO, HOW)
    assert not children()


GOLDEN = sorted(Path(__file__).parents[1].rglob("*.eml"))


async def test_every_golden_message_becomes_the_same(converter, keep):
    """Whatever a conversion needs can be had within the confinement, and nothing is lost on the way back."""
    assert len(GOLDEN) > 300
    for path in GOLDEN:
        octets = path.read_bytes()
        results = []
        for become in (converter.convert(keep(octets), TO, HOW), asyncio.to_thread(convert, octets, TO, HOW)):
            try:
                results.append(await become)
            except Unconvertible as error:
                results.append(str(error))
        assert results[0] == results[1], path.name


async def test_who_gives_up_waiting_leaves_no_answer_behind(converter, keep):
    """The next question must not get the answer to this one."""
    await converter.convert(keep(SCAN), TO, HOW)
    asked = asyncio.ensure_future(converter.convert(keep(SCAN), ("other@example.com",), HOW))
    await asyncio.sleep(0.001)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert await converter.convert(keep(SCAN), TO, HOW) == convert(SCAN, TO, HOW)


async def test_one_is_ready_before_it_is_needed(converter, keep, children):
    converter.start()
    while not children():
        await asyncio.sleep(0.05)
    await converter.convert(keep(SCAN), TO, HOW)
    assert len(children()) == 1


async def test_it_ends_with_the_relay(converter, keep, children):
    await converter.convert(keep(SCAN), TO, HOW)
    assert children()
    await converter.stop()
    assert not children()
