"""Find messages, look at one, and work on it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.console.life import make_timeline, name_recipients, tell_reply
from relay.console.pages import read_iso
from relay.console.site import Pages, go_on, read_form
from relay.host.texts import gettext as _
from relay.host.texts import mark, say
from relay.mail import KINDS
from relay.outcome import Hold
from relay.spool import NoSuchMessage, State

_ON_A_PAGE = 50
_HOUR = 3600.0  # seconds
_TO_THE_END_OF_THE_SECOND = 0.999999
_LONGEST_NUMBER, _MOST_SKIPPED = 12, 20_000
_SPANS: Mapping[str, float] = {"1h": _HOUR, "24h": 24 * _HOUR, "7d": 7 * 24 * _HOUR, "30d": 30 * 24 * _HOUR}
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Act:
    """What can be done to a message."""

    verb: str  # of the relay
    states: frozenset[str]  # in which it can be done
    label: str
    asks: bool = False  # whether it is asked first, whatever the message's life was
    doubles: bool = False  # whether the message may go out once more


_ACTS: Mapping[str, _Act] = {
    "retry": _Act("queue_retry", frozenset({State.DELAYED, State.FAILED}), mark("Try now"), doubles=True),
    "release": _Act("queue_release", frozenset({State.HELD}), mark("Release"), doubles=True),
    "hold": _Act("queue_hold", frozenset({State.QUEUED, State.DELAYED}), mark("Hold")),
    "discard": _Act(
        "queue_discard",
        frozenset({State.QUEUED, State.DELAYED, State.HELD, State.FAILED}),
        mark("Discard"),
        asks=True,
    ),
}


class MessagePages(Pages):
    """`/messages`, and a page for each message."""

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            self._site.look("/messages", self._list),
            self._site.look("/messages/{queue_id}", self._show),
            self._site.act("/messages/{queue_id}/{act}", self._act),
        ]

    async def _list(self, request: Request) -> Response:
        query, person = request.query_params, request.state.person
        criteria = _read_criteria(query, knows=person.is_known)
        queue_id = query.get("id", "").strip()
        if queue_id and await self._find(request, queue_id) is not None:
            return RedirectResponse(f"/messages/{queue_id}", 303)
        before, skipped, first = _read_place(query)
        if before:
            criteria["until"] = before + _TO_THE_END_OF_THE_SECOND
        limit = _ON_A_PAGE + skipped
        found = await self._site.ask(
            request, "queue_list", limit=limit, counted=False, queue_id=queue_id, **criteria
        )
        messages = found["messages"][skipped:]
        total = first + found["total"] - skipped
        return self._site.page(
            request,
            "messages.html",
            messages=messages,
            first=first,
            total=total,
            older=_write_place(query, messages, first) if first + len(messages) < total else "",
            states=[state.value for state in State],
            accounts=self._site.status.account_names(),
            spans=_SPANS,
            query=query,
            now=time.time(),
        )

    async def _find(self, request: Request, queue_id: str) -> Answer | None:
        try:
            return await self._site.ask(request, "trace", queue_id=queue_id)
        except NoSuchMessage:
            return None

    async def _show(self, request: Request) -> Response:
        queue_id = request.path_params["queue_id"]
        life = await self._find(request, queue_id)
        if life is None:
            return self._site.page(request, "no_message.html", 404, queue_id=queue_id)
        state, known = life["outcome"]["state"], request.state.person.is_known
        return self._site.page(
            request,
            "message.html",
            life=life,
            recipients=name_recipients(life) if known else [],
            timeline=make_timeline(life),
            reply=tell_reply(life),
            first=await self._find_first(life),
            losses=_explain_losses(life, known=known),
            acts=[(name, _(act.label)) for name, act in _ACTS.items() if state in act.states],
            now=time.time(),
        )

    async def _find_first(self, life: Answer) -> tuple[str, str] | None:
        """The page where a person has to do something before the message goes, and what its button says."""
        if life["outcome"]["state"] != State.HELD:
            return None
        if life["outcome"]["hold"] == Hold.DEVICE:
            return f"/devices/{quote(life['session']['client'])}", _("Open the device")
        accounts = (await self._site.status.state()).accounts
        if any(one.name == life["account"] and one.hold and one.hold.person for one in accounts):
            return f"/accounts#{quote(life['account'])}", _("Open the account")
        return None

    async def _act(self, request: Request) -> Response:
        queue_id, name = request.path_params["queue_id"], request.path_params["act"]
        act = _ACTS.get(name)
        life = await self._find(request, queue_id) if act else None
        if act is None or life is None:
            return self._site.page(request, "no_message.html", 404, queue_id=queue_id)
        sure = "sure" in await read_form(request)
        may_double = act.doubles and life["outcome"]["unknowns"] > 0
        if (act.asks or may_double) and not sure:
            return self._site.page(
                request, "question.html", life=life, act=name, label=_(act.label), may_double=may_double
            )
        more = {"unknown": True} if act.doubles and sure else {}
        answer = await self._site.ask(request, act.verb, queue_ids=[queue_id], **more)
        if answer["problems"]:
            problem = "; ".join(map(say, answer["problems"]))
            return self._site.page(request, "problem.html", 409, problem=problem)
        if answer.get("left_unknown"):
            # Its outcome became unknown since the page was made.
            return self._site.page(
                request, "question.html", life=life, act=name, label=_(act.label), may_double=True
            )
        return go_on(request, f"/messages/{queue_id}", _say_done(name))


def _say_done(name: str) -> str:
    return {
        "retry": _("It is queued again, and goes out now."),
        "release": _("It is released, and goes out now."),
        "hold": _("It is held until somebody releases it."),
        "discard": _("It is discarded."),
    }[name]


def _read_criteria(query: QueryParams, *, knows: bool) -> Answer:
    """What is looked for; what is no criterion is not asked."""
    span = _SPANS.get(query.get("since", ""))
    state = query.get("state", "")
    criteria: Answer = {
        "states": [state] if state in set(State) else [],
        "account": query.get("account", ""),
        "source": query.get("source", "").strip(),
        "sender": query.get("from", "").strip(),
        "recipient": query.get("to", "").strip() if knows else "",
        "since": time.time() - span if span else 0.0,
    }
    return criteria


def _read_place(query: QueryParams) -> tuple[int, int, int]:
    """Where a page begins: in this second, so many of its messages were shown, and so many in all before."""
    texts = [query.get(name, "0") for name in ("before", "skip", "first")]
    if not all(text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER for text in texts):
        return 0, 0, 0
    before, skipped, first = map(int, texts)
    return before, min(skipped, _MOST_SKIPPED), first


def _write_place(query: QueryParams, messages: list[Answer], first: int) -> str:
    """The query of the page after this one: messages are told by seconds, and several may come in one."""
    last = int(read_iso(messages[-1]["arrival"]))
    same = sum(int(read_iso(one["arrival"])) == last for one in messages)
    before, skipped, _before = _read_place(query)
    if before == last:
        same += skipped
    kept = {name: value for name, value in query.items() if name not in ("before", "skip", "first")}
    return urlencode(kept | {"before": last, "skip": same, "first": first + len(messages)})


def _explain_losses(life: Answer, *, known: bool) -> list[Answer]:
    """Each loss with what it means, the notable ones first; details may name people."""
    found = [
        {
            "name": one["loss"],
            "meaning": say(KINDS[one["loss"]].meaning if one["loss"] in KINDS else one["loss"]),
            "detail": one["detail"] if known else "",
            "notable": one["weight"] == "notable",
        }
        for one in life["losses"]
    ]
    return sorted(found, key=lambda one: not one["notable"])
