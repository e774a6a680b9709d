"""The send-mail call: one message's attempt, and what is known about it at its end. And a probe without one.

Whatever the network does comes back as an Outcome. A request is repeated here, once, only where it
certainly was not taken: after a 401 with a fresh token, after a 307 to another instance, and at once
after a connection that broke before the whole request had left.
"""

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from relay import __version__, metrics
from relay.config.model import Account, Works
from relay.envelope import Content
from relay.message.payload import Payload
from relay.outcome import Outcome
from relay.works.auth.authorizer import Authorizer
from relay.works.auth.errors import TokenError
from relay.works.diagnosis import Answer, Failure, diagnose, diagnose_failure, diagnose_probe, diagnose_repeat
from relay.works.http.body import stream_blocks
from relay.works.http.exchange import Exchanges, Request, Timeouts
from relay.works.http.progress import OnStatus
from relay.works.http.proxy import Proxy

_UNAUTHORIZED = 401
_TEMPORARY_REDIRECT = 307
# Nothing hangs on a probe's answer, so it need not be waited for as long as a message's.
_PROBE_PATIENCE = 45.0  # seconds, with a token refresh


class Budget(Protocol):
    """What every request takes part of, and every answer tells of (pacing.Slot is one)."""

    async def again(self) -> None:
        """Wait for another request's share."""

    def answered(self, answer: Answer) -> None:
        """Learn from an answer."""


async def _ignore(*_: object) -> None:
    """Nobody keeps a record."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What is told of one message's requests, in this order. What these raise ends the call.

    Attributes:
        start: awaited before each request, also one that is made again, when there is a fresh token and an
            open connection, and nothing has left. Where it does not come to that, Works has nothing.
        last: called just before the last octet of a request leaves: until then Works certainly has nothing.
        status: awaited with the HTTP status as soon as its line is there, before anything else is done: a 202
            is to be recorded first. Not of a 401 or a 307 that is followed.
        repeat: awaited when a request came to nothing and is made again: how it ended.
    """

    start: Callable[[], Awaitable[None]] = _ignore
    last: Callable[[], None] = lambda: None
    status: OnStatus | None = None
    repeat: Callable[[Outcome], Awaitable[None]] = _ignore


@dataclass(frozen=True, slots=True)
class _Call:
    """One message's request, as often as it is made."""

    request: Request
    steps: Steps
    budget: Budget | None


