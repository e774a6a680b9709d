"""AUTH as the session holds it: who may try, how long it takes, and what is said."""

import asyncio
import base64

import structlog

from relay import metrics, reply
from relay.devices.doctor.login import name_to_show
from relay.devices.recorder import DeviceFault
from relay.reply import Rejected, Reply
from relay.smtp import policy
from relay.smtp.auth import credentials
from relay.smtp.conversation import Conversation

log = structlog.get_logger("smtp")
# Failed logins that one connection is granted.
_MOST_FAILURES = 3


async def log_in(session: Conversation, argument: str) -> Reply:
    """Hold the dialogue of AUTH (RFC 4954); a success sets the session's user.

    Raises:
        Rejected: the dialogue went wrong.
    """
    if (
        session.client.has_logged_in
    ):  # a certificate alone is no login: AUTH was offered, and some devices do both
        return reply.ALREADY_LOGGED_IN
    if session.door.listener.auth == "off":
        return reply.NO_AUTH
    if session.is_in_transaction:
        return reply.BAD_SEQUENCE  # RFC 4954 §4
    if not session.client.may_login:
        return reply.AUTH_NEEDS_OTHER_PORT if session.door.listener.tls == "none" else reply.AUTH_NEEDS_TLS
    name, password = await credentials(argument, lambda text: session.ask(base64.b64encode(text)))
    with session.pace.working():
        return await _judge(session, name, password)


async def _judge(session: Conversation, name: str, password: str) -> Reply:
    logins, address = session.door.guard.logins, session.client.source
    attempt = await logins.begin(address, name)
    if attempt is None:
        _note(session, name, "too many failures")
        return reply.LOGIN_LOCKED
    with attempt:
        try:
            user = await policy.login(session.door.config, name, password)
        except Rejected:
            attempt.take_back()
            raise
        if user is not None:
            attempt.succeed()
    if user is not None:
        session.client.log_in(user)
        session.record.logged_in(user.name)
        metrics.LOGINS.labels("accepted").inc()
        log.info("logged in", client=session.client.peer, session=session.id, user=user.name)
        return reply.LOGGED_IN
    known = any(user.name == name for user in session.door.config.user)
    _note(session, name, "wrong password" if known else "no such user")
    session.client.failed_logins += 1
    await asyncio.sleep(logins.wait(address, name))
    return reply.TOO_MANY_LOGINS if session.client.failed_logins >= _MOST_FAILURES else reply.LOGIN_REFUSED


def _note(session: Conversation, name: str, reason: str) -> None:
    metrics.LOGINS.labels("refused").inc()
    shown = name_to_show(session.door.config, name)
    session.record.note(DeviceFault.LOGIN_FAILED, shown)
    session.door.guard.notes.write(
        "login refused", client=session.client.peer, session=session.id, user=shown, reason=reason
    )
