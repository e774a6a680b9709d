"""Did a client that has stopped sending still take our reply?

A client that ends its half of the connection before the reply may be listening still (`printf … | nc`), or
may have hung up: both look the same until we write. The kernel of one that listens acknowledges our
octets; the kernel of one that is gone answers with a reset (RFC 9293 §3.5.2).
"""

import asyncio
import socket
import struct

# Where Linux's struct tcp_info (linux/tcp.h) has the state, and how many segments are not acknowledged.
_STATE, _UNACKED = struct.Struct("B"), struct.Struct("I")
_UNACKED_AT, _TCP_INFO_LENGTH = 24, 104
_TCP_CLOSE = 7
_PATIENCE, _LOOK = 1.0, 0.01  # seconds


async def took_reply(transport: asyncio.Transport | None) -> bool:
    """Whether the client's side has acknowledged all that was written, within a second."""
    if getattr(socket, "TCP_INFO", None) is None:
        return True  # not Linux: written is as much as is known
    for _ in range(int(_PATIENCE / _LOOK)):
        if transport is None or transport.is_closing():
            return False
        taken = None if transport.get_write_buffer_size() else _look(transport.get_extra_info("socket"))
        if taken is not None:
            return taken
        await asyncio.sleep(_LOOK)
    return False


def _look(connected: socket.socket) -> bool | None:
    """Whether it is all acknowledged, or the connection has been reset; None: not yet."""
    try:
        # The event loop's own object may be one that does not answer questions.
        with socket.fromfd(connected.fileno(), connected.family, socket.SOCK_STREAM) as same:
            found = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_LENGTH)
    except OSError:
        return False
    if _STATE.unpack_from(found)[0] == _TCP_CLOSE:
        return False
    return None if _UNACKED.unpack_from(found, _UNACKED_AT)[0] else True
