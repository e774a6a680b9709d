"""A submission whose reply was never written is recognised when it comes again (RFC 1047)."""

import asyncio
import contextlib
import socket
import struct

import pytest

from relay.operator.trace import write_reply
from tests.support.relay import until
from tests.support.restartable_relay import content, relay

MAIL = ["HELO client", "MAIL FROM:<s@example.com>", "RCPT TO:<a@example.com>", "DATA"]


async def dialogue(port, octets, *, before="", end=None):
    """Submit; `end` says how the client goes after the dot, None: it hears the reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    for line in MAIL:
        writer.write(line.encode() + b"\r\n")
        await reader.readline()
    writer.write(octets + b"\r\n.\r\n")
    await writer.drain()
    try:
        if end is None:
            return (await reader.readline()).decode()
        if end == "at once":
            return ""
        await asyncio.sleep(0.3)
        if end == "half-close":
            writer.write_eof()
            return (await reader.readline()).decode()
        if end == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return ""
    finally:
        writer.close()
        # Until its last octets have left it has not hung up, and what it sends next may come in first.
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until_told(one, answer):
    """Wait until the newest message's record says that its client heard this; "": that it was gone."""

    async def told():
        for newest in (await one.service.verbs.queue_list([], 1))["messages"]:
            reply = (await one.service.verbs.queue_show(newest["queue_id"]))["reply"]
            return reply["heard"] is bool(answer) and write_reply(reply) == answer.strip()
        return False

    await until(told)


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_who_hung_up_before_the_reply_and_sends_again_makes_no_second_mail(tmp_path, end):
    async with relay(tmp_path) as one:
        one.sandbox.add_fault("latency", seconds=1.0)
        await dialogue(one.port, content(1), end=end)
        await until_told(one, "")
        again = await dialogue(one.port, content(1))
        assert again.startswith("250 2.0.0 relayed")
        assert len(one.sandbox.messages) == 1
        await until_told(one, again)
        # Once: the client has its reply now, and what it sends next is new mail.
        other = await dialogue(one.port, content(1))
        assert other.startswith("250 2.0.0 relayed")
        assert len(one.sandbox.messages) == 2
        assert other != again


async def test_who_sends_again_while_the_first_try_is_looked_up(tmp_path, monkeypatch):
    """A database that is away for a moment takes its time: both tries were new mail."""
    async with relay(tmp_path) as one:
        spool, find = one.service.spool, one.service.spool._find_submitted

        async def late(submission):
            await asyncio.sleep(0.5)
            return await find(submission)

        monkeypatch.setattr(spool, "_find_submitted", late)
        await dialogue(one.port, content(1), end="at once")
        again = await dialogue(one.port, content(1))
        assert again.startswith("250 2.0.0 relayed")
        assert len(one.sandbox.messages) == 1


async def test_who_only_closes_its_half_has_heard_us(tmp_path):
    """`printf … | nc` sends the same octets again and again, and means it."""
    async with relay(tmp_path) as one:
        for number in (1, 2):
            one.sandbox.add_fault("latency", seconds=0.6)
            answer = await dialogue(one.port, content(1), end="half-close")
            assert answer.startswith("250 2.0.0 relayed")
            assert len(one.sandbox.messages) == number
            await until_told(one, answer)


async def test_a_refusal_that_was_not_heard_is_said_again(tmp_path):
    """The first submission's 554 stands: nothing was sent, and nothing is sent now."""
    async with relay(tmp_path, works={"attachment_limit": "1MB"}) as one:
        parts = b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
        large = b"Subject: x\r\n" + parts + b"x" * 1_100_000
        # Its end follows the dot: nothing but the converting of the message lies before the reply.
        await dialogue(one.port, large, end="at once")
        again = await dialogue(one.port, large)
        assert again.startswith("552 5.3.4")
        await until_told(one, again)
        assert one.sandbox.messages == []


async def test_other_mail_of_that_client_is_new_mail(tmp_path):
    async with relay(tmp_path) as one:
        one.sandbox.add_fault("latency", seconds=1.0)
        await dialogue(one.port, content(1), end="close")
        await dialogue(one.port, content(2))
        await one.until(lambda: len(one.sandbox.messages) == 2)


async def test_who_hung_up_after_a_large_message_is_noticed_too(tmp_path):
    """A session that has more than enough to read reads no more; it must look up again when all is there."""
    async with relay(tmp_path) as one:
        one.sandbox.add_fault("latency", seconds=1.5)
        large = content(1, 3_000_000).replace(b"x" * 60, b"x" * 58 + b"\r\n")
        await dialogue(one.port, large, end="close")
        again = await dialogue(one.port, large)
        assert again.startswith("250 2.0.0 relayed")
        assert len(one.sandbox.messages) == 1


async def ready_for_content(port):
    loop, one = asyncio.get_running_loop(), socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2_000_000)
    one.setblocking(False)
    await loop.sock_connect(one, ("127.0.0.1", port))
    await loop.sock_recv(one, 1000)
    for line in MAIL:
        await loop.sock_sendall(one, line.encode() + b"\r\n")
        await loop.sock_recv(one, 1000)
    return one


async def test_who_sends_again_does_not_overtake_himself(tmp_path):
    """Large content goes through threads: the second try may be whole before the first one is."""
    async with relay(tmp_path) as one:
        one.sandbox.add_fault("latency", seconds=0.05, times=0)
        for number in range(1, 6):
            large = content(number) + (b"x" * 78 + b"\r\n") * 1500 + b".\r\n"
            first, second = [await ready_for_content(one.port) for _ in range(2)]
            with first, second:
                # The relay sees neither before both are sent: it shares this event loop.
                assert first.send(large) == len(large)
                first.close()
                assert second.send(large) == len(large)
                answer = await asyncio.get_running_loop().sock_recv(second, 1000)
            assert answer.startswith(b"250 2.0.0 relayed")
            assert len(one.sandbox.messages) == number
