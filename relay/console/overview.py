"""The first page: how the relay stands, what is wrong, and what to do about it."""

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.console.chart import Chart, draw_hours
from relay.console.site import Pages
from relay.console.status import Status
from relay.host.templates import show_moment
from relay.host.texts import gettext as _
from relay.host.texts import ngettext, say
from relay.operator.calling import Answer
from relay.operator.state import Concern, Headline, RelayState
from relay.outcome import TroubleKind
from relay.spool import SpoolError

log = structlog.get_logger("console")
_LISTED = 10  # messages on the page
_HOURS = 24
# Where the remedy of a trouble is a page of the console.
_ACCOUNTS = (TroubleKind.ACCOUNT, TroubleKind.GRANT_EXPIRES, TroubleKind.UNVERIFIED)
_ABOUT_A_MESSAGE = (TroubleKind.MESSAGE_HELD, TroubleKind.NOT_TOLD, TroubleKind.DAMAGE)


class OverviewPages(Pages):
    """`/`."""

    def routes(self) -> list[Route]:
        """What is served."""
        return [self._site.look("/", self._show)]

    async def _show(self, request: Request) -> Response:
        status = self._site.status
        seen = await look(status)
        if seen is None:
            return self._site.page(request, "unavailable.html", 503)
        messages, chart = await self._read_messages(request) if seen.queue else (None, None)
        headline, facts = say_headline(seen.headline)
        return self._site.page(
            request,
            "overview.html",
            seen=seen,
            headline=headline,
            facts=facts,
            problems=await find_problems(status),
            ways={one: way for one in seen.concerns if (way := find_way(one))},
            chart=chart,
            messages=messages,
        )

    async def _read_messages(self, request: Request) -> tuple[list[Answer] | None, Chart | None]:
        """The latest, and how many there were in each hour; None where the spool does not answer just now."""
        try:
            found = await self._site.ask(request, "queue_list", states=[], limit=_LISTED, counted=False)
            return found["messages"], draw_hours(await self._site.status.hours(_HOURS))
        except SpoolError:
            return None, None


async def look(status: Status) -> RelayState | None:
    """How the relay is; None: that cannot be read, and the log says why."""
    try:
        return await status.state()
    except Exception:
        # A page that asks must never bring the relay down.
        log.exception("state unavailable")
        return None


async def find_problems(status: Status) -> tuple[str, ...]:
    """Why mail would not be taken now."""
    try:
        return await status.problems()
    except Exception:
        log.exception("problems unavailable")
        return (_("the relay's state cannot be read; see its log"),)


def say_headline(headline: Headline) -> tuple[str, list[str]]:
    """What matters most, in one sentence; and what belongs to it."""
    text, more = say(headline.text), []
    if headline.since is not None:
        more.append(_("since {moment}").format(moment=show_moment(headline.since)))
    if headline.next_try is not None:
        more.append(_("next try {moment}").format(moment=show_moment(headline.next_try)))
    if headline.waiting:
        words = ngettext("{number} message waits", "{number} messages wait", headline.waiting)
        more.append(words.format(number=f"{headline.waiting:,}"))
    return text[:1].upper() + text[1:], more


def find_way(concern: Concern) -> tuple[str, str] | None:
    """The page where something can be done about it, and what its button says."""
    if concern.kind in _ACCOUNTS:
        return f"/accounts#{concern.name}", _("Open the account")
    if concern.kind in _ABOUT_A_MESSAGE and concern.name:
        return f"/messages/{concern.name}", _("Open the message")
    if concern.kind == TroubleKind.WAITING_LONG:
        return "/messages?state=delayed", _("Show what waits")
    if concern.kind == TroubleKind.OVER_LIMIT:
        return f"/messages?source={concern.name}", _("Show its messages")
    return None
