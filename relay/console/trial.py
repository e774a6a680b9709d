"""Send one mail through everything."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.console.site import Pages, go_on, read_form
from relay.host.texts import gettext as _
from relay.host.texts import say
from relay.operator.calling import Refused
from relay.operator.state import RelayState
from relay.operator.test_mail import write_test

_LONGEST = 254  # octets of an address (RFC 5321 §4.5.3.1.3)


class TrialPages(Pages):
    """`/test`."""

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            self._site.look("/test", self._show),
            self._site.act("/test", self._send),
        ]

    async def _show(self, request: Request) -> Response:
        state = await self._site.status.state()
        chosen = request.query_params.get("account", "")
        return self._page(request, state, {"account": chosen, "to": ""})

    def _page(
        self, request: Request, state: RelayState, form: dict[str, str], problem: str = "", status: int = 200
    ) -> Response:
        return self._site.page(
            request,
            "test.html",
            status,
            accounts=[one for one in state.accounts if one.address],
            form={"account": "", "to": ""} | form,
            problem=problem,
        )

    async def _send(self, request: Request) -> Response:
        form, state = await read_form(request), await self._site.status.state()
        account = next((one for one in state.accounts if one.name == form.get("account")), None)
        to = form.get("to", "").strip()
        if account is None or not account.address:
            return self._page(request, state, form, _("Choose an account."), 409)
        if not to or len(to) > _LONGEST or not to.isprintable():
            return self._page(request, state, form, _("Say to whom the test goes."), 409)
        content = write_test(state.hostname, account.name, account.address, to)
        try:
            done = await self._hand_over(request, content, account.address, to)
        except Refused as error:
            return self._page(request, state, form, say(error), 409)
        if not done["queue_id"]:
            return self._page(request, state, form, f"{done['code']} {done['status']} {done['text']}", 409)
        return go_on(request, f"/messages/{done['queue_id']}", f"{done['code']} {done['text']}")

    async def _hand_over(self, request: Request, content: bytes, sender: str, to: str) -> dict[str, Any]:
        octets = asyncio.StreamReader()
        octets.feed_data(content)
        octets.feed_eof()
        return await self._site.ask(
            request, "send", content=octets, size=len(content), reverse_path=sender, forward_paths=[to]
        )
