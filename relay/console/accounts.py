"""The accounts: how each stands, whose mailbox it is, and its consent."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.console.pages import page
from relay.console.site import Site, go_on, read_form
from relay.host.texts import gettext as _
from relay.host.texts import say
from relay.operator.calling import Refused
from relay.operator.state import Account
from relay.works.auth.consent import ConsentError, read_redirect

_PATIENCE, _MOST = 30 * 60.0, 50  # seconds for which a question is open; so many are
_LONGEST_ADDRESS = 8_000  # characters of what is pasted
Answer = dict[str, Any]


@dataclass(slots=True)
class _Question:
    """A consent that was asked for, and whose answer is waited for."""

    account: str
    asked_by: str  # the console user
    begun: float  # steady seconds
    url: str  # what the mailbox's owner opens
    state: str
    verifier: str
    redirect_url: str
    end: str = ""  # what came of it; "": nothing yet
    good: bool = False


class AccountPages:
    """`/accounts`, and where a browser comes back to from consent."""

    def __init__(self, site: Site, own_url: str) -> None:
        """Args:
        site: the console around.
        own_url: by which browsers reach it; "": they come back elsewhere, and the address is pasted.
        """
        self._site = site
        self._consent_url = f"{own_url.rstrip('/')}/consent" if own_url else ""
        self._questions: OrderedDict[str, _Question] = OrderedDict()  # by the name in their page's path

    def routes(self) -> list[Route]:
        """What is served."""
        look, act = self._site.look, self._site.act
        return [
            look("/accounts", self._list),
            act("/accounts/{name}/connect", self._begin),
            act("/accounts/{name}/connect/{ticket}", self._ask, "GET"),
            act("/accounts/{name}/connect/{ticket}", self._paste),
            act("/accounts/{name}/confirm", self._confirm),
            act("/accounts/{name}/disconnect", self._disconnect),
            # Whoever brings a state that nobody can guess was shown it by an operator: the mailbox's owner at
            # a telephone has no session here.
            Route("/consent", self._come_back, methods=["GET"]),
        ]

    async def _list(self, request: Request) -> Response:
        state = await self._site.status.state()
        return self._site.page(request, "accounts.html", seen=state)

    async def _find(self, name: str) -> Account:
        found = [one for one in (await self._site.status.state()).accounts if one.name == name]
        if not found:
            raise Refused(_("There is no account {name}.").format(name=name))
        return found[0]

    async def _begin(self, request: Request) -> Response:
        name = request.path_params["name"]
        asked = await self._site.ask(request, "login_begin", account=name, redirect_url=self._consent_url)
        ticket, now = secrets.token_urlsafe(9), time.monotonic()
        self._questions[ticket] = _Question(
            account=name,
            asked_by=request.state.person.name,
            begun=now,
            url=asked["url"],
            state=asked["state"],
            verifier=asked["verifier"],
            redirect_url=asked["redirect_url"],
        )
        self._forget(now)
        return go_on(request, f"/accounts/{name}/connect/{ticket}")

    def _forget(self, now: float) -> None:
        for ticket, question in list(self._questions.items()):
            if len(self._questions) > _MOST or now - question.begun > _PATIENCE:
                del self._questions[ticket]

    def _find_question(self, request: Request) -> _Question:
        self._forget(time.monotonic())
        question = self._questions.get(request.path_params["ticket"])
        if question is None or question.account != request.path_params["name"]:
            raise Refused(_("Nobody asked for this consent, or it was too long ago. Start again."))
        return question

    async def _ask(self, request: Request) -> Response:
        question = self._find_question(request)
        account = await self._find(question.account)
        return self._show(request, question, account)

    def _show(self, request: Request, question: _Question, account: Account, problem: str = "") -> Response:
        code = segno.make(question.url, micro=False).svg_inline(scale=4, border=2, light="#fff")
        return self._site.page(
            request,
            "connect.html",
            409 if problem else 200,
            question=question,
            account=account,
            comes_back=question.redirect_url == self._consent_url,
            code=Markup(code),  # noqa: S704 - made of squares
            problem=problem,
        )

    async def _paste(self, request: Request) -> Response:
        question = self._find_question(request)
        text = (await read_form(request)).get("address", "").strip()
        account = await self._find(question.account)
        if not text or len(text) > _LONGEST_ADDRESS or not text.isprintable():
            problem = _("This is no address. Copy the whole address that the browser ended at.")
            return self._show(request, question, account, problem)
        problem = await self._finish(question, text)
        if problem:
            return self._show(request, question, account, problem)
        return go_on(request, f"/accounts#{question.account}", question.end)

    async def _come_back(self, request: Request) -> Response:
        self._forget(time.monotonic())
        state, now = request.query_params.get("state", ""), time.monotonic()
        question = next((one for one in self._questions.values() if _is_same(one.state, state)), None)
        if question is None or now - question.begun > _PATIENCE:
            problem = _("Nobody asked for this consent, or it was too long ago. Start again at the relay.")
            return page("consented.html", 400, problem=problem, end="")
        problem = await self._finish(question, f"?{request.url.query}")
        person = self._site.sessions.find(request)
        if not problem and person is not None and person.name == question.asked_by:
            return go_on(request, f"/accounts#{question.account}", question.end)
        return page("consented.html", 409 if problem else 200, problem=problem, end=question.end)

    async def _finish(self, question: _Question, answer: str) -> str:
        """Exchange what the browser brought; what went wrong, in a sentence."""
        if question.good:
            return ""
        try:
            code = read_redirect(answer, question.state, bare_code=True)
            done = await self._site.status.ask(
                question.asked_by,
                "login",
                account=question.account,
                code=code,
                verifier=question.verifier,
                redirect_url=question.redirect_url,
            )
        except (ConsentError, Refused) as error:
            question.end = say(error)
            return question.end
        if done["again"]:
            return say(done["again"])
        question.good, question.end = True, _tell(question.account, done)
        return ""

    async def _confirm(self, request: Request) -> Response:
        name = request.path_params["name"]
        await self._site.ask(request, "confirm", account=name)
        said = _("It is noted that you have seen whose mailbox {name} sends from.").format(name=name)
        return go_on(request, f"/accounts#{name}", said)

    async def _disconnect(self, request: Request) -> Response:
        name = request.path_params["name"]
        if "sure" not in await read_form(request):
            return self._site.page(request, "disconnect.html", account=await self._find(name))
        done = await self._site.ask(request, "logout", account=name)
        said = _("{name} is disconnected: its consent is revoked at Works, and forgotten here.")
        if not done["found"]:
            said = _("{name} had no consent.")
        return go_on(request, f"/accounts#{name}", said.format(name=name))


def _is_same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())


def _tell(account: str, done: Mapping[str, Any]) -> str:
    if done["whose"]:
        return _("{account} may send now, as {whose}.").format(account=account, whose=done["whose"])
    return _(
        "{account} may send now. Nobody could be asked whose mailbox it is: send a test mail, see from whom "
        "it comes, and confirm it here."
    ).format(account=account)
