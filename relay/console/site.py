"""What all pages of the console share: who looks, what the relay is asked in whose name, and the frame."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.console.access import Access, Person
from relay.console.pages import page
from relay.console.sessions import Sessions
from relay.console.status import Status
from relay.host import browser
from relay.host.texts import gettext as _
from relay.host.texts import say
from relay.operator.calling import Refused
from relay.spool import SpoolError

Handler = Callable[[Request], Awaitable[Response]]
_SAID = "said"  # what the next page says about what was done


class BadForm(Exception):  # noqa: N818 - what it is
    """What came is no form of the console's."""


@dataclass(frozen=True, slots=True)
class Site:
    """The console around its pages."""

    status: Status
    access: Access
    sessions: Sessions
    links: Mapping[str, str]  # further pages beside the console's: name → path

    def look(self, path: str, handler: Handler) -> Route:
        """A page for people who may look."""
        return Route(path, self._let_in(handler, acting=False), methods=["GET"])

    def act(self, path: str, handler: Handler, method: str = "POST") -> Route:
        """What people do who may act, or a page for them alone."""
        return Route(path, self._let_in(handler, acting=True), methods=[method])

    def _let_in(self, handler: Handler, *, acting: bool) -> Handler:
        async def answer(request: Request) -> Response:
            if reason := self.access.why_closed():
                return page("closed.html", 403, reason=reason)
            person = self.sessions.find(request)
            if person is None:
                return RedirectResponse(f"/login?next={quote(_find_way_back(request))}", 303)
            request.state.person = person
            if acting and not person.may_act:
                return self.page(request, "refused.html", 403, named=bool(self.access.users()))
            try:
                return await handler(request)
            except BadForm:
                return self.page(request, "problem.html", 400, problem=_("This form cannot be read."))
            except (Refused, SpoolError, ValueError) as error:
                return self.page(request, "problem.html", 409, problem=say(error))

        return answer

    def page(self, request: Request, template: str, status: int = 200, **context: object) -> Response:
        """A page within the frame."""
        said = request.session.pop(_SAID, "") if _SAID in request.session else ""
        return page(
            template,
            status,
            person=request.state.person,
            links=self.links,
            path=request.url.path,
            said=said,
            **context,
        )

    async def ask(self, request: Request, verb: str, **arguments: Any) -> dict[str, Any]:
        """Ask the relay in the name of whoever looks.

        Raises:
            Refused, SpoolError, ValueError: it will not, or cannot; the text says why.
        """
        person: Person = request.state.person
        return await self.status.ask(person.name, verb, **arguments)


class Pages:
    """Some pages of the console."""

    def __init__(self, site: Site) -> None:
        self._site = site


def go_on(request: Request, path: str, said: str = "") -> Response:
    """To another page of the console, after something was done; it says what."""
    if said:
        request.session[_SAID] = said
    return RedirectResponse(path, 303)


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form; of several with one name the last one.

    Raises:
        BadForm: it is none, or a large one.
    """
    try:
        return await browser.read_form(request.stream())
    except ValueError:
        raise BadForm from None


def _find_way_back(request: Request) -> str:
    """The page that was asked for; what changes something is not asked for again."""
    if request.method != "GET":
        return "/"
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path + query


def is_way_back(path: str) -> bool:
    """Whether this is a page of the console, and no other site's (RFC 3986 §4.2: `//host` is one)."""
    return path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
