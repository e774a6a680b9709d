"""Large messages are converted in a process that can be limited and killed, and nothing is lost by it."""

import asyncio
import base64
import os
import signal
from pathlib import Path

import pytest

from relay.conversion.pool import Converter
from relay.host.content import ContentWriter
from relay.mail import Conversion, Unconvertible
from relay.message import convert

TO = ("office@example.com",)
HOW = Conversion()
SCAN = (
    b"From: scanner@example.com\r\nTo: office@example.com\r\nSubject: scan\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
    b'Content-Type: application/pdf; name="scan.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    + base64.encodebytes(os.urandom(300_000)).replace(b"\n", b"\r\n")
    + b"--b--\r\n"
)


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


def all_children():
    """Of every thread; one that ends meanwhile leaves its children to another, so all are looked at again."""
    while True:
        try:
            tasks = list(Path("/proc/self/task").iterdir())
            return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue


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


async def test_a_message_that_takes_long_holds_nobody_up(converter, keep, children):
    await converter.convert(keep(SCAN), TO, HOW)
    (pid,) = children()
    os.kill(pid, signal.SIGSTOP)
    stuck = asyncio.ensure_future(converter.convert(keep(SCAN), TO, HOW))
    await asyncio.sleep(0.05)
    assert await converter.convert(keep(SCAN), TO, HOW) == convert(SCAN, TO, HOW)
    os.kill(pid, signal.SIGCONT)
    assert await stuck == convert(SCAN, TO, HOW)


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


async def test_a_process_that_is_killed_loses_no_message(converter, keep, children):
    """The kernel kills whoever uses too much: the message goes along as a file, the next one as ever."""
    await converter.convert(keep(SCAN), TO, HOW)
    (pid,) = children()
    os.kill(pid, signal.SIGSTOP)
    asked = asyncio.ensure_future(converter.convert(keep(SCAN), TO, HOW))
    await asyncio.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    converted = await asked
    assert [loss.loss for loss in converted.losses] == ["unreadable"]
    assert b'"message.eml"' in b"".join(converted.requests[0].payload.blocks(SCAN))
    assert await converter.convert(keep(SCAN), TO, HOW) == convert(SCAN, TO, HOW)
    assert children() != [pid]


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
