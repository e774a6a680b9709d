"""One HTTP/1.1 exchange on a kept connection: what was answered, or how it broke.

Connections and the protocol are httpcore's, the engine of httpx2. Ours are its network stream (see `stream`),
which connection is used again (`kept`), and what the two facts of `progress` mean at the end.
"""

import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import SplitResult

from relay.works.diagnosis import Answer, Failure
from relay.works.http.kept import Kept
from relay.works.http.progress import OnStatus, Progress, current
from relay.works.http.proxy import Proxy
from relay.works.http.tls import make_context

if TYPE_CHECKING:
    import httpcore2 as httpcore

Body = Callable[[], AsyncGenerator[bytes]]

# Well below what servers allow (5 s and more): a request that meets a closing connection is the one
# case in which nothing was taken and nobody can know.
_IDLE = 4.0  # seconds
_MOST_BODY = 64 * 1024  # octets of an answer's body that are read


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds.

    A short `read` makes duplicates: what is slow has often been taken (RFC 1047).
    """

    connect: float = 10.0
    write: float = 60.0  # for the peer to read anything at all
    read: float = 180.0  # for the answer, from the end of the body
    read_per_megabyte: float = 10.0  # more of it for large bodies
    slowest: float = 8 * 1024.0  # octets/s; a body that goes out more slowly than this is given up

    def answer_within(self, length: int) -> float:
        """Seconds that the answer to a body of `length` octets may take."""
        return self.read + self.read_per_megabyte * (length / 2**20)

    def sent_within(self, length: int) -> float:
        """Seconds in which a body of `length` octets must have left."""
        return self.write + length / self.slowest


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, and where."""

    url: SplitResult
    headers: list[tuple[bytes, bytes]]
    length: int  # octets of the body
    body: Body  # called once for each try; its first block is asked for when there is a connection
    method: bytes = b"POST"


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Why no connection can be had."""

    failure: Failure
    cause: BaseException | None  # the system's or TLS' own error
    tunnel: int | None  # the status by which a proxy answered CONNECT


class _ConnectedError(Exception):
    """The connection is there: this stands in place of the request."""


@dataclass(slots=True)
class Exchanges:
    """The connections to one or a few hosts."""

    tls: ssl.SSLContext | None = None  # None: the system's authorities
    timeouts: Timeouts = field(default_factory=Timeouts)
    proxy: Proxy | None = None
    _kept: Kept | None = None

    async def exchange(self, request: Request, on_status: OnStatus | None = None) -> Answer | Failure:
        """Send a request once. `on_status` is awaited as soon as the status line is whole.

        Raises:
            ValueError: something of the request would be read as another line.
            Exception: what the body or `on_status` raised; never for what the network does.
        """
        progress = Progress(on_status)
        before = current.set(progress)
        try:
            return await self._run(request, progress)
        finally:
            current.reset(before)

    async def connect(self, url: SplitResult) -> Unreachable | None:
        """Connect as a request would, through the proxy and TLS, and send nothing. None: it can be done."""
        # A target is never empty (RFC 9112 §3.2.1), and a URL's path may be.
        asked = url if url.path else url._replace(path="/")
        request = Request(asked, [(b"Host", url.netloc.encode())], 0, _stop)
        progress = Progress()
        before = current.set(progress)
        try:
            end = await self._run(request, progress)
        except _ConnectedError:
            return None
        finally:
            current.reset(before)
        assert isinstance(end, Failure)  # noqa: S101 - nothing was asked
        return Unreachable(end, progress.error and progress.error.__cause__, progress.tunnel)

    async def _run(self, request: Request, progress: Progress) -> Answer | Failure:
        kept = self._kept or await self._open()
        import httpcore2 as httpcore

        try:
            asked = self._compose(request, progress)
        except UnicodeError:  # a name that IDNA cannot express does not resolve either
            return Failure.NAME_UNKNOWN
        answer = None
        connection = await kept.take(asked.url.origin)
        try:
            response = await connection.handle_async_request(asked)
            async with contextlib.aclosing(response):
                if progress.status is not None:
                    headers = _read_headers(response)
                    answer = Answer(progress.status, headers, *await _read_body(response, headers))
        except httpcore.LocalProtocolError:  # its text may hold the token
            raise ValueError("a request's target or header has octets that cannot stand there") from None
        except _broken() as error:
            # The status line is the verdict, even if the rest of the answer never comes.
            if progress.status is None:
                progress.error = error
                if self.proxy is not None and not (progress.asked or _is_established(progress.tunnel)):
                    return _explain_proxy(progress)
                return _explain(error, progress)
        finally:
            await kept.give_back(asked.url.origin, connection)
        if progress.status is None:  # another protocol, or a stale answer to nothing
            return Failure.CUT_AFTER if progress.left else Failure.CUT_BEFORE
        return answer or Answer(progress.status, {})

    def _compose(self, request: Request, progress: Progress) -> "httpcore.Request":
        """The request for httpcore.

        Raises:
            UnicodeError: the host's name cannot be expressed.
        """
        import httpcore2 as httpcore

        url, limits = request.url, self.timeouts
        target = url.path + ("?" + url.query if url.query else "")
        where = httpcore.URL(
            scheme=url.scheme, host=(url.hostname or "").encode("idna"), port=url.port, target=target.encode()
        )
        body = progress.watch(
            request.body(), limits.sent_within(request.length), limits.answer_within(request.length)
        )
        # What a proxy answers to CONNECT belongs to connecting. The request itself has deadlines.
        waits = {"connect": limits.connect, "read": limits.connect, "write": limits.write}
        return httpcore.Request(
            request.method, where, headers=request.headers, content=body, extensions={"timeout": waits}
        )

    async def _open(self) -> Kept:
        """The connections. Not before they are needed: the libraries take a tenth of a second."""
        tls = self.tls or await make_context()
        import httpcore2 as httpcore

        from relay.works.http.stream import Backend

        if self._kept is None:
            proxy = None if self.proxy is None else self.proxy.for_httpcore()
            self._kept = Kept(
                httpcore.AsyncConnectionPool(
                    tls, proxy, keepalive_expiry=_IDLE, network_backend=Backend()
                ).create_connection,
                _IDLE,
            )
        return self._kept

    async def aclose(self) -> None:
        """Close the connections."""
        if self._kept is not None:
            await self._kept.aclose()


def _read_headers(response: "httpcore.Response") -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


async def _read_body(response: "httpcore.Response", headers: Mapping[str, str]) -> tuple[bytes, bool]:
    """As much of the body as is read, and whether that is all of it."""
    body = bytearray()
    try:
        async with contextlib.aclosing(response.aiter_stream()) as blocks:
            async for block in blocks:
                body += block
                if len(body) > _MOST_BODY:
                    return bytes(body[:_MOST_BODY]), False
    except _broken():
        return bytes(body), False
    response.extensions["network_stream"].finish(headers.get("content-length"))
    return bytes(body), True


def _broken() -> tuple[type[Exception], ...]:
    """What httpcore raises when the network, or what is at its other end, does not work."""
    import httpcore2 as httpcore

    return httpcore.NetworkError, httpcore.TimeoutException, httpcore.RemoteProtocolError, httpcore.ProxyError


async def _stop() -> AsyncGenerator[bytes]:
    """In place of a body: it is asked for when there is a connection, and nothing has been sent by then."""
    nothing: tuple[bytes, ...] = ()
    for block in nothing:
        yield block
    raise _ConnectedError


def _is_established(tunnel: int | None) -> bool:
    return tunnel is not None and tunnel // 100 == 2  # noqa: PLR2004 - any 2xx (RFC 9110 §9.3.6)


def _explain_proxy(progress: Progress) -> Failure:
    """Why there is no tunnel, nor has one been used before: nothing of the request has left."""
    if progress.tunnel is None:
        return Failure.PROXY_NOT_REACHED
    wants_login = progress.tunnel == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
    return Failure.PROXY_LOGIN if wants_login else Failure.PROXY_REFUSED


def _explain(error: Exception, progress: Progress) -> Failure:
    import httpcore2 as httpcore

    from relay.works.http.stream import NameUnknown, NotHttp, TlsRefused

    slow = isinstance(error, httpcore.TimeoutException)
    if isinstance(error, NameUnknown):
        return Failure.NAME_UNKNOWN
    if isinstance(error, TlsRefused):
        return Failure.TLS
    if isinstance(error, httpcore.ConnectError | httpcore.ProxyError) or (slow and not progress.asked):
        return Failure.NOT_REACHED
    if not progress.left:
        return Failure.STUCK if slow else Failure.CUT_BEFORE
    if slow:
        return Failure.NO_ANSWER
    return Failure.NOT_HTTP if isinstance(error, NotHttp) else Failure.CUT_AFTER