class Client:
    """Sends messages through the Works API.

    Made and used inside a running event loop; `aclose` at the end.
    """

    def __init__(
        self,
        works: Works,
        tokens: Authorizer,
        *,
        timeouts: Timeouts | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._api_url = works.api_url
        self._tokens = tokens
        limits = timeouts or Timeouts(connect=works.connect_timeout, read=works.read_timeout)
        self._exchanges = Exchanges(tls, limits, Proxy.to(works.api_url, works.proxy))

    async def send(
        self,
        account: Account,
        payload: Payload,
        content: Content,
        steps: Steps | None = None,
        budget: Budget | None = None,
        queue_id: str = "",
    ) -> Outcome:
        """Make the call for one message.

        Args:
            account: whose mailbox sends.
            payload: the JSON body.
            content: the octets that the payload's attachments are ranges of.
            steps: told how far it has come.
            budget: the slot that was taken for this message.
            queue_id: of the message, as a header field: whoever looks at the requests on their way, a proxy
                or the simulated Works, can tell which message each is.

        Raises:
            OSError: the content's file is gone or cannot be read.
            Exception: what the payload or one of `steps` raised.
        """
        url, steps = self._url(account, "mail"), steps or Steps()

        def make(token: str) -> _Call:
            head = _head(url, token, payload.length, queue_id)
            request = Request(url, head, payload.length, body)
            return _Call(request, steps, budget)

        # Asked for its first block when the connection is there, and before the head has left.
        async def body() -> AsyncGenerator[bytes]:
            await steps.start()
            left = payload.length
            async with contextlib.aclosing(stream_blocks(payload, content)) as blocks:
                async for block in blocks:
                    left -= len(block)
                    if left <= 0:
                        steps.last()
                    yield block

        try:
            end = await self._authorized(account, make)
        except TokenError as error:
            return diagnose_failure(error.failure, error.diagnostic, account.name)
        return diagnose(end) if isinstance(end, Answer) else diagnose_failure(end)

    async def probe(self, account: Account) -> Outcome | None:
        """Ask whether the mail API works for an account, by a call that costs no message.

        It is `GET …/mail/unread-count` (Works API §5): every grant that can send may make it, and Works
        counts it apart from the send-mail call.

        Returns:
            None: it works. Else what is wrong: held or delayed, of the account or of the API, never unknown.
        """
        url = self._url(account, "mail/unread-count")

        def make(token: str) -> _Call:
            return _Call(Request(url, _head(url, token), 0, _nothing, b"GET"), Steps(), None)

        try:
            async with asyncio.timeout(_PROBE_PATIENCE):
                end = await self._authorized(account, make)
        except TimeoutError:
            end = Failure.NO_ANSWER
        except TokenError as error:
            return diagnose_failure(error.failure, error.diagnostic, account.name)
        return diagnose_probe(end, account.name)

    def _url(self, account: Account, what: str) -> SplitResult:
        return urlsplit(f"{self._api_url}/users/{quote(account.user_id, safe='')}/{what}")

    async def _authorized(self, account: Account, make: Callable[[str], _Call]) -> Answer | Failure:
        """The end of a call, made once more with a fresh token after a 401.

        Raises:
            TokenError: there is no token.
        """
        token = await self._tokens.token(account.name)
        call = make(token)
        end = await self._follow(call)
        if isinstance(end, Answer) and end.status == _UNAUTHORIZED:
            await call.steps.repeat(diagnose_repeat(end))
            call = make(await self._tokens.token(account.name, rejected=token))
            await _take_share(call.budget)
            end = await self._follow(call)
        return end

    async def _follow(self, call: _Call) -> Answer | Failure:
        """The end of one request, sent once more to where a 307 points."""
        end = await self._try(call)
        if not isinstance(end, Answer) or end.status != _TEMPORARY_REDIRECT:
            return end
        target = _other_instance(call.request.url, end.headers.get("location", ""))
        if target is None:
            return end
        await _again(call, end)
        return await self._try(replace(call, request=_redirect(call.request, target)))

    async def _try(self, call: _Call) -> Answer | Failure:
        """The end of one request, sent once more if it never left this machine."""
        end = await self._exchange(call)
        if end is Failure.CUT_BEFORE:
            await _again(call, end)
            end = await self._exchange(call)
        if call.budget is not None and isinstance(end, Answer):
            call.budget.answered(end)
        return end

    async def _exchange(self, call: _Call) -> Answer | Failure:
        began = time.monotonic()
        end = await self._exchanges.exchange(call.request, _final_only(call.steps.status))
        status = end.status if isinstance(end, Answer) else None
        if call.request.method == b"POST":
            metrics.API_SECONDS.labels(metrics.answer_class(status)).observe(time.monotonic() - began)
        return end

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._exchanges.aclose()


async def _again(call: _Call, end: Answer | Failure) -> None:
    await call.steps.repeat(diagnose_repeat(end))
    await _take_share(call.budget)


async def _take_share(budget: Budget | None) -> None:
    if budget is not None:
        await budget.again()


def _final_only(on_status: OnStatus | None) -> OnStatus | None:
    """Spare the caller the statuses after which the request is made again."""
    if on_status is None:
        return None

    async def report(status: int) -> None:
        if status not in (_UNAUTHORIZED, _TEMPORARY_REDIRECT):
            await on_status(status)

    return report


def _head(
    url: SplitResult, token: str, length: int | None = None, queue_id: str = ""
) -> list[tuple[bytes, bytes]]:
    head = [
        (b"Host", url.netloc.encode()),
        (b"Authorization", b"Bearer " + token.encode()),
        (b"Accept", b"application/json"),
        # Nothing here unpacks an answer, and an error that cannot be read is not Works' own.
        (b"Accept-Encoding", b"identity"),
        (b"User-Agent", b"relay/" + __version__.encode()),
    ]
    if length is not None:
        head += [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % length)]
    if queue_id:
        head.append((b"X-Relay-Queue-Id", queue_id.encode("ascii")))
    return head


async def _nothing() -> AsyncGenerator[bytes]:
    """The body of a GET."""
    nothing: tuple[bytes, ...] = ()
    for block in nothing:
        yield block


def _redirect(request: Request, target: SplitResult) -> Request:
    headers = [
        (name, target.netloc.encode() if name == b"Host" else value) for name, value in request.headers
    ]
    return replace(request, url=target, headers=headers)


_HTTPS_PORT = 443
# Letters, digits and hyphens (RFC 5890 §2.3.1): what else stands in a host may be read otherwise elsewhere.
_LDH_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def _other_instance(url: SplitResult, location: str) -> SplitResult | None:
    """Where a 307 may take the bearer token: an https host of the API's own domain (Works API §4)."""
    try:
        target = urlsplit(urljoin(url.geturl(), location))
        host, port = (target.hostname or "").lower(), target.port
        whole = target.geturl().isascii() and target.path.startswith("/")
    except ValueError:
        return None
    ours = (url.hostname or "").lower()
    domain = _own_domain(ours)
    same_port = (port or _HTTPS_PORT) == (url.port or _HTTPS_PORT)
    inside = host == ours or (bool(domain) and (host == domain or host.endswith("." + domain)))
    if not location or target.scheme != "https" or target.username is not None or not inside or not whole:
        return None
    if not (same_port and _LDH_NAME.fullmatch(host)):
        return None
    return target._replace(netloc=host if port is None else f"{host}:{port}", fragment="")


def _own_domain(host: str) -> str:
    """`worksapis.com` of `www.worksapis.com`; "" for an address and a name too short to tell."""
    labels = host.split(".")
    domain = labels[1:]
    # Not co.jp or go.kr: everybody is under those.
    public = len(domain) == 2 and len(domain[0]) <= 3 and len(domain[1]) == 2  # noqa: PLR2004 - labels, letters
    return "" if len(domain) < 2 or public or labels[-1].isdecimal() else ".".join(domain)  # noqa: PLR2004 - labels
