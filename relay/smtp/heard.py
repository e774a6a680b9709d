"""Did the client take our reply?

Whoever has not stopped sending has it when it is written; whether a client has, the kernel knows before
the event loop does. A client that ends its half of the connection before the reply may be listening
still (`printf … | nc`), or may have hung up: both look the same until we write. The kernel of one that
listens acknowledges our octets; the kernel of one that is gone answers with a reset (RFC 9293 §3.5.2).
"""

import asyncio
import socket
import struct

# Where Linux's struct tcp_info (linux/tcp.h) has the state, and how many segments are not acknowledged.
_STATE, _UNACKED = struct.Struct("B"), struct.Struct("I")
_UNACKED_AT, _TCP_INFO_LENGTH = 24, 104
_TCP_ESTABLISHED, _TCP_CLOSE = 1, 7
_PATIENCE, _LOOK = 1.0, 0.01  # seconds


def has_left(transport: asyncio.Transport | None) -> bool:
    """Whether the client sends no more, though what it sent may not have been read yet."""
    if transport is None or transport.is_closing():
        return True
    if getattr(socket, "TCP_INFO", None) is None:
        return False
    return _look(transport.get_extra_info("socket"))[0] != _TCP_ESTABLISHED


async def took_reply(transport: asyncio.Transport | None, *, ended: bool) -> bool:
    """Whether the client's side has acknowledged all that was written, within a second.

    Args:
        transport: of the connection; the reply was written to it.
        ended: the client is known to send no more. Otherwise being there is enough.
    """
    if getattr(socket, "TCP_INFO", None) is None:
        return True  # not Linux: written is as much as is known
    for _ in range(int(_PATIENCE / _LOOK)):
        if transport is None or transport.is_closing():
            return False
        state, unacknowledged = _look(transport.get_extra_info("socket"))
        if state == _TCP_CLOSE:
            return False
        if state == _TCP_ESTABLISHED and not ended:
            return True
        if not (unacknowledged or transport.get_write_buffer_size()):
            return True
        await asyncio.sleep(_LOOK)
    return False


def _look(connected: socket.socket) -> tuple[int, int]:
    """The connection's state, and how many segments are not acknowledged."""
    try:
        # The event loop's own object may be one that does not answer questions.
        with socket.fromfd(connected.fileno(), connected.family, socket.SOCK_STREAM) as same:
            found = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_LENGTH)
    except OSError:
        return _TCP_CLOSE, 0
    return _STATE.unpack_from(found)[0], _UNACKED.unpack_from(found, _UNACKED_AT)[0]
