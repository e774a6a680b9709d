"""The console's pages: their templates, how values are said on them, and what goes with each."""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from relay.host.clock import to_local
from relay.host.display import show_octets
from relay.host.texts import gettext, mark, ngettext, say

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# Two of a unit are told in the smaller one: 90 minutes, 36 hours.
_UNITS = (
    (2 * _DAY, _DAY, mark("{number} d")),
    (2 * _HOUR, _HOUR, mark("{number} h")),
    (2 * _MINUTE, _MINUTE, mark("{number} min")),
    (0, 1, mark("{number} s")),
)
# The pages' own style and script; they stand in each page, and nothing else may run or style it.
_STYLE, _SCRIPT = "console.css", "console.js"
# One page at a time: the event loop then waits for one other thread at most, and not for as many as browsers
# click.
_RENDERING = ThreadPoolExecutor(1, thread_name_prefix="pages")


def show_span(seconds: float) -> str:
    """A span of time for people: 47 s, 90 min, 36 h, 12 d."""
    seconds = max(0.0, seconds)
    size, text = next((size, text) for least, size, text in _UNITS if seconds >= least)
    return gettext(text).format(number=int(seconds / size))


def show_moment(seconds: float) -> str:
    """Epoch seconds as a time of this machine's zone, which is named; with its date, if that is not today."""
    return to_local(seconds, "seconds")


def read_iso(text: str) -> float:
    """The epoch seconds of a time as verbs answer it (RFC 3339)."""
    return datetime.fromisoformat(text).timestamp()


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("relay.console"),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(
        span=show_span, moment=show_moment, octets=show_octets, iso=read_iso, zip=zip, say=say
    )
    return environment


@cache
def _read(name: str) -> str:
    return files("relay.console").joinpath("templates", name).read_text("utf-8")


@cache
def _policy() -> str:
    """Nothing from elsewhere; the page's own style and script by their hashes (CSP level 3 §2.3.1)."""
    style, script = (
        "'sha256-" + base64.b64encode(hashlib.sha256(_read(name).encode()).digest()).decode() + "'"
        for name in (_STYLE, _SCRIPT)
    )
    return (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


class Page(Response):
    """A page; all of its context is escaped. It is rendered in a thread, for a table takes some 20 ms."""

    def __init__(self, template: str, status: int, context: Mapping[str, object]) -> None:
        super().__init__(status_code=status)
        self._template = template
        self._context = context

    def _render(self) -> str:
        own = {"style": Markup(_read(_STYLE)), "script": Markup(_read(_SCRIPT))}  # noqa: S704 - files of ours
        return _environment().get_template(self._template).render(own | dict(self._context))

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await asyncio.get_running_loop().run_in_executor(_RENDERING, self._render)
        headers = {"content-security-policy": _policy()}
        await HTMLResponse(body, self.status_code, headers=headers)(scope, receive, send)


def page(template: str, status: int = 200, **context: object) -> Page:
    """A page."""
    return Page(template, status, context)
