"""The inbox: each accepted message as a recipient would see it, beside the JSON that the API was given."""

import base64
import html
import json
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote

from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from relay.host.display import show_octets
from relay.host.texts import gettext as _
from relay.sandbox.messages import Message, Messages
from relay.sandbox.pages import page
from relay.sandbox.rules import addresses, shown_subject
from relay.sandbox.story import Source, Story, Teller

_LISTED = 200  # messages in the list
_SHOWN_BODY = 4000  # characters of the body in the JSON
# Types that a browser may show from here; everything else is only for saving.
_IMAGES = re.compile(r"image/(png|jpeg|gif|webp|bmp|svg\+xml)")
_CID = re.compile(r"""(?i)\bcid:([^"'\s<>()]+)""")
# Ways to look at a message beside the message itself.
_VIEWS = ("text", "source", "headers", "original")
_SHOWN_ORIGINAL = 256 * 1024  # octets on the page; all of it can be saved
_UNSEEN = re.compile(r"(?is)<(style|script|head|title)\b.*?</\1\s*>")
_TAG = re.compile(r"(?s)<[^>]*>")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_STRING = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?')
# A message is shown without scripts, forms or anything from elsewhere; its own images are from here.
_MESSAGE_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
_FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


class Inbox:
    """The routes under /inbox.

    Args:
        messages: what was accepted.
        teller: a relay beside, which knows where messages came from.
    """

    def __init__(self, messages: Messages, teller: Teller | None = None) -> None:
        self._messages = messages
        self._teller = teller

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route("/", _to_inbox),
            Route("/inbox", self._newest),
            Route("/inbox/clear", self._clear, methods=["POST"]),
            Route("/inbox/{id:int}", self._chosen),
            Route("/inbox/{id:int}/body", self._body),
            Route("/inbox/{id:int}/original", self._original),
            Route("/inbox/{id:int}/attachments/{number:int}", self._file),
        ]

    async def _newest(self, request: Request) -> Response:
        listed = self._search(request)
        return await self._page(request, listed[0] if listed else None, listed, chosen=False)

    async def _chosen(self, request: Request) -> Response:
        message = self._messages.find(request.path_params["id"])
        return await self._page(request, message, self._search(request), chosen=True)

    async def _clear(self, _: Request) -> Response:
        self._messages.clear()
        return RedirectResponse("/inbox", 303)

    def _search(self, request: Request) -> list[Message]:
        """The messages in which every word that is looked for stands, newest first."""
        words = request.query_params.get("q", "").lower().split()
        whole = reversed(list(self._messages.whole()))
        found = (one for one in whole if self._has_all(words, one))
        return list(islice(found, _LISTED))

    def _has_all(self, words: list[str], message: Message) -> bool:
        searched = _read_searched(message, self._find_source(message)) if words else ""
        return all(word in searched for word in words)

    def _find_source(self, message: Message) -> Source | None:
        return self._teller.find_source(message.queue_id) if self._teller else None

    async def _tell(self, message: Message) -> Story | None:
        return await self._teller.tell(message.queue_id) if self._teller else None

    async def _page(
        self, request: Request, message: Message | None, listed: list[Message], *, chosen: bool
    ) -> Response:
        view = request.query_params.get("view", "")
        view = view if view in _VIEWS else ""
        return page(
            "inbox.html",
            404 if chosen and message is None else 200,
            script="live.js",
            listed=[(one, shown_subject(one.subject), self._find_source(one)) for one in listed],
            total=self._messages.total,
            chosen=chosen,
            beside=self._teller is not None,
            query=request.query_params.get("q", ""),
            view=view,
            shown=await self._show(message, view) if message else None,
        )

    async def _show(self, message: Message, view: str) -> dict[str, Any]:
        request = self._messages.request(message.id)
        subject = shown_subject(message.subject)
        story = await self._tell(message)
        original = story.original if story else None
        return {
            "message": message,
            "request": request,
            "subject": subject,
            "cut": subject != message.subject,
            "fields": [
                (label, addresses(getattr(message, label.lower())))
                for label in ("To", "Cc", "Bcc")
                if getattr(message, label.lower())
            ],
            "attachments": list(enumerate(request.get("attachments", []))),
            "json": _colour(json.dumps(self._abbreviate(message.id, request), ensure_ascii=False, indent=2)),
            "source": self._find_source(message),
            "story": story,
            "text": _read_view(view, request, original),
        }

    async def _original(self, request: Request) -> Response:
        """What was handed over, to be saved."""
        message = self._messages.find(request.path_params["id"])
        story = await self._tell(message) if message else None
        if message is None or story is None or story.original is None:
            return page("gone.html", 404)
        headers = {
            "content-disposition": f'attachment; filename="{message.id}.eml"',
            "content-security-policy": _FILE_POLICY,
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        }
        return Response(story.original, media_type="message/rfc822", headers=headers)

    def _abbreviate(self, message_id: int, request: Mapping[str, Any]) -> dict[str, Any]:
        """The request as it came, in its own order, with the beginnings of what is long."""
        short = dict(request)
        body = short.get("body", "")
        if len(body) > _SHOWN_BODY:
            more = _("{number} characters").format(number=f"{len(body):,}")
            short["body"] = f"{body[:_SHOWN_BODY]}… ({more})"
        if "attachments" in short:
            short["attachments"] = [
                {
                    **_without(attachment, "size", "sha256"),
                    "data": self._beginning(message_id, number, attachment),
                }
                for number, attachment in enumerate(short["attachments"])
            ]
        return short

    def _beginning(self, message_id: int, number: int, attachment: Mapping[str, Any]) -> str:
        with self._messages.file(message_id, number).open("rb") as file:
            start = base64.b64encode(file.read(24)).decode()
        return f"{start}… ({_('Base64 of {size}').format(size=show_octets(attachment['size']))})"

    async def _body(self, request: Request) -> Response:
        message = self._messages.find(request.path_params["id"])
        if message is None:
            return page("gone.html", 404)
        mail = self._messages.request(message.id)
        # Not saying what it is means html (Works API §1).
        content_type = mail.get("contentType", "html")
        body = mail.get("body", "")
        answer = page("message.html", text=body if content_type == "text" else "", html=_show_html(mail))
        answer.headers["content-security-policy"] = _MESSAGE_POLICY
        answer.headers["x-frame-options"] = "SAMEORIGIN"
        return answer

    async def _file(self, request: Request) -> Response:
        message_id, number = request.path_params["id"], request.path_params["number"]
        message = self._messages.find(message_id)
        attachments = self._messages.request(message_id).get("attachments", []) if message else []
        if number >= len(attachments):
            return page("gone.html", 404)
        attachment = attachments[number]
        media_type = attachment["fileType"].partition(";")[0].strip().lower()
        headers = {
            "content-disposition": f"attachment; filename*=UTF-8''{quote(attachment['filename'], safe='')}",
            "content-security-policy": _FILE_POLICY,
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
            # The sandboxed frame that shows the message is of no origin at all, for the browser.
            "cross-origin-resource-policy": "cross-origin",
        }
        shown_type = media_type if _IMAGES.fullmatch(media_type) else "application/octet-stream"
        return FileResponse(self._messages.file(message_id, number), media_type=shown_type, headers=headers)


