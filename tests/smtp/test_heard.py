"""Whether a client took our reply is asked of the kernel: the event loop may hear of its end too late."""

import asyncio
import socket
import struct
from contextlib import asynccontextmanager

import pytest
import uvloop

from relay.smtp.acknowledgement import Acknowledgement, has_left
from relay.smtp.resubmission import Arrivals
from relay.smtp.stream import Stream

REPLY = b"250 2.0.0 relayed\r\n"


class Protocol(asyncio.Protocol):
    """A session's protocol, as far as its stream is concerned."""

    def __init__(self, accepted):
        self._accepted = accepted
        self.stream = Stream(asyncio.get_running_loop(), lambda _: None)

    def connection_made(self, transport):
        self.stream.transport = transport
        self._accepted.put_nowait(self.stream)

    def eof_received(self):
        self.stream.feed_end(EOFError())
        return True


@asynccontextmanager
async def connection():
    """A client's socket, and the stream at the relay's end of its connection."""
    loop, accepted = asyncio.get_running_loop(), asyncio.Queue()
    server = await loop.create_server(lambda: Protocol(accepted), "127.0.0.1", 0)
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, server.sockets[0].getsockname())
        stream = await accepted.get()
        server.close()
        yield client, stream
        stream.transport.abort()


async def answer(stream, between=lambda: None, *, before=lambda: None):
    """Whether the reply was heard.

    `before` happens just before it is written, `between` when it is and nobody has looked yet.
    """
    with Acknowledgement(stream) as hearing:
        before()
        stream.put(REPLY)
        await stream.flush()
        between()
        return await hearing.heard()


async def test_who_is_there_hears_us():
    async with connection() as (client, stream):
        assert not has_left(stream.transport)
        assert await answer(stream)
        assert await asyncio.get_running_loop().sock_recv(client, 100) == REPLY


async def test_who_closed_before_does_not_hear_us_though_the_loop_does_not_know_it():
    """One of a thousand clients that hung up was taken for one that had heard: it got a second mail."""
    async with connection() as (client, stream):
        client.close()
        assert has_left(stream.transport)
        assert not stream.ended
        assert not await answer(stream)


async def test_who_reset_before_does_not_hear_us():
    async with connection() as (client, stream):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert has_left(stream.transport)
        assert not await answer(stream)


@pytest.mark.parametrize("how", ["close", "shutdown", "reset"])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_left_between_our_look_and_our_reply_does_not_hear_us(how, loop):
    """Its kernel resets what it sent too late; that reset was taken for one of a client that had heard."""

    async def leave_just_before():
        async with connection() as (client, stream):

            def leave():
                if how == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.shutdown(socket.SHUT_RDWR) if how == "shutdown" else client.close()

            return await answer(stream, before=leave)

    with asyncio.Runner(loop_factory=loop) as runner:
        assert not runner.run(leave_just_before())


async def test_who_ended_his_half_and_listens_hears_us():
    async with connection() as (client, stream):
        client.shutdown(socket.SHUT_WR)
        assert has_left(stream.transport)
        assert await answer(stream)


@pytest.mark.parametrize("reset", [False, True])
async def test_who_reads_our_reply_and_leaves_at_once_has_heard_it(reset):
    """Some devices reset the connection when they have what they want; what they send next is new mail."""
    async with connection() as (client, stream):

        def leave():
            client.setblocking(True)
            assert client.recv(100) == REPLY
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()

        assert await answer(stream, leave)


async def test_who_has_left_is_left_behind_before_the_event_loop_hears_of_it():
    """A session that was not paused was taken for one whose client is there, until its loop's next turn."""
    async with connection() as (client, stream):
        arrivals = Arrivals()
        first, second = (arrivals.begin(("192.0.2.1", "s@example.com", ()), stream) for _ in range(2))
        assert not first.is_left_behind
        client.close()
        assert not stream.ended
        assert first.is_left_behind
        assert not first.is_alone
        passing = asyncio.create_task(second.let_pass())
        await asyncio.sleep(0)
        assert not passing.done()
        first.end()
        await passing
        assert second.is_alone
