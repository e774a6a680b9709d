"""The first page: how the relay stands, what is wrong, and what to do about it."""

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.console.site import Site
from relay.console.status import Overview, Status
from relay.console.texts import gettext as _

log = structlog.get_logger("console")
_LISTED = 50  # messages on the page


class OverviewPages:
    """`/`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """What is served."""
        return [Route("/", self._site.look(self._show))]

    async def _show(self, request: Request) -> Response:
        status = self._site.status
        seen = await look(status, _LISTED)
        if seen is None:
            return self._site.page(request, "unavailable.html", 503)
        return self._site.page(request, "overview.html", seen=seen, problems=await find_problems(status))


async def look(status: Status, messages: int) -> Overview | None:
    """Everything at this moment; None: it cannot be read, and the log says why."""
    try:
        return await status.overview(messages)
    except Exception:
        # A page that asks must never bring the relay down.
        log.exception("overview unavailable")
        return None


async def find_problems(status: Status) -> tuple[str, ...]:
    """Why mail would not be taken now."""
    try:
        return await status.problems()
    except Exception:
        log.exception("problems unavailable")
        return (_("the relay's state cannot be read; see its log"),)
