"""Who changed what."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.console.access import show_name
from relay.console.pages import show_span
from relay.console.site import Pages
from relay.host.texts import mark, say

_LISTED = 200
Record = dict[str, Any]
_VERBS: Mapping[str, str] = {
    "queue_retry": mark("queued messages again"),
    "queue_release": mark("released messages"),
    "queue_hold": mark("held messages"),
    "queue_discard": mark("discarded messages"),
    "send": mark("handed over a message"),
    "learn": mark("began to learn devices"),
    "learn_stop": mark("ended learning"),
    "learn_adopt": mark("adopted a device"),
    "learn_refuse": mark("refused a device"),
    "learn_forget": mark("let a device in no longer"),
    "device_name": mark("named a device"),
    "login_begin": mark("asked for a consent"),
    "login": mark("connected an account"),
    "confirm": mark("confirmed whose mailbox it is"),
    "logout": mark("disconnected an account"),
}
# What a verb was about, by its arguments' names.
_ABOUT: Mapping[str, str] = {
    "every": mark("all that can be"),
    "account": mark("account"),
    "states": mark("states"),
    "unknown": mark("also what may have been taken"),
    "unknown_devices": mark("also of unknown devices"),
    "address": mark("device"),
    "network": mark("network"),
    "seconds": mark("for"),
    "listener": mark("listener"),
    "note": mark("name"),
    "more": mark("further messages"),
}


class JournalPages(Pages):
    """`/activity`."""

    def routes(self) -> list[Route]:
        """What is served."""
        return [self._site.look("/activity", self._show)]

    async def _show(self, request: Request) -> Response:
        found = await self._site.ask(request, "audit", limit=_LISTED)
        records = [_describe(one) for one in found["records"]]
        return self._site.page(request, "activity.html", records=records, node=found["node"])


def _describe(record: Record) -> Record:
    """A record as its row shows it."""
    about: Record = record["about"]
    facts = [(say(_ABOUT.get(name, name)), _tell(name, value)) for name, value in about.items()]
    return record | {
        "who": show_name(record.get("who", "")),
        "what": say(_VERBS.get(record["verb"], record["verb"])),
        "ids": about.get("queue_ids", []),
        "facts": [fact for name, fact in zip(about, facts, strict=True) if name != "queue_ids"],
    }


def _tell(name: str, value: Any) -> str:
    """An argument's value; "" where its name says all."""
    if value is True:
        return ""
    if name == "seconds" and isinstance(value, int | float):
        return show_span(value)
    if name == "states" and isinstance(value, list):
        return ", ".join(map(say, value))
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
