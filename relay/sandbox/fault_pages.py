"""Faults at a click: what is in force, and forms that put others in force."""

from collections.abc import Mapping
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.host.browser import read_form
from relay.host.texts import gettext as _
from relay.host.texts import mark
from relay.sandbox.faults import KINDS, PLACES, Faults, Wish
from relay.sandbox.pages import page

# What each looks like to a relay.
_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "latency": mark("The answer comes late."),
        "400": mark("Works refuses the message: a parameter is not valid."),
        "403": mark("The app may not send for this mailbox."),
        "404": mark("There is no such mailbox."),
        "quota": mark("The mailbox is over its limit (403 LIMIT_EXCEEDED)."),
        "413": mark("The message is too large."),
        "429": mark("Too many requests; the answer says when to come again."),
        "500": mark("Works has an error of its own."),
        "503": mark("Works is out of service."),
        "cut-before": mark("The connection breaks before the body is read."),
        "cut-in": mark("The connection breaks in the middle of the body."),
        "cut-after": mark("Works takes the message, and the connection breaks without an answer."),
        "no-answer": mark("Works takes the message, and then is silent."),
        "wrong-content-type": mark("A page of HTML comes in place of an answer, as a proxy sends it."),
        "token-death": mark("The grant dies: somebody has to consent again."),
    }
)
_AT = MappingProxyType(
    {
        "mail": mark("the mail API"),
        "send": mark("sending alone"),
        "unread-count": mark("asking for the unread count"),
        "token": mark("the token endpoint"),
        "bot": mark("the Bot"),
        "any": mark("all but the Bot"),
    }
)
_MOST = 100_000


class FaultPages:
    """`/inbox/faults`."""

    def __init__(self, faults: Faults, *, beside: bool = False) -> None:
        """Args:
        faults: in force.
        beside: whether a relay's console is on the same port.
        """
        self._faults = faults
        self._beside = beside

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route("/inbox/faults", self._show, methods=["GET"]),
            Route("/inbox/faults", self._change, methods=["POST"]),
        ]

    async def _show(self, _: Request) -> Response:
        return self._page()

    def _page(self, problem: str = "", status: int = 200) -> Response:
        return page(
            "faults.html",
            status,
            kinds=[(kind, _MEANINGS[kind]) for kind in KINDS],
            places=[(place, _AT[place]) for place in PLACES],
            standing=[(one, _MEANINGS[one.kind], _AT[one.at]) for one in self._faults.standing()],
            problem=problem,
            beside=self._beside,
        )

    async def _change(self, request: Request) -> Response:
        try:
            form = await read_form(request.stream())
            if "end" in form:
                self._faults.clear(form["end"])
            else:
                self._faults.add(_read_wish(form))
        except ValueError as error:
            return self._page(str(error), 400)
        return RedirectResponse("/inbox/faults", 303)


def _read_wish(form: Mapping[str, str]) -> Wish:
    """The fault that a form asks for; what is left empty is not asked.

    Raises:
        ValueError: a number is none.
    """
    wish: Wish = {"kind": form.get("kind", "")}
    for name in ("times", "seconds"):
        if text := form.get(name, "").strip():
            if not text.isascii() or not text.isdigit() or int(text) > _MOST:
                raise ValueError(
                    _("{name} must be a whole number up to {most}").format(name=name, most=f"{_MOST:,}")
                )
            wish[name] = int(text)
    if form.get("at"):
        wish["at"] = form["at"]
    if form.get("account", "").strip():
        wish["account"] = form["account"].strip()
    if "accepted" in form:
        wish["accepted"] = True
    return wish
