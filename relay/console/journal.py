"""Who changed what."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.console.site import Site

_LISTED = 200


class JournalPages:
    """`/activity`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """What is served."""
        return [Route("/activity", self._site.look(self._show), methods=["GET"])]

    async def _show(self, request: Request) -> Response:
        records = (await self._site.ask(request, "audit", limit=_LISTED))["records"]
        return self._site.page(request, "activity.html", records=records)
