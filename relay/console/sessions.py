"""Who is logged in at the console.

The cookie holds a name that nobody can guess, signed; what it stands for is kept here, in memory: a logout
ends it at once, and so does a restart, another password or the end of the user. Guesses are counted and
slowed down by the same rules as at the SMTP door.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

import structlog
from starlette.requests import Request

from relay.config.model import ConsoleUser, Limits
from relay.config.networks import read_address
from relay.console.access import Access, Person, Role
from relay.reply import Rejected
from relay.smtp.limits import Notes
from relay.smtp.logins import Logins
from relay.smtp.policy import Hashing

log = structlog.get_logger("console")
# The console asks for itself by this field; that keeps no session alive.
LIVE = "x-relay-live"
_IDLE, _LONGEST = 30 * 60.0, 12 * 3600.0  # seconds
_MOST = 1_000  # sessions
# Of logins that are looked at or that wait for their refusal; each has a connection of the console's fifty.
_MOST_WAITING = 10
_KEY = "session"


class LoginEnd(Enum):
    """How a login ended."""

    WELCOME = auto()
    WRONG = auto()
    LOCKED = auto()  # not looked at: too many were wrong
    BUSY = auto()  # not looked at: too many wait


@dataclass(slots=True)
class _Session:
    user: str
    password_hash: str  # another one in the configuration ends the session
    began: float  # steady seconds
    seen: float  # steady seconds


class Sessions:
    """The sessions of all browsers.

    Args:
        access: who may log in.
        limits: of guesses, as for SMTP.
        now: the clock, in steady seconds.
    """

    def __init__(self, access: Access, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        self._access = access
        self._now = now
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._logins = Logins(limits.login_failures, limits.login_delay)
        self._hashing = Hashing(_MOST_WAITING)
        self._waiting = 0
        self._notes = Notes(log=log)

    def _find_user(self, name: str) -> ConsoleUser | None:
        return next((user for user in self._access.users() if user.name == name), None)

    async def log_in(self, request: Request, name: str, password: str) -> LoginEnd:
        """Begin a session, if the password is right; a refusal takes its time."""
        if self._waiting >= _MOST_WAITING:
            return LoginEnd.BUSY
        self._waiting += 1
        try:
            return await self._judge(request, name, password)
        except Rejected:
            return LoginEnd.BUSY
        finally:
            self._waiting -= 1

    async def _judge(self, request: Request, name: str, password: str) -> LoginEnd:
        client = _name_client(request)
        attempt = await self._logins.begin(client, name)
        if attempt is None:
            self._notes.write("console login refused", client=client, reason="too many failures")
            return LoginEnd.LOCKED
        user = self._find_user(name)
        with attempt:
            try:
                right = await self._hashing.verify(user.password_hash if user else None, password)
            except Rejected:
                attempt.take_back()
                raise
            if right:
                attempt.succeed()
        if user is None or not right:
            # What was typed as a name may be a password: only names that there are get into the log.
            reason = "wrong password" if user else "no such user"
            self._notes.write("console login refused", client=client, user=user and user.name, reason=reason)
            await asyncio.sleep(self._logins.wait(client, name))
            return LoginEnd.WRONG
        self._begin(request, user)
        log.info("console login", client=client, user=user.name)
        return LoginEnd.WELCOME

    def _begin(self, request: Request, user: ConsoleUser) -> None:
        # What a browser had before the login is worth nothing after it: nobody else can have given it.
        self.log_out(request)
        name, now = secrets.token_urlsafe(32), self._now()
        request.session[_KEY] = name
        self._sessions[name] = _Session(user.name, user.password_hash, now, now)
        while len(self._sessions) > _MOST:
            self._sessions.popitem(last=False)

    def log_out(self, request: Request) -> None:
        """End this browser's session, if it has one."""
        self._sessions.pop(request.session.get(_KEY, ""), None)
        request.session.clear()

    def find(self, request: Request) -> Person | None:
        """Who sits at this browser; None: nobody is logged in there, and has to."""
        if not self._access.users():
            return self._access.anybody
        name = request.session.get(_KEY, "")
        session = self._sessions.get(name)
        if session is None:
            return None
        user, now = self._find_user(session.user), self._now()
        over = now - session.began > _LONGEST or now - session.seen > _IDLE
        if over or user is None or user.password_hash != session.password_hash:
            del self._sessions[name]
            return None
        if LIVE not in request.headers:
            session.seen = now
        return Person(user.name, Role(user.role))


def _name_client(request: Request) -> str:
    """The client's address, as guesses are counted by: of IPv6 its network (RFC 4291 §2.5.1)."""
    host = request.client.host if request.client else ""
    address = read_address(host)
    if address is None or address.version == 4:  # noqa: PLR2004 - IP
        return host
    return ":".join(address.exploded.split(":")[:4])
