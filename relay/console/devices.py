"""The devices: who came, by which way, what is wrong with it; whom to adopt; learning."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.console.pages import read_iso
from relay.console.site import Pages, go_on, read_form
from relay.host.texts import gettext as _
from relay.host.texts import mark
from relay.operator.calling import Refused

_MOST = 100  # devices on the page: those that came last
# Of learning, in seconds.
_SPANS = (("900", mark("15 minutes")), ("3600", mark("1 hour")), ("28800", mark("8 hours")))
_LONGEST_NOTE = 200  # characters
Answer = dict[str, Any]


class DevicePages(Pages):
    """`/devices`, and a page for each."""

    def routes(self) -> list[Route]:
        """What is served."""
        look, act = self._site.look, self._site.act
        return [
            look("/devices", self._list),
            act("/devices/learn", self._learn),
            act("/devices/learn/stop", self._stop),
            look("/devices/{address}", self._show),
            act("/devices/{address}/adopt", self._adopt),
            act("/devices/{address}/refuse", self._refuse),
            act("/devices/{address}/forget", self._forget),
            act("/devices/{address}/name", self._name),
        ]

    async def _list(self, request: Request) -> Response:
        seen = await self._site.ask(request, "doctor", most=_MOST)
        learning = await self._site.ask(request, "learning")
        adopted = await self._adopted(request)
        clients = [one | {"note": adopted.get(one["client"])} for one in seen["clients"]]
        came = {one["client"] for one in clients}
        return self._site.page(
            request,
            "devices.html",
            clients=clients,
            silent=[(address, note) for address, note in adopted.items() if address not in came],
            windows=learning["windows"],
            waiting=learning["waiting"],
            spans=_SPANS,
            since=read_iso(seen["since"]),
            others=seen["others"],
            now=time.time(),
        )

    async def _adopted(self, request: Request) -> dict[str, str]:
        """The adopted devices' addresses, and whose they are."""
        devices = (await self._site.ask(request, "devices"))["devices"]
        return {one["address"]: one["note"] for one in devices}

    async def _show(self, request: Request) -> Response:
        address = request.path_params["address"]
        seen = (await self._site.ask(request, "doctor", address=address))["clients"]
        waiting = (await self._site.ask(request, "learning"))["waiting"]
        return self._site.page(
            request,
            "device.html",
            address=address,
            client=seen[0] if seen else None,
            waits=next((one for one in waiting if one["address"] == address), None),
            note=(await self._adopted(request)).get(address),
            now=time.time(),
        )

    async def _learn(self, request: Request) -> Response:
        form = await read_form(request)
        seconds = form.get("seconds", "")
        if seconds not in [value for value, _text in _SPANS]:
            raise Refused(_("Choose how long."))
        network = form.get("network", "").strip()
        await self._site.ask(request, "learn", network=network, seconds=float(seconds))
        said = _("Unknown devices of {network} are let in, and their mail is held until you adopt them.")
        return go_on(request, "/devices", said.format(network=network))

    async def _stop(self, request: Request) -> Response:
        await self._site.ask(request, "learn_stop")
        return go_on(request, "/devices", _("Nothing is learned any more. What is held stays held."))

    async def _adopt(self, request: Request) -> Response:
        address, note = request.path_params["address"], await _read_note(request)
        done = await self._site.ask(request, "learn_adopt", address=address, note=note)
        said = _("{address} is adopted: it may send from now on. Released: {number}.")
        return go_on(request, "/devices", said.format(address=address, number=len(done["released"])))

    async def _refuse(self, request: Request) -> Response:
        address = request.path_params["address"]
        if "sure" not in await read_form(request):
            return self._site.page(request, "refuse_device.html", address=address)
        done = await self._site.ask(request, "learn_refuse", address=address)
        said = _("What {address} sent is thrown away: {number}.")
        return go_on(request, "/devices", said.format(address=address, number=len(done["discarded"])))

    async def _forget(self, request: Request) -> Response:
        address = request.path_params["address"]
        if "sure" not in await read_form(request):
            return self._site.page(request, "forget_device.html", address=address)
        await self._site.ask(request, "learn_forget", address=address)
        return go_on(
            request, f"/devices/{address}", _("It is adopted no longer, and has to log in from now on.")
        )

    async def _name(self, request: Request) -> Response:
        address, note = request.path_params["address"], await _read_note(request)
        await self._site.ask(request, "device_name", address=address, note=note)
        return go_on(request, f"/devices/{address}", _("Its name is changed."))


async def _read_note(request: Request) -> str:
    note = (await read_form(request)).get("note", "").strip()
    if len(note) > _LONGEST_NOTE or not note.isprintable():
        raise Refused(_("Write a name in one line, of at most 200 characters."))
    return note
