"""The faults of the way between: answers that are late, lost or another's, connections that break.

The outermost piece of the application, in plain ASGI: uvicorn's `receive` is a method of the request's
cycle, and that knows the transport.
"""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.sandbox.faults import KINDS, SILENCE, Fault, Faults

# token-death is the auth server's affair, not the way's.
_HERE = tuple(kind for kind in KINDS if kind != "token-death")
_ANSWERS = {
    "400": (400, "INVALID_PARAMETER", "A parameter is not valid"),
    "403": (403, "FORBIDDEN", "No access to this user's mailbox"),
    "404": (404, "NOT_FOUND", "Api not exists"),
    "quota": (403, "LIMIT_EXCEEDED", "Too many recipients in 24 hours for this mailbox"),
    "413": (413, "OUT_OF_RANGE", "The request is too large"),
    "429": (429, "TOO_MANY_REQUESTS", "API rate limit exceeded"),
    "500": (500, "INTERNAL_SERVER_ERROR", "Internal server error"),
    "503": (503, "SERVICE_UNAVAILABLE", "Service is temporarily unavailable"),
}
_PAGE = b"<html><head><title>Error</title></head><body><h1>Something went wrong</h1></body></html>"


class FaultyWay:
    """Lets requests through to `app`, unless a fault is in force."""

    def __init__(self, app: ASGIApp, faults: Faults, account_of: Callable[[Scope], str]) -> None:
        self._app = app
        self._faults = faults
        self._account_of = account_of
        self.in_flight = 0  # send-mail calls, now
        self.most_in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        place = _place(scope)
        if place != "send":
            await self._pass(place, scope, receive, send)
            return
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self._pass(place, scope, receive, send)
        finally:
            self.in_flight -= 1

    async def _pass(self, place: str, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._faults.meet(place, self._account_of(scope), *_HERE) if place else None
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await self._meet(fault, scope, receive, send)

    async def _meet(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind == "latency":
            held: list[Message] = []
            await self._app(scope, receive, _keeper(held))
            if await _silence(receive, fault.seconds):
                for message in held:
                    await send(message)
        elif fault.kind == "cut-before":
            await _cut(receive)
        elif fault.kind == "cut-in":
            await _read_half(scope, receive)
            await _cut(receive)
        elif fault.kind in ("cut-after", "no-answer"):
            await self._app(scope, receive, _swallow)
            if fault.kind == "no-answer":
                await _silence(receive, fault.seconds or SILENCE)
            await _cut(receive)
        else:
            if fault.accepted:
                await self._app(scope, receive, _swallow)
            else:
                await _drain(receive)
            await self._answer(fault, send)

    async def _answer(self, fault: Fault, send: Send) -> None:
        headers = []
        if fault.kind == "wrong-content-type":
            status, body, media_type = fault.status, _PAGE, b"text/html; charset=utf-8"
        else:
            status, code, description = _ANSWERS[fault.kind]
            body = json.dumps({"code": code, "description": description}).encode()
            media_type = b"application/json"
        if fault.kind == "429":
            left = str(max(1, round(self._faults.seconds_left(fault)))).encode()
            headers = [(b"rateLimit-remaining", b"0"), (b"rateLimit-reset", left)]
        headers += [(b"content-type", media_type), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _place(scope: Scope) -> str:
    """Which call a request is, as faults know it; "": one that meets none."""
    if scope["type"] != "http":
        return ""
    method, path = scope["method"], scope["path"]
    if path.startswith("/v1.0/users/"):
        if method == "POST" and path.endswith("/mail"):
            return "send"
        return "unread-count" if method == "GET" and path.endswith("/mail/unread-count") else ""
    if method == "POST" and path.startswith("/v1.0/bots/"):
        return "bot"
    return "token" if method == "POST" and path == "/oauth2/v2.0/token" else ""


def _keeper(held: list[Message]) -> Send:
    async def keep(message: Message) -> None:
        held.append(message)

    return keep


async def _swallow(_: Message) -> None:
    """The answer that nobody gets."""


async def _silence(receive: Receive, seconds: float) -> bool:
    """Wait; whether the client is still there afterwards."""
    try:
        async with asyncio.timeout(seconds):
            await _drain(receive, until_gone=True)
    except TimeoutError:
        return True
    return False


async def _drain(receive: Receive, *, until_gone: bool = False) -> None:
    """Read the body to its end, or on until the client is gone."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect" or not (until_gone or message.get("more_body")):
            return


async def _read_half(scope: Scope, receive: Receive) -> None:
    length = next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)
    size = 0
    while size <= length // 2:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return


async def _cut(receive: Receive) -> None:
    """Reset the connection, as a router that lost its mind does: no answer, no FIN."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("connections can be cut under uvicorn only")
    # The number of a socket that the client has closed may be another connection's by now.
    if not transport.is_closing():
        _reset(transport)
    # uvicorn takes an application that ends without an answer for broken, unless the client is gone.
    await _drain(receive, until_gone=True)


def _reset(transport: asyncio.Transport) -> None:
    # A linger time of zero turns the close into an RST. uvloop's socket object cannot set options;
    # a second descriptor of the same socket can.
    descriptor = transport.get_extra_info("socket").fileno()
    with socket.socket(fileno=os.dup(descriptor)) as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
