"""The simulated Works' pages: templates, and the headers that go with every page."""

from datetime import UTC, datetime

from markupsafe import Markup
from starlette.responses import HTMLResponse

from relay.host.templates import hash_file, make_environment, read_file


def show_clock(seconds: float) -> str:
    """Epoch seconds as a time of day in this machine's zone, where there is no room for more."""
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone():%H:%M:%S}"


_PACKAGE = "relay.sandbox"
# A request of the API leaves out what it does not need.
_ENVIRONMENT = make_environment(_PACKAGE, strict=False, clock=show_clock)


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
        context["script"] = Markup(read_file(_PACKAGE, script))  # noqa: S704 - a file of this package
    body = _ENVIRONMENT.get_template(template).render(context)
    policy = [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src 'self' data:",
        "frame-src 'self'",
        "connect-src 'self'",
        f"script-src {hash_file(_PACKAGE, script)}" if script else "script-src 'none'",
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
