"""One connection to the API: knows what has left this machine, and sees a status line at once.

An exception's class cannot tell whether a broken request may have been taken. Two facts can: whether
the kernel took all of the body, and whether a status line came back. The streams of HTTP libraries
hide both behind their buffers.
"""

import asyncio
import re
import select
import socket
import ssl
from collections import deque
from collections.abc import Iterable

_MOST_BUFFERED = 256 * 1024  # octets of an answer that wait to be read
_LONGEST_HEAD = 4096  # octets in which the status line is looked for
# An interim answer (1xx) comes before the one that counts (RFC 9110 §15.2).
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([2-9]\d\d)[ \r\n]")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1\d\d[ \r\n]")
_KEEPALIVE = (  # an answer may take minutes, and firewalls forget silent connections sooner
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 30),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 15),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 6),
)


class Broken(Exception):  # noqa: N818 - what the connection is
    """The connection is of no use any more."""


class TooSlow(Broken):
    """The peer did not take, or not give, anything in time."""


class Stream(asyncio.Protocol):
    """A TCP or TLS connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._ended = False  # the peer said that it sends no more, or the connection is lost
        self._lost = False
        self._reading: asyncio.Future[None] | None = None
        self._draining: asyncio.Future[None] | None = None
        self._head = bytearray()  # the first octets of this exchange's answer
        self.deadline: float | None = None  # in the loop's time: no read waits beyond it

    # What the exchange knows about itself.

    def begin(self) -> None:
        """A new exchange starts: forget the last one's answer."""
        self._head.clear()
        self.deadline = None

    @property
    def usable(self) -> bool:
        """Whether an idle connection can take a request: the peer has said nothing and not closed."""
        if self._ended or self._chunks or self._transport.is_closing():
            return False
        # What the event loop has not seen yet the kernel may know: a request that meets a closing
        # connection is the one that nobody can tell the fate of.
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    @property
    def answered(self) -> bool:
        """Whether an answer, not an interim one, has begun to come."""
        head = self._final_head()
        return bool(head) and not _INTERIM.match(head)

    @property
    def speaks_http(self) -> bool:
        """Whether what came, if anything did, begins as an answer does."""
        return self._final_head()[:5] == b"HTTP/"[: len(self._final_head())]

    @property
    def ended(self) -> bool:
        """Whether the peer has closed."""
        return self._ended

    def find_status(self) -> int | None:
        """The status of this exchange's answer as soon as its line is whole; None before."""
        head = self._final_head()
        match = _STATUS_LINE.match(head)
        return int(match[1]) if match and b"\n" in head else None

    def _final_head(self) -> bytes:
        head = bytes(self._head)
        while _INTERIM.match(head) and (end := head.find(b"\r\n\r\n")) >= 0:
            head = head[end + 4 :]
        return head

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep no octet back: a write is over when the kernel has it."""
        self._transport = transport  # type: ignore[assignment]  # a Protocol is given a Transport
        # With a limit of 0 asyncio's TLS transport pauses although nothing waits, and never resumes.
        self._transport.set_write_buffer_limits(
            high=1 if transport.get_extra_info("ssl_object") else 0, low=0
        )
        sock = transport.get_extra_info("socket")
        for level, name, value in _KEEPALIVE:
            if sock is not None and hasattr(socket, name):
                sock.setsockopt(level, getattr(socket, name), value)

    def data_received(self, data: bytes) -> None:
        """Take what came; a peer that floods is made to wait."""
        if len(self._head) < _LONGEST_HEAD:
            self._head += data[: _LONGEST_HEAD - len(self._head)]
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > _MOST_BUFFERED and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Note that the peer closed; the transport closes too."""
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Let whoever waits find out."""
        self._ended = self._lost = True
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The kernel's buffer is full."""
        if self._draining is None:
            self._draining = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has room again, or there is nobody to write to."""
        draining, self._draining = self._draining, None
        if draining is not None and not draining.done():
            draining.set_result(None)

    def _wake(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None and not reading.done():
            reading.set_result(None)

    # What the exchange reads and writes.

    async def read(self) -> bytes:
        """The next octets of the answer; b"" at its end.

        Raises:
            TooSlow: nothing came by the deadline.
        """
        if not self._chunks and not self._ended:
            self._reading = self._loop.create_future()
            await self._wait(self._reading, self.deadline)
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        self._buffered -= len(chunk)
        if self._buffered <= _MOST_BUFFERED and self._paused and not self._ended:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    async def write(self, octets: bytes, patience: float) -> None:
        """Give octets to the kernel, all of them.

        Raises:
            Broken: the peer has closed, or the connection is lost with some of them here.
            TooSlow: the peer read none of them for `patience` seconds, or not all by the deadline.
        """
        if self._ended:
            raise Broken
        self._transport.write(octets)
        if self._transport.is_closing():  # the kernel refused them; the protocol hears of it later
            raise Broken
        draining = self._draining
        if draining is None:
            return
        until = self._loop.time() + patience
        await self._wait(draining, until if self.deadline is None else min(until, self.deadline))
        if self._lost:
            raise Broken

    async def _wait(self, event: "asyncio.Future[None]", until: float | None) -> None:
        timer = None if until is None else self._loop.call_at(until, _expire, event)
        try:
            await event
        finally:
            if timer is not None:
                timer.cancel()

    def abort(self) -> None:
        """Close at once: what is not sent by now is not wanted."""
        self._transport.abort()


def _expire(event: "asyncio.Future[None]") -> None:
    if not event.done():
        event.set_exception(TooSlow())


async def connect(host: str, port: int, tls: ssl.SSLContext | None, patience: float) -> Stream:
    """Connect to the first address of `host` that answers, within `patience` seconds.

    Raises:
        socket.gaierror: the name does not resolve.
        ssl.SSLError: no TLS, or a certificate that does not fit.
        OSError: no address could be reached (TimeoutError among them).
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(patience):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(info[4][0] for info in found))
        # One address that swallows everything (a broken IPv6 route) must leave time for the others.
        return await _connect_any([str(a) for a in addresses], port, tls, host, patience / len(addresses))


async def _connect_any(
    addresses: Iterable[str], port: int, tls: ssl.SSLContext | None, host: str, patience: float
) -> Stream:
    loop = asyncio.get_running_loop()
    problem: OSError = OSError("no address")
    for address in addresses:
        try:
            async with asyncio.timeout(patience):
                _, stream = await loop.create_connection(
                    Stream, address, port, ssl=tls, server_hostname=host if tls else None
                )
        except OSError as error:  # ssl.SSLError and TimeoutError are among them
            problem = error
        else:
            return stream
    raise problem
