"""The strings behind the stage: what was accepted, faults, the clock, grants, for tests and scripts."""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from relay.host.browser import read_body
from relay.sandbox.answers import BadWish
from relay.sandbox.faults import Faults
from relay.sandbox.grants import Grants
from relay.sandbox.messages import FIELDS, Message, Messages
from relay.sandbox.settings import Clock

_FARTHEST = 100 * 366 * 86400.0  # seconds
_AT_A_TIME = 500  # items


@dataclass(frozen=True, slots=True)
class Control:
    """The routes under /sandbox."""

    _messages: Messages
    _faults: Faults
    _grants: Grants
    _clock: Clock
    _counts: Callable[[], dict[str, Any]]

    def routes(self) -> list[Route]:
        """What is served."""
        every = ["GET", "POST", "DELETE"]
        return [
            Route("/sandbox/messages", self._serve_messages, methods=["GET", "DELETE"]),
            Route("/sandbox/messages/{id:int}", self._serve_message, methods=["GET"]),
            Route("/sandbox/counts", self._serve_counts, methods=["GET"]),
            Route("/sandbox/faults", self._serve_faults, methods=every),
            Route("/sandbox/clock", self._serve_clock, methods=["GET", "POST"]),
            Route("/sandbox/grants", self._serve_grants, methods=every),
        ]

    async def _serve_messages(self, request: Request) -> Response:
        """All that was accepted, oldest first.

        Without a query: the messages that are kept whole, each with its `request`. With
        `?fields=subject,to,…`: those fields of the summaries, of all messages that are remembered.
        `?after=ID` leaves out what came before.
        """
        if request.method == "DELETE":
            self._messages.clear()
            return Response(status_code=204)
        asked = request.query_params.get("after", "0")
        if not (asked.isascii() and asked.isdigit()):
            raise BadWish("after must be an id")
        after = int(asked[:18])
        fields = [name for name in request.query_params.get("fields", "").split(",") if name]
        if unknown := set(fields) - set(FIELDS):
            raise BadWish(f"unknown field: {min(unknown)}")
        if fields:
            found = [one for one in self._messages.summaries if one.id > after]
            lines: Iterable[Any] = ({name: getattr(one, name) for name in fields} for one in found)
        else:
            lines = self._whole_after(after)
        return StreamingResponse(_array(lines), media_type="application/json")

    def _whole_after(self, after: int) -> Iterator[dict[str, Any]]:
        for message in list(self._messages.whole()):
            if message.id > after:
                # A newer one may have taken its place while this list was on its way.
                with suppress(KeyError, FileNotFoundError):
                    yield self._whole(message)

    def _whole(self, message: Message) -> dict[str, Any]:
        request = self._messages.request(message.id)
        for number, attachment in enumerate(request.get("attachments", [])):
            attachment["url"] = f"/inbox/{message.id}/attachments/{number}"
        return {**message.as_json(), "request": request}

    async def _serve_message(self, request: Request) -> Response:
        message = self._messages.find(request.path_params["id"])
        if message is None:
            return JSONResponse({"error": "no such message is kept"}, 404)
        return JSONResponse(self._whole(message))

    async def _serve_counts(self, _: Request) -> Response:
        return JSONResponse(self._counts())

    async def _serve_faults(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                fault = self._faults.add(await _read_json(request))
            except ValueError as error:
                raise BadWish(str(error)) from None
            return JSONResponse(fault.as_json(), 201)
        if request.method == "DELETE":
            self._faults.clear(request.query_params.get("kind", ""))
            return Response(status_code=204)
        return JSONResponse([fault.as_json() for fault in self._faults.standing()])

    async def _serve_clock(self, request: Request) -> Response:
        """GET: the time; POST `{"seconds": s}`: move it on (or back)."""
        if request.method == "POST":
            try:
                seconds = float((await _read_json(request))["seconds"])
                # A wall clock beyond these years is no date any more.
                if not abs(self._clock.offset + seconds) < _FARTHEST:
                    raise ValueError(seconds)  # noqa: TRY301 - one answer to all that is wrong
                self._clock.move(seconds)
            except (ValueError, KeyError, TypeError):
                raise BadWish('expected {"seconds": number}') from None
        return JSONResponse({"now": self._clock.now(), "offset": self._clock.offset})

    async def _serve_grants(self, request: Request) -> Response:
        """GET: the grants, without tokens; POST `{"login_id"}`: a new one; DELETE: all of them die."""
        login_id = request.query_params.get("login_id", "").lower()
        if request.method == "POST":
            return await self._mint(request)
        if request.method == "DELETE":
            for grant in self._grants.grants:
                if not login_id or grant.member.login_id.lower() == login_id:
                    self._grants.kill(grant)
            return Response(status_code=204)
        return JSONResponse(
            [
                {
                    "login_id": grant.member.login_id,
                    "user_id": grant.member.user_id,
                    "scopes": list(grant.scopes),
                    "issued": grant.issued,
                    "refresh_expires": grant.refresh_expires,
                    "refreshes": grant.refreshes,
                }
                for grant in self._grants.grants
            ]
        )

    async def _mint(self, request: Request) -> Response:
        try:
            wish = await _read_json(request)
            member = self._grants.find(wish["login_id"])
        except (ValueError, KeyError, TypeError, AttributeError):
            member = None
        if member is None:
            raise BadWish('expected {"login_id": a member\'s}')
        return JSONResponse(self._grants.issue(member, ("mail",)), 201)


async def _read_json(request: Request) -> Any:
    """The body's JSON value, small as everything here.

    Raises:
        ValueError: it is not JSON, or long.
    """
    return json.loads(await read_body(request.stream()))


async def _array(items: Iterable[Any]) -> AsyncIterator[bytes]:
    """A JSON array, a line for each item, some hundred lines at a time."""
    rest = iter(items)
    before = "["
    while some := [json.dumps(item, ensure_ascii=False) for item in islice(rest, _AT_A_TIME)]:
        yield (before + ",\n".join(some)).encode()
        before = ",\n"
    yield b"[]" if before == "[" else b"]"
