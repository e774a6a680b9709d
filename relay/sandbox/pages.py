"""The simulated Works' pages: templates, and the headers that go with every page."""

from datetime import UTC, datetime
from functools import cache

import jinja2
from starlette.responses import HTMLResponse

from relay.sandbox.settings import MEGABYTE

KILOBYTE = 1024


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("relay.sandbox"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["octets"] = show_octets
    environment.filters["moment"] = show_moment
    return environment


def show_octets(size: int) -> str:
    """A size for people: 1.4 MB."""
    if size < KILOBYTE:
        return f"{size} B"
    if size < MEGABYTE:
        return f"{size / KILOBYTE:.0f} KB"
    return f"{size / MEGABYTE:.1f} MB"


def show_moment(seconds: float) -> str:
    """Epoch seconds as a date and time in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def page(
    template: str,
    status: int = 200,
    *,
    form_targets: str = "",
    script: str = "",
    **context: object,
) -> HTMLResponse:
    """A page: nothing from elsewhere, no script but the one whose hash is named, in nobody's frame."""
    body = _templates().get_template(template).render(context)
    policy = [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src 'self' data:",
        "frame-src 'self'",
        "connect-src 'self'",
        f"script-src {script}" if script else "script-src 'none'",
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
