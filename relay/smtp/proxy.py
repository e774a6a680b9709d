"""PROXY protocol, versions 1 and 2, from addresses that are trusted to tell who the client is.

The header stands before everything else, TLS included, and is read octet by octet from the bare
socket, so that nothing behind it is taken by mistake.
"""

import asyncio
import socket

from aiosmtpd.proxy_protocol import AF, get_proxy

_PATIENCE = 5.0  # seconds; a balancer sends its header with the connection
# Version 2 may carry 64 KiB of further facts, none of which are needed here.
_MOST_OCTETS = 4_096


class NotProxied(Exception):  # noqa: N818 - what the peer did
    """A trusted address connected and sent no header that can be read."""


async def read_client(sock: socket.socket, peer: str) -> str:
    """The client's address as the header says it; `peer` where it says LOCAL or UNKNOWN.

    Raises:
        NotProxied: there is no header, or it is not one.
    """
    try:
        async with asyncio.timeout(_PATIENCE):
            data = await get_proxy(_Socket(sock))
    except (TimeoutError, EOFError, OSError, ValueError, IndexError) as error:
        raise NotProxied(type(error).__name__) from None
    if not data.valid:
        raise NotProxied(data.error or "malformed")
    return str(data.src_addr) if data.family in (AF.INET, AF.INET6) and data.src_addr else peer


class _Socket:
    """What aiosmtpd's parser reads from."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._left = _MOST_OCTETS

    async def read(self, n: int = 1) -> bytes:
        self._left -= n
        if self._left < 0:
            raise ValueError("too long")
        data = await asyncio.get_running_loop().sock_recv(self._sock, n)
        if not data:
            raise EOFError
        return data

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
