"""The first octets of a connection, looked at and left unread."""

import asyncio
import os
import socket
from contextlib import suppress

LONGEST_HELLO = 4096  # octets that are looked at; versions stand within them


async def peek(descriptor: int, patience: float) -> bytes:
    """The first octets that come on a connection within so many seconds; they stay unread.

    For a socket that a transport holds and does not read at the moment.
    """
    try:
        # The loop lets nobody watch a transport's own descriptor.
        copy = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return b""  # none is left: the handshake goes on without
    with copy:
        await until_readable(copy, patience)
        with suppress(OSError):
            return copy.recv(LONGEST_HELLO, socket.MSG_PEEK)
    return b""


async def until_readable(sock: socket.socket, patience: float) -> None:
    """Wait until something can be read, or the client is gone, or so many seconds are over."""
    loop = asyncio.get_running_loop()
    readable = loop.create_future()
    loop.add_reader(sock.fileno(), _settle, readable)
    try:
        await asyncio.wait({readable}, timeout=patience)
    finally:
        loop.remove_reader(sock.fileno())


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
