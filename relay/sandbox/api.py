"""The API half of the simulated Works: the send-mail call, the unread count, and who am I."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from relay.envelope import IN_MEMORY, Content
from relay.host.content import ContentWriter
from relay.sandbox.answers import Refusal, unauthorized
from relay.sandbox.faults import Faults
from relay.sandbox.grants import Grant, Grants, Member
from relay.sandbox.messages import Draft, Message, Messages
from relay.sandbox.quotas import MailboxLimit, RequestLimit
from relay.sandbox.rules import addresses, check_mail
from relay.sandbox.settings import MEGABYTE, Clock, Settings
from relay.sandbox.structure import Buffer, NotJson, read_strings, read_structure

# What a body may have beside the attachments' data, octets.
_ROOM = 16 * MEGABYTE


class Api:
    """The routes under /v1.0."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        grants: Grants,
        faults: Faults,
        messages: Messages,
        directory: Path,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._grants = grants
        self._faults = faults
        self._messages = messages
        self._directory = directory
        # Works counts each call of the API apart (Works API §3, §5).
        self._domain_limit = RequestLimit(settings.requests_per_minute, clock)
        self._count_limit = RequestLimit(settings.requests_per_minute, clock)
        self._mailbox_limit = MailboxLimit(settings, clock)
        self.answers: Counter[int] = Counter()  # status codes of the send-mail call
        self.unread_counts = 0  # calls of the unread count that came through

    def routes(self) -> list[Route]:
        """What is served; everything else under /v1.0 is "Api not exists"."""
        return [
            Route("/v1.0/users/me", self._who_am_i, methods=["GET"]),
            Route("/v1.0/users/{user}/mail", self._send_mail, methods=["POST"]),
            Route("/v1.0/users/{user}/mail/unread-count", self._count_unread, methods=["GET"]),
            Route("/v1.0/{path:path}", _unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]

    async def _send_mail(self, request: Request) -> Response:
        headers: dict[str, str] = {}
        try:
            grant = self._authenticate(request, "send")
            headers = self._domain_limit.take()
            member = self._mailbox(grant, request.path_params["user"], "mail")
            await self._take(request, member)
            response = Response(status_code=202)
        except Refusal as refusal:
            response = refusal.response()
        except ClientDisconnect:
            response = Response(status_code=400)
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        self.answers[response.status_code] += 1
        return response

    def _authenticate(self, request: Request, place: str) -> Grant:
        grant = self._grants.authenticate(request.headers.get("authorization", ""))
        death = self._faults.meet(place, grant.member.login_id, "token-death")
        if death is not None:
            self._grants.kill(grant, access_only=death.access_only)
            raise unauthorized("invalid_token", "The access token is invalid")
        return grant

    async def _count_unread(self, request: Request) -> Response:
        self.unread_counts += 1
        grant = self._authenticate(request, "unread-count")
        headers = self._count_limit.take()
        self._mailbox(grant, request.path_params["user"], "mail", "mail.read")
        return JSONResponse({"count": 0}, headers=headers)

    def _mailbox(self, grant: Grant, user: str, *scopes: str) -> Member:
        member = grant.member if user == "me" else self._grants.find(user)
        # An unknown user is a 403 where one would expect a 404 (Works API §4).
        if member is None:
            raise Refusal(403, "ACCESS_DENIED", "Access denied")
        if member != grant.member:
            raise Refusal(403, "FORBIDDEN", "No access to this user's mailbox")
        if not {*scopes} & {*grant.scopes}:
            raise Refusal(403, "FORBIDDEN", "The scope is missing")
        return member

    async def _take(self, request: Request, member: Member) -> None:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise Refusal(400, "BAD_REQUEST", "Content-Type must be application/json")
        body = await self._receive(request)
        try:
            if body.path is None:
                mail, draft = self._read(body)
            else:
                mail, draft = await asyncio.to_thread(self._read, body)
        finally:
            body.discard()
        try:
            self._check_recipients(mail, member)
        except Refusal:
            draft.discard()
            raise
        self._messages.accept(draft, lambda number: self._summarise(number, mail, member, request, body))

    async def _receive(self, request: Request) -> Content:
        """The body, in memory while it is small, then in a file."""
        writer = ContentWriter(self._directory, IN_MEMORY)
        try:
            async for block in request.stream():
                self._check_size(writer.size + len(block))
                writer.write(block)
        except BaseException:
            writer.discard()
            raise
        return writer.finish()

    def _check_size(self, size: int) -> None:
        limit = self._settings.attachment_limit
        if limit and size > limit * 4 // 3 + _ROOM:
            raise self._oversize()

    def _oversize(self) -> Refusal:
        if self._settings.oversize_as_500:
            return Refusal(500, "INTERNAL_SERVER_ERROR", "System error")
        return Refusal(400, "LIMIT_EXCEEDED", "The attachments are larger than allowed")

    def _read(self, content: Content) -> tuple[Mapping[str, Any], Draft]:
        with content.map() as body:
            return self._understand(body)  # type: ignore[arg-type]  # never a memoryview here

    def _understand(self, body: Buffer) -> tuple[Mapping[str, Any], Draft]:
        try:
            value = read_structure(body)
            if isinstance(value, dict):
                value = read_strings(value, body, but=frozenset({"body"}))
            mail = check_mail(value)
        except NotJson as error:
            raise Refusal(400, "BAD_REQUEST", str(error)) from None
        for attachment in mail.get("attachments", ()):
            extension = attachment["filename"].rpartition(".")[2].lower()
            if extension in self._settings.blocked_extensions:
                raise Refusal(400, "INVALID_PARAMETER", "The file's extension is blocked")
        draft = self._messages.draft(mail, body)
        if 0 < self._settings.attachment_limit < draft.octets:
            draft.discard()
            raise self._oversize()
        return mail, draft

    def _check_recipients(self, mail: Mapping[str, Any], member: Member) -> None:
        everybody = [one for name in ("to", "cc", "bcc") for one in addresses(mail.get(name, ""))]
        external = sum(1 for one in everybody if one.rpartition("@")[2].lower() != member.domain)
        most = self._settings.external_recipients_per_mail
        if most and external > most:
            raise Refusal(400, "LIMIT_EXCEEDED", f"More than {most} external addresses")
        self._mailbox_limit.take(member.login_id, len(everybody))

    def _summarise(
        self, number: int, mail: Mapping[str, Any], member: Member, request: Request, body: Content
    ) -> Message:
        return Message(
            id=number,
            time=self._clock.now(),
            account=member.login_id,
            user_id=request.path_params["user"],
            subject=mail["subject"],
            to=mail["to"],
            cc=mail.get("cc", ""),
            bcc=mail.get("bcc", ""),
            size=body.size,
            sha256=body.sha256,
            queue_id=request.headers.get("x-relay-queue-id", ""),
        )

    async def _who_am_i(self, request: Request) -> Response:
        grant = self._grants.authenticate(request.headers.get("authorization", ""))
        if not {"user.read", "user.profile.read"} & set(grant.scopes):
            raise Refusal(403, "FORBIDDEN", "The scope is missing")
        return JSONResponse({"userId": grant.member.user_id, "email": grant.member.login_id})


async def _unknown(_: Request) -> Response:
    raise Refusal(404, "NOT_FOUND", "Api not exists")
