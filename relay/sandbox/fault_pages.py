"""Faults at a click: what is in force, and forms that put others in force."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.host.browser import read_form
from relay.host.texts import gettext as _
from relay.sandbox.faults import KINDS, PLACES, FaultRequest, Faults
from relay.sandbox.pages import page

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
            kinds=KINDS.items(),
            places=[(name, place.meaning) for name, place in PLACES.items()],
            standing=[(one, KINDS[one.kind], PLACES[one.at].meaning) for one in self._faults.standing()],
            problem=problem,
            beside=self._beside,
        )

    async def _change(self, request: Request) -> Response:
        try:
            form = await read_form(request.stream())
            if "end" in form:
                self._faults.clear(form["end"])
            else:
                self._faults.add(_read_request(form))
        except ValueError as error:
            return self._page(str(error), 400)
        return RedirectResponse("/inbox/faults", 303)


def _read_request(form: Mapping[str, str]) -> FaultRequest:
    """The fault that a form asks for; what is left empty is not asked.

    Raises:
        ValueError: a number is none.
    """
    wish: FaultRequest = {"kind": form.get("kind", "")}
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
