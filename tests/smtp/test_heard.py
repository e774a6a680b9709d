"""Whether a client took our reply is asked of the kernel: the event loop may hear of its end too late."""

import asyncio
import socket

import pytest

from relay.smtp.heard import has_left, took_reply


async def connect():
    """A client's socket, and the relay's end of its connection."""
    loop, accepted = asyncio.get_running_loop(), asyncio.Queue()

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport):
            accepted.put_nowait(transport)

        def eof_received(self):
            return True

    server = await loop.create_server(Protocol, "127.0.0.1", 0)
    client = socket.socket()
    client.setblocking(False)
    await loop.sock_connect(client, server.sockets[0].getsockname())
    transport = await accepted.get()
    server.close()
    return client, transport


@pytest.mark.parametrize("ended", [False, True])
async def test_who_is_there_has_our_reply(ended):
    client, transport = await connect()
    with client:
        transport.write(b"250 2.0.0 relayed\r\n")
        await asyncio.sleep(0)
        assert not has_left(transport)
        assert await took_reply(transport, ended=ended)
    transport.close()


async def test_who_closed_just_before_does_not_have_it_though_the_loop_has_not_heard_of_it():
    """One of a thousand clients that hung up was taken for one that had heard: it got a second mail."""
    client, transport = await connect()
    client.close()
    assert has_left(transport)
    transport.write(b"250 2.0.0 relayed\r\n")
    assert not await took_reply(transport, ended=False)
    transport.close()


async def test_who_ended_his_half_and_listens_has_it():
    client, transport = await connect()
    with client:
        client.shutdown(socket.SHUT_WR)
        assert has_left(transport)
        transport.write(b"250 2.0.0 relayed\r\n")
        assert await took_reply(transport, ended=False)
    transport.close()