def _read_searched(message: Message, source: Source | None) -> str:
    """All that a message is searched by."""
    fields = [message.subject, message.to, message.cc, message.bcc, message.account, message.queue_id]
    if source is not None:
        fields += [source.device, source.author]
    return "\n".join(fields).lower()


def _read_view(view: str, request: Mapping[str, Any], original: bytes | None) -> str:
    """What a view shows as text; "" where it shows the message itself."""
    if view == "source":
        return str(request.get("body", ""))
    if view == "text":
        return html.unescape(_TAG.sub("", _UNSEEN.sub("", str(request.get("body", ""))))).strip()
    if original is None or not view:
        return ""
    octets = original if view == "original" else _HEAD_END.split(original, maxsplit=1)[0]
    rest = len(octets) - _SHOWN_ORIGINAL
    text = octets[:_SHOWN_ORIGINAL].decode("utf-8", "replace")
    return f"{text}\n… {_('{size} more').format(size=show_octets(rest))}" if rest > 0 else text


async def _to_inbox(_: Request) -> Response:
    return RedirectResponse("/inbox", 307)


def _without(mapping: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name not in names}


def _show_html(mail: Mapping[str, Any]) -> Markup:
    """The html body, its inline images pointing to where they are served."""
    if mail.get("contentType", "html") == "text":
        return Markup()
    # The frame around it is sandboxed, and its policy lets nothing run: so it may stand as it came.
    return Markup(_CID.sub(_locate(mail), mail.get("body", "")))  # noqa: S704


def _locate(mail: Mapping[str, Any]) -> Any:
    numbers = {one["cid"]: number for number, one in enumerate(mail.get("attachments", [])) if one.get("cid")}

    def replace(match: re.Match[str]) -> str:
        token = html.unescape(match[1])
        number = numbers.get(token, numbers.get(unquote(token)))
        return match[0] if number is None else f"attachments/{number}"

    return replace


def _colour(text: str) -> Markup:
    """JSON with its names and strings marked, everything escaped."""
    pieces, last = [], 0
    for match in _STRING.finditer(text):
        kind = "name" if match[2] else "string"
        pieces += [
            escape(text[last : match.start()]),
            Markup('<span class="{}">{}</span>').format(kind, match[1]),
        ]
        last = match.end(1)
    return Markup().join([*pieces, escape(text[last:])])
