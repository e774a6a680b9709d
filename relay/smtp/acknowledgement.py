"""Did the client take our reply?

Whoever was there when it was written has it, as far as we can know. The event loop may not know yet that
a client has left; its kernel's and ours do. A client that has ended its half of the connection may be
listening still (`printf … | nc`), or may have hung up: both look the same until we write. The kernel of one
that listens acknowledges our octets; the kernel of one that is gone answers with a reset (RFC 9293 §3.5.2).
"""

import asyncio
import socket
import struct
from typing import NamedTuple, Self

from relay.smtp.stream import Stream

# Of Linux's struct tcp_info (linux/tcp.h): the state; how many segments are not acknowledged, and how many
# octets are; how many segments came, came with data, and were sent with data.
_INFO = struct.Struct("=B23xI92xQ12xI8xII")
_TCP_ESTABLISHED, _TCP_CLOSE = 1, 7
_PATIENCE, _LOOK = 1.0, 0.01  # seconds


class _Connection(NamedTuple):
    """What the kernel says of a connection."""

    state: int
    unacknowledged: int = 0  # segments
    acknowledged: int = 0  # octets
    bare: int = 0  # segments without data that came: acknowledgements, the client's end, a reset
    sent: int = 0  # segments with data


_GONE = _Connection(_TCP_CLOSE)


_KNOWN = hasattr(socket, "TCP_INFO")


def _share(transport: asyncio.Transport | None) -> socket.socket | None:
    """The connection by a descriptor of our own; None if there is none, or the system does not tell."""
    if transport is None or not _KNOWN:
        return None
    # The event loop's own object may be one that does not answer questions, and is closed too soon.
    connected = transport.get_extra_info("socket")
    if connected is None:
        return None  # the connection is lost
    try:
        return socket.fromfd(connected.fileno(), connected.family, socket.SOCK_STREAM)
    except OSError:  # it is closed, or no descriptor is left
        return None


def _look(connected: socket.socket) -> _Connection:
    try:
        found = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        state, unacknowledged, acknowledged, came, came_with_data, sent = _INFO.unpack(found)
        return _Connection(state, unacknowledged, acknowledged, came - came_with_data, sent)
    except (OSError, struct.error):
        return _GONE


class Acknowledgement:
    """Follows one reply, from before it is written. A context: it holds a descriptor.

    Args:
        stream: the session's.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        """Look before the reply is written."""
        self._socket = _share(self._stream.transport)
        self._before = _GONE if self._socket is None else _look(self._socket)
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    async def heard(self) -> bool:
        """Whether the reply, which was given to the transport, reached the client's side.

        Of a client that had stopped sending it is awaited for a second at most.
        """
        if self._socket is None:
            return not self._stream.ended  # written is as much as is known
        await asyncio.sleep(0)  # uvloop writes at the end of a turn, and then hears who has left
        now = _look(self._socket)
        if self._before.state == _TCP_ESTABLISHED:
            if now.state == _TCP_ESTABLISHED and not self._stream.ended:
                return True
            if now.state == _TCP_CLOSE:
                return self._was_reset_after(now)
        return await self._acknowledged(self._socket)

    def _was_reset_after(self, now: _Connection) -> bool:
        """Whether the connection was reset by one who needed no more than our reply."""
        if now.sent == self._before.sent:
            return False  # before we wrote
        if now.acknowledged > self._before.acknowledged and not self._before.unacknowledged:
            return True
        # The reset came alone from one who had our octets and had not acknowledged them yet. Behind the
        # client's end it says that they came too late.
        return now.bare - self._before.bare == 1

    async def _acknowledged(self, connected: socket.socket) -> bool:
        for _ in range(int(_PATIENCE / _LOOK)):
            now, transport = _look(connected), self._stream.transport
            if now.state == _TCP_CLOSE:
                return False
            if not (now.unacknowledged or transport is None or transport.get_write_buffer_size()):
                return True
            await asyncio.sleep(_LOOK)
        return False


def has_left(transport: asyncio.Transport | None) -> bool:
    """Whether the client sends no more, though what it sent may not have been read yet."""
    if transport is None or transport.is_closing():
        return True
    connected = transport.get_extra_info("socket") if _KNOWN else None
    if connected is None:
        return False
    # Its descriptor in an object that answers questions, for one question.
    asked = socket.socket(connected.family, socket.SOCK_STREAM, 0, connected.fileno())
    try:
        return _look(asked).state != _TCP_ESTABLISHED
    finally:
        asked.detach()
