"""Log in and out."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.console.pages import page
from relay.console.sessions import LoginEnd
from relay.console.site import BadForm, Pages, is_way_back, read_form
from relay.host.texts import gettext as _

_LONGEST = 1_000  # characters of a name or a password
_STATUS = {LoginEnd.WRONG: 401, LoginEnd.LOCKED: 429, LoginEnd.BUSY: 503}


class LoginPages(Pages):
    """`/login` and `/logout`."""

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route("/login", self._show, methods=["GET"]),
            Route("/login", self._log_in, methods=["POST"]),
            Route("/logout", self._log_out, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        if reason := self._site.access.why_closed():
            return page("closed.html", 403, reason=reason)
        way = _read_way(request.query_params.get("next", ""))
        if self._site.sessions.find(request) is not None:
            return RedirectResponse(way, 303)
        return page("login.html", way=way, name="", problem="")

    async def _log_in(self, request: Request) -> Response:
        if reason := self._site.access.why_closed():
            return page("closed.html", 403, reason=reason)
        try:
            form = await read_form(request)
        except BadForm:
            form = {}
        name, password = form.get("name", ""), form.get("password", "")
        way = _read_way(form.get("next", ""))
        if not name or not password or max(len(name), len(password)) > _LONGEST:
            end = LoginEnd.WRONG
        else:
            end = await self._site.sessions.log_in(request, name, password)
        if end is LoginEnd.WELCOME:
            return RedirectResponse(way, 303)
        return page("login.html", _STATUS[end], way=way, name=name[:_LONGEST], problem=_explain(end))

    async def _log_out(self, request: Request) -> Response:
        self._site.sessions.log_out(request)
        return RedirectResponse("/login", 303)


def _read_way(path: str) -> str:
    return path if is_way_back(path) else "/"


def _explain(end: LoginEnd) -> str:
    if end is LoginEnd.LOCKED:
        return _("Too many passwords were wrong. Nothing more is looked at from here for an hour.")
    if end is LoginEnd.BUSY:
        return _("Too many people try to log in at this moment. Try again in a minute.")
    return _("The name or the password is wrong.")
