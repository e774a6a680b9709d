"""The console's pages: their templates, how values are said on them, and what goes with each."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from markupsafe import Markup
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from relay.host.templates import hash_file, make_environment, read_file
from relay.host.texts import gettext, mark

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# Two of a unit are told in the smaller one: 90 minutes, 36 hours.
_UNITS = (
    (2 * _DAY, _DAY, mark("{number} d")),
    (2 * _HOUR, _HOUR, mark("{number} h")),
    (2 * _MINUTE, _MINUTE, mark("{number} min")),
    (0, 1, mark("{number} s")),
)
# The pages' own style and script; they stand in each page, and nothing else may run or style it.
_PACKAGE = "relay.console"
_STYLE, _SCRIPT = (_PACKAGE, "console.css"), (_PACKAGE, "console.js")
# One page at a time: the event loop then waits for one other thread at most, and not for as many as browsers
# click.
_RENDERING = ThreadPoolExecutor(1, thread_name_prefix="pages")


def show_span(seconds: float) -> str:
    """A span of time for people: 47 s, 90 min, 36 h, 12 d."""
    seconds = max(0.0, seconds)
    size, text = next((size, text) for least, size, text in _UNITS if seconds >= least)
    return gettext(text).format(number=int(seconds / size))


def read_iso(text: str) -> float:
    """The epoch seconds of a time as verbs answer it (RFC 3339)."""
    return datetime.fromisoformat(text).timestamp()


_ENVIRONMENT = make_environment(_PACKAGE, strict=True, span=show_span, iso=read_iso, zip=zip)


def _policy() -> str:
    """Nothing from elsewhere; the page's own style and script by their hashes."""
    return (
        f"default-src 'none'; style-src {hash_file(*_STYLE)}; script-src {hash_file(*_SCRIPT)}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


class Page(Response):
    """A page; all of its context is escaped. It is rendered in a thread, for a table takes some 20 ms."""

    def __init__(self, template: str, status: int, context: Mapping[str, object]) -> None:
        super().__init__(status_code=status)
        self._template = template
        self._context = context

    def _render(self) -> str:
        own = {"style": Markup(read_file(*_STYLE)), "script": Markup(read_file(*_SCRIPT))}  # noqa: S704 - of ours
        return _ENVIRONMENT.get_template(self._template).render(own | dict(self._context))

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await asyncio.get_running_loop().run_in_executor(_RENDERING, self._render)
        headers = {"content-security-policy": _policy()}
        await HTMLResponse(body, self.status_code, headers=headers)(scope, receive, send)


def page(template: str, status: int = 200, **context: object) -> Page:
    """A page."""
    return Page(template, status, context)
