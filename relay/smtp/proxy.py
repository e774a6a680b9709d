"""PROXY protocol, versions 1 and 2, from addresses that are trusted to tell who the client is.

The header stands before everything else, TLS included, and is read octet by octet from the bare
socket, so that nothing behind it is taken by mistake.
"""

import asyncio
import logging
import socket

from aiosmtpd.proxy_protocol import AF, V2_CMD, get_proxy
from aiosmtpd.proxy_protocol import log as _parser_log

from relay.config.networks import read_address
from relay.smtp.peek import until_readable

_PATIENCE = 5.0  # seconds; a balancer sends its header with the connection
# Version 2 may carry 64 KiB of further facts, none of which are needed here.
_MOST_OCTETS = 4_096
# It warns of each header that it cannot read; the listener says so itself, and counts its lines. Silenced by
# its level: whoever sets up logging in this process (Django, say) enables all loggers that are disabled.
_parser_log.setLevel(logging.CRITICAL + 1)


class NotProxied(Exception):  # noqa: N818 - what the peer did
    """A trusted address connected and sent no header that can be read."""


async def read_client(sock: socket.socket, peer: str) -> str:
    """The client's address as the header says it; `peer` where it says LOCAL or UNKNOWN.

    Raises:
        NotProxied: there is no header, or it is not one.
    """
    try:
        data = await get_proxy(_Socket(sock))
    except (TimeoutError, EOFError, OSError, ValueError, IndexError) as error:
        raise NotProxied(type(error).__name__) from None
    if not data.valid:
        raise NotProxied(data.error or "malformed")
    # A health check may name addresses all the same; LOCAL says that they mean nothing.
    if data.command == V2_CMD.LOCAL or data.family not in (AF.INET, AF.INET6):
        return peer
    if not data.src_addr:
        return peer
    # A balancer that listens on IPv6 says ::ffff:192.0.2.1 of a client whom everybody knows as 192.0.2.1.
    return str(read_address(str(data.src_addr)) or data.src_addr)


class _Socket:
    """What aiosmtpd's parser reads from."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._left = _MOST_OCTETS
        self._until = asyncio.get_running_loop().time() + _PATIENCE

    async def read(self, n: int = 1) -> bytes:
        if n > self._left:
            raise ValueError("too long")
        data = await self._receive(n)
        if not data:
            raise EOFError
        self._left -= len(data)
        return data

    async def _receive(self, n: int) -> bytes:
        try:
            return self._sock.recv(n)
        except BlockingIOError:
            await until_readable(self._sock, self._until - asyncio.get_running_loop().time())
        try:
            # Also when the time is over: where the event loop was late, it may have come in time.
            return self._sock.recv(n)
        except BlockingIOError:
            raise TimeoutError from None

    async def readexactly(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            data += await self.read(n - len(data))
        return data

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        data = b""
        while not data.endswith(separator):
            data += await self.read(1)
        return data
