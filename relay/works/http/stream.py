"""One connection to the API as a network stream of httpcore, which sees a status line at once.

The streams of HTTP libraries hide what matters here behind their buffers: this one says of each write whether
the kernel took it, gives httpcore whole heads only, and tells the exchange of a status line before that.
"""

import asyncio
import re
import select
import socket
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2 as httpcore

from relay.works.http.progress import Progress, current

_MOST_BUFFERED = 256 * 1024  # octets of an answer that wait to be read
_MOST_HEAD = 64 * 1024  # octets of an answer before its body
_PREFIX = b"HTTP/"
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([2-9]\d\d)(?: [^\n]*)?\r?\n")
# An interim answer comes before the one that counts (RFC 9110 §15.2). Not 101: another protocol is no answer.
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)\d\d(?: [^\n]*)?\r?\n")
_END = re.compile(rb"\n\r?\n")
_KEEPALIVE = (  # an answer may take minutes, and firewalls forget silent connections sooner
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6),
)


class NameUnknown(httpcore.ConnectError):
    """The host's name does not resolve."""


class TlsRefused(httpcore.ConnectError):
    """No TLS, or a certificate that does not fit."""


class NotHttp(httpcore.ReadError):
    """What came is not HTTP."""


class Stream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """A TCP or TLS connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._buffer = bytearray()  # what came and was not read
        self._paused = False
        self._ended = False  # the peer said that it sends no more, or the connection is lost
        self._error: Exception | None = None  # by which it was lost
        self._reading: asyncio.Future[bool] | None = None
        self._draining: asyncio.Future[bool] | None = None  # True: the kernel has all; False: it will not
        self._exchange: Progress | None = None  # the one that it works for
        self._head = b""  # of its request, until the first block of the body goes with it
        self._in_body = False  # the head of its answer was read
        self._behind_head = 0  # octets that were read behind it

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep no octet back: a write is over when the kernel has it."""
        self._transport = transport  # type: ignore[assignment]  # a Protocol is given a Transport
        # With a limit of 0 asyncio's TLS transport pauses although nothing waits, and never resumes.
        self._transport.set_write_buffer_limits(
            high=1 if transport.get_extra_info("ssl_object") else 0, low=0
        )
        own = transport.get_extra_info("socket")
        for option in _KEEPALIVE:
            own.setsockopt(*option)

    def data_received(self, data: bytes) -> None:
        """Take what came; a peer that floods is made to wait."""
        self._buffer += data
        if len(self._buffer) > _MOST_BUFFERED and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        _wake(self._reading)

    def eof_received(self) -> bool:
        """Note that the peer closed; the transport closes too."""
        self._ended = True
        _wake(self._reading)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake the reader and the writer."""
        self._ended, self._error = True, exc
        _wake(self._reading)
        _wake(self._draining, result=False)

    def pause_writing(self) -> None:
        """The kernel's buffer is full."""
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """The kernel has taken all."""
        _wake(self._draining)
        self._draining = None

    # httpcore.AsyncNetworkStream

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's name
        """Give octets to the kernel, all of them.

        Raises:
            httpcore.WriteError: the peer has closed, or has answered already: httpcore reads its answer then,
                as RFC 9112 §9.6 wants it.
            httpcore.WriteTimeout: it read none of them for `timeout` seconds, or not all by the deadline.
        """
        if self._exchange is not current.get():
            self._exchange, self._in_body, self._behind_head = current.get(), False, 0
            self._head = buffer
            return
        # A small message leaves in one piece. httpcore writes nothing at the end of one without a body.
        buffer, self._head = self._head + buffer, b""
        if not buffer:
            return
        if self._ended or self._answered:
            raise httpcore.WriteError
        self._transport.write(buffer)
        if self._transport.is_closing():  # the kernel refused them; the protocol hears of it later
            raise httpcore.WriteError
        # What was taken before the connection was lost has left: the peer may have it.
        if self._draining is not None and not await self._wait(
            self._draining, timeout, httpcore.WriteTimeout
        ):
            raise httpcore.WriteError

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - likewise
        """A whole head, or the next octets of a body; b"" at the end.

        Raises:
            NotHttp: what came is none.
            httpcore.ReadError: what came cannot be read, or the connection was reset.
            httpcore.ReadTimeout: nothing came by the deadline.
        """
        if not self._in_body:
            return self._take(await self._find_head(timeout))
        while not self._buffer and not self._ended:
            await self._wait_for_more(timeout)
        octets = self._take(max_bytes)
        self._behind_head += len(octets)
        return octets

    async def _find_head(self, timeout: float | None) -> int:  # noqa: ASYNC109 - likewise
        """The length of the answer's head, once it is there; its status line is told before."""
        seen = 0
        while True:
            self._skip_interim()
            if (line := _STATUS_LINE.match(self._buffer)) is not None:
                await current.get().note(int(line[1]))
                if (end := _END.search(self._buffer, seen)) is not None:
                    self._in_body = True
                    return end.end()
            elif not _PREFIX.startswith(self._buffer[: len(_PREFIX)]):
                raise NotHttp
            elif self._answered:
                raise httpcore.ReadError("another version, or another protocol")
            if self._ended:
                return len(self._buffer)
            if len(self._buffer) > _MOST_HEAD:
                raise httpcore.ReadError("a head without an end")
            seen = max(0, len(self._buffer) - 2) if line is not None else 0
            await self._wait_for_more(timeout)

    def _skip_interim(self) -> None:
        while self._buffer.startswith((b"\r", b"\n")):  # behind the answer before (RFC 9112 §2.2)
            del self._buffer[0]
        while _INTERIM.match(self._buffer) and (end := _END.search(self._buffer)) is not None:
            del self._buffer[: end.end()]

    @property
    def _answered(self) -> bool:
        """Whether an answer, not an interim one, has begun to come."""
        if not self._buffer:
            return False
        self._skip_interim()
        return b"\n" in self._buffer and not _INTERIM.match(self._buffer)

    def _take(self, size: int) -> bytes:
        octets = bytes(self._buffer[:size])
        del self._buffer[:size]
        if self._paused and len(self._buffer) <= _MOST_BUFFERED and not self._ended:
            self._paused = False
            self._transport.resume_reading()
        if not octets and self._error is not None:
            raise httpcore.ReadError from self._error
        return octets

    async def _wait_for_more(self, timeout: float | None) -> None:  # noqa: ASYNC109 - likewise
        self._reading = asyncio.get_running_loop().create_future()
        # What may pass before an answer is a matter of the exchange, not of the read: it may drip.
        await self._wait(self._reading, None if current.get().asked else timeout, httpcore.ReadTimeout)

    async def _wait(
        self, event: "asyncio.Future[bool]", patience: float | None, error: type[Exception]
    ) -> bool:
        until = None if patience is None else asyncio.get_running_loop().time() + patience
        limits = [at for at in (until, current.get().deadline) if at is not None]
        try:
            async with asyncio.timeout_at(min(limits, default=None)):
                return await event
        except TimeoutError:
            raise error from None

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - likewise
    ) -> "Stream":
        """The stream inside TLS.

        Raises:
            TlsRefused: no TLS, or a certificate that does not fit.
            httpcore.ConnectError: the connection broke, or the peer said nothing for `timeout` seconds.
        """
        inside, loop = Stream(), asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                transport = await loop.start_tls(
                    self._transport, inside, ssl_context, server_hostname=server_hostname
                )
        except BaseException as error:
            self._transport.abort()
            if isinstance(error, OSError):  # TimeoutError and ssl.SSLError are among them
                raise (TlsRefused if isinstance(error, ssl.SSLError) else httpcore.ConnectError) from error
            raise
        assert transport is not None  # noqa: S101 - typeshed's None is for transports that are closing
        inside.connection_made(transport)
        return inside

    async def aclose(self) -> None:
        """Close at once: what is not sent by now is not wanted."""
        self._transport.abort()

    def get_extra_info(self, info: str) -> Any:
        """`is_readable`: whether an idle connection can take no request (httpcore asks so before each)."""
        return not self._usable if info == "is_readable" else self._transport.get_extra_info(info)

    @property
    def _usable(self) -> bool:
        """Whether the peer has said nothing and not closed."""
        if self._ended or self._buffer or self._transport.is_closing():
            return False
        # What the event loop has not seen yet the kernel may know: a request that meets a closing
        # connection is the one that nobody can tell the fate of.
        kernel = select.poll()
        kernel.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not kernel.poll(0)

    def finish(self, content_length: str | None) -> None:
        """The answer was read whole. What came behind it would be taken for the next message's answer.

        What lies in this buffer is seen by `is_readable`; what h11 has in its own only by counting.
        """
        if self._behind_head and str(self._behind_head) != content_length:
            self._transport.abort()


def _wake(event: "asyncio.Future[bool] | None", *, result: bool = True) -> None:
    if event is not None and not event.done():
        event.set_result(result)


class Backend(httpcore.AsyncNetworkBackend):
    """Makes such streams."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's name
        local_address: str | None = None,  # noqa: ARG002 - httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - likewise
    ) -> Stream:
        """Connect to the first address of `host` that answers, within `timeout` seconds.

        Raises:
            NameUnknown: the name does not resolve.
            httpcore.ConnectError: no address could be reached in time.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
                # One address that swallows everything (a broken IPv6 route) must leave time for the others.
                return await self._connect_any(addresses, port, timeout and timeout / len(addresses))
        except (socket.gaierror, UnicodeError) as error:
            raise NameUnknown from error
        except OSError as error:  # TimeoutError is among them
            raise httpcore.ConnectError from error

    async def _connect_any(self, addresses: Iterable[str], port: int, patience: float | None) -> Stream:
        problem: OSError = OSError("no address")
        for address in addresses:
            try:
                async with asyncio.timeout(patience):
                    _, stream = await asyncio.get_running_loop().create_connection(Stream, address, port)
            except OSError as error:
                problem = error
            else:
                return stream
        raise problem
