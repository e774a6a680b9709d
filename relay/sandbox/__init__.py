"""A simulated Works, as strict as its documentation.

It has the API under `/v1.0`, the auth server under `/oauth2/v2.0`, an inbox to look at under `/inbox`,
and under `/sandbox` what it accepted, faults on demand, its clock and its grants. Tests,
demonstrations and users' own trials all run against this one.

    sandbox = Sandbox(Settings(rotation=True))
    tokens = sandbox.issue_grant("scanner@example.com")
    async with serving(sandbox.app) as server: ...
    sandbox.close()
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Scope

from relay.sandbox.answers import AuthError, BadWish, Refusal
from relay.sandbox.api import Api
from relay.sandbox.bots import Bots
from relay.sandbox.control import Control
from relay.sandbox.fault_pages import FaultPages
from relay.sandbox.faults import Fault, Faults
from relay.sandbox.grants import Grants
from relay.sandbox.inbox import Inbox
from relay.sandbox.messages import Message, Messages
from relay.sandbox.oauth import Auth
from relay.sandbox.own_site import OwnSite
from relay.sandbox.settings import Clock, Settings
from relay.sandbox.story import Teller
from relay.sandbox.transport import FaultyWay

__all__ = ["Clock", "Sandbox", "Settings"]


class Sandbox:
    """One simulated Works: its state, and the application that serves it.

    `state_dir` holds the accepted messages' files; without one it is a temporary directory that
    `close` removes.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Clock | None = None,
        state_dir: Path | None = None,
        teller: Teller | None = None,
    ) -> None:
        """Args:
        settings: what this Works permits.
        clock: its time.
        state_dir: where accepted messages are kept.
        teller: a relay beside, which knows where messages came from.
        """
        self.settings = settings or Settings()
        self.clock = clock or Clock()
        self._temporary = state_dir is None
        self._directory = state_dir or Path(tempfile.mkdtemp(prefix="relay-sandbox-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        self.grants = Grants(self.settings, self.clock)
        self.faults = Faults(self.clock)
        self._kept = Messages(
            self._directory / "messages", keep=self.settings.keep, summaries=self.settings.summaries
        )
        self._api = Api(
            self.settings, self.clock, self.grants, self.faults, self._kept, directory=self._directory
        )
        self.control = Control(self._kept, self.faults, self.grants, self.clock, self.counts)
        self.bots = Bots(self.settings, self.clock)
        self._way = self._build(teller)
        # The faulty way is the outermost piece; a Starlette application may hold it beside others.
        self.app = Starlette(routes=[Mount("/", app=self._way)])

    def _build(self, teller: Teller | None) -> FaultyWay:
        auth = Auth(self.settings, self.grants, self.faults, self.bots)
        inbox, faults = Inbox(self._kept, teller), FaultPages(self.faults, beside=teller is not None)
        parts = (self.bots, self._api, auth, self.control, faults, inbox)  # the API takes every path
        app = Starlette(
            routes=[route for part in parts for route in part.routes()],
            exception_handlers=dict.fromkeys((Refusal, AuthError, BadWish), self._answer),
        )
        return FaultyWay(OwnSite(app), self.faults, self._account_of)

    async def _answer(self, _: Request, raised: Any) -> Response:
        """The answer that a handler raised, to go no further."""
        if isinstance(raised, AuthError):
            return raised.response(return_codes=self.settings.return_code_errors)
        answer: Response = raised.response()
        return answer

    def _account_of(self, scope: Scope) -> str:
        """Whose request it is, for faults that are meant for one account."""
        headers = dict(scope["headers"])
        try:
            return self.grants.authenticate(headers.get(b"authorization", b"").decode()).member.login_id
        except (Refusal, UnicodeDecodeError):
            return ""

    def issue_grant(self, login_id: str, scopes: tuple[str, ...] = ("mail",)) -> dict[str, str]:
        """A consent without clicking: a new grant, in the token endpoint's answer shape.

        Raises:
            AuthError: nobody has this login ID, and the membership is closed.
        """
        return self.grants.issue(self.grants.admit(login_id), scopes)

    @property
    def messages(self) -> list[Message]:
        """Summaries of what was accepted, oldest first."""
        return list(self._kept.summaries)

    def request(self, message_id: int) -> dict[str, Any]:
        """The request of an accepted message, its attachments' data as size and sha256.

        Raises:
            KeyError: it is not kept whole (any more).
        """
        return self._kept.request(message_id)

    def attachment(self, message_id: int, number: int) -> bytes:
        """The decoded octets of an attachment of an accepted message.

        Raises:
            KeyError: the message is not kept whole (any more).
        """
        return self._kept.file(message_id, number).read_bytes()

    def add_fault(self, kind: str, **wish: Any) -> Fault:
        """Put a fault in force, as POST /sandbox/faults does.

        Raises:
            ValueError: there is no such fault.
        """
        return self.faults.add({"kind": kind, **wish})

    def counts(self) -> dict[str, Any]:
        """How much came, of all requests since the start or the last DELETE of the messages."""
        return {
            "accepted": self._kept.total,
            "by_account": dict(self._kept.by_account),
            "answers": {str(status): count for status, count in sorted(self._api.answers.items())},
            "unread_counts": self._api.unread_counts,
            "in_flight": self._way.in_flight,
            "most_in_flight": self._way.most_in_flight,
        }

    def close(self) -> None:
        """Remove the temporary directory; an own state directory stays."""
        if self._temporary:
            shutil.rmtree(self._directory, ignore_errors=True)
