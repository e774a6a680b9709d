"""The simulated Works' pages: templates, and the headers that go with every page."""

import base64
import hashlib
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup
from starlette.responses import HTMLResponse

from relay.host.clock import to_local
from relay.host.display import show_octets
from relay.host.texts import gettext, ngettext, say


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("relay.sandbox"),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.filters["say"] = say
    environment.filters["octets"] = show_octets
    environment.filters["moment"] = show_moment
    environment.filters["clock"] = show_clock
    return environment


def show_moment(seconds: float) -> str:
    """Epoch seconds as a time of this machine's zone, which is named; with its date, if that is not today."""
    return to_local(seconds, "seconds")


def show_clock(seconds: float) -> str:
    """Epoch seconds as a time of day in this machine's zone, where there is no room for more."""
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone():%H:%M:%S}"


@cache
def read_script(name: str) -> str:
    """A script of ours, to stand in a page."""
    return files("relay.sandbox").joinpath("templates", name).read_text("utf-8")


@cache
def _hash(name: str) -> str:
    """What lets this script run and no other (CSP level 3, §2.3.1)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(read_script(name).encode()).digest()).decode()}"


def page(
    template: str,
    status: int = 200,
    *,
    form_targets: str = "",
    script: str = "",
    **context: object,
) -> HTMLResponse:
    """A page: nothing from elsewhere, no script but the named one of ours, in nobody's frame."""
    if script:
        context["script"] = Markup(read_script(script))  # noqa: S704 - a file of this package
    body = _templates().get_template(template).render(context)
    policy = [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src 'self' data:",
        "frame-src 'self'",
        "connect-src 'self'",
        f"script-src '{_hash(script)}'" if script else "script-src 'none'",
        f"form-action 'self' {form_targets}".strip(),
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    headers = {
        "content-security-policy": "; ".join(policy),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    return HTMLResponse(body, status, headers=headers)
