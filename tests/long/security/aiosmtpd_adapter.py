"""A pytest plugin: aiosmtpd's own tests get our session class where they ask for aiosmtpd's.

It takes the arguments of aiosmtpd.smtp.SMTP and makes the door that our session wants; accepted content
goes to the test's handler.handle_DATA as aiosmtpd would give it. Loaded by aiosmtpd_suite.py with -p.
"""

import asyncio
import contextvars
import importlib.resources
import sys
from types import SimpleNamespace

import aiosmtpd.smtp
from aiosmtpd.testing.statuscodes import StatusCode

from relay import reply
from relay.config.current import Current
from relay.config.model import Config, Limits, Listener, User
from relay.host.content import ContentWriter
from relay.smtp import policy
from relay.smtp.context import Door
from relay.smtp.limits import Guard
from relay.smtp.session import Session

_Stock = aiosmtpd.smtp.SMTP


def _resource_filename(package, name):
    return str(importlib.resources.files(package) / name)


# All that its conftest.py wants of setuptools, which a venv has not since Python 3.12.
sys.modules["pkg_resources"] = SimpleNamespace(resource_filename=_resource_filename)


class _Intake:
    def __init__(self, handler):
        self._handler = handler

    def writer(self):
        return ContentWriter(directory=None, threshold=1 << 40)

    def check_recipient(self):
        return None

    def hung_up(self, session):
        pass

    def ended(self, session):
        pass

    def replied(self, session, answer):
        pass

    async def accept(self, submission):
        hook = getattr(self._handler, "handle_DATA", None)
        if hook is None:
            return reply.OK
        envelope = aiosmtpd.smtp.Envelope()
        envelope.mail_from = submission.envelope.reverse_path
        envelope.rcpt_tos = list(submission.envelope.forward_paths)
        envelope.content = envelope.original_content = submission.content.data
        session = aiosmtpd.smtp.Session(asyncio.get_running_loop())
        session.peer = (submission.envelope.client_address, 0)
        session.host_name = submission.envelope.helo
        answer = await hook(None, session, envelope)
        code, _, text = str(answer).partition(" ")
        return reply.Reply(int(code), "", text)


class Adapted(Session):
    """Our session, made as aiosmtpd makes its own."""

    def __init__(self, handler, *, loop=None, hostname=None, data_size_limit=33554432, tls_context=None,
                 auth_required=False, auth_require_tls=True, authenticator=None, auth_callback=None,
                 timeout=300, **_ignored):  # fmt: skip
        loop = loop or asyncio.get_event_loop()
        may = bool(authenticator or auth_callback)
        auth = "required" if auth_required else "optional" if may else "off"
        listener = Listener.model_construct(
            **{
                **{name: field.default for name, field in Listener.model_fields.items()},
                "tls": "starttls" if tls_context else "none",
                "auth": auth,
                "auth_without_tls": not auth_require_tls,
                "message_limit": data_size_limit or 0,
            }
        )
        config = Config(hostname=hostname or "localhost").model_copy(
            update={"limits": Limits().model_copy(update={"idle": float(timeout), "login_delay": 0.0})}
        )
        guard = Guard(config.limits)
        certificate = type("Certificate", (), {"context": tls_context})() if tls_context else None
        super().__init__(
            Door(Current(config), listener, _Intake(handler), guard, certificate), loop, "127.0.0.1"
        )
        self._authenticator, self._auth_callback = authenticator, auth_callback
        self.event_handler = handler
        self._task = None

    def connection_made(self, transport):
        again = self.stream.transport is not None
        super().connection_made(transport)
        if not again:
            self._task = self.loop.create_task(self.run())

    async def _auth(self, argument):
        _ASKED.set(self)
        return await super()._auth(argument)

    _VERBS = {**Session._VERBS, "AUTH": _auth}

    def knows(self, name, password):
        """What the test's authenticator says."""
        data = aiosmtpd.smtp.LoginPassword(name.encode(), password.encode())
        if self._authenticator:
            session = aiosmtpd.smtp.Session(self.loop)
            return self._authenticator(self, session, aiosmtpd.smtp.Envelope(), "LOGIN", data).success
        return self._auth_callback("LOGIN", data.login, data.password)


async def _login(config, name, password):
    session = _ASKED.get()
    if not session.knows(name, password):
        return None
    user = User(name=name, password_hash="$argon2id$x")
    # At each MAIL the session looks whether its user is still one.
    session.door.current.replace(session.door.config.model_copy(update={"user": (user,)}))
    return user


_ASKED = contextvars.ContextVar("asked")
policy.login = _login
aiosmtpd.smtp.SMTP = Adapted
for _module in ("aiosmtpd.controller", "aiosmtpd.handlers"):
    __import__(_module)
import aiosmtpd.controller  # noqa: E402 - after its base was put in

aiosmtpd.controller.SMTP = Adapted


def _same_code(self, other):
    # Our texts are sentences for people, and carry enhanced status codes (RFC 2034): codes are compared.
    return self.code == (other.code if isinstance(other, StatusCode) else other[0])


StatusCode.__eq__ = _same_code
