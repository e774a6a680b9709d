"""What an open session may still do after a reload: judged again at each MAIL.

What else has changed is obeyed at once: `may_send_as`, `account`, `recipient_domains`, `auth` and the
like. A client whose right to be here is gone has to connect again, and is judged as a new one.
"""

from relay.config.model import User
from relay.devices.learning import Standing
from relay.smtp.conversation import Conversation


def may_go_on(session: Conversation) -> bool:
    """Whether the client may open a transaction; its user becomes the one of this moment's configuration."""
    return session.door.is_open and _stands_as_before(session) and _is_still_user(session)


def _stands_as_before(session: Conversation) -> bool:
    door = session.door
    now = door.learning.judge(door.config, door.listener, session.peer)
    if now is Standing.DEVICE:
        session.standing = now  # adopted meanwhile
    return now is session.standing


def _is_still_user(session: Conversation) -> bool:
    before = session.user
    if before is None:
        return True
    now = next((one for one in session.door.config.user if one.name == before.name), None)
    if now is None or not _is_proven(session, before, now):
        return False
    session.user = now
    return True


def _is_proven(session: Conversation, before: User, now: User) -> bool:
    """Whether what the client has shown, a password or a certificate, still proves that it is this user."""
    if session.has_logged_in:
        return now.password_hash == before.password_hash
    return (
        now.certificate == before.certificate and session.authorities == session.door.listener.client_ca_file
    )
