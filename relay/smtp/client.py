"""Who the client of a session is, and what it may do, by the configuration of the moment.

After a reload a session goes on: at each MAIL it is judged again whether the client still has the right to be
here. What else has changed is obeyed at once: `may_send_as`, `account`, `recipient_domains`, `auth` and the
like. A client whose right is gone has to connect again, and is judged as a new one.
"""

from typing import Any

from relay.config.model import User
from relay.config.rules import Rules, find_device
from relay.devices.learning import Admission
from relay.smtp import policy
from relay.smtp.context import Door
from relay.smtp.limits import name_source
from relay.smtp.tls import find_user

_LONGEST_HELO = 255


class Client:
    """The other end of a session."""

    def __init__(self, door: Door, peer: str) -> None:
        """Args:
        door: the listener's.
        peer: the client's address, as a PROXY header named it where there is one.
        """
        self._door = door
        self.peer = peer
        self.source = name_source(peer)
        self.admission = door.learning.judge(door.config, door.listener, peer)
        self.helo = ""
        self.user: User | None = None  # by AUTH, or by a client certificate
        self.has_logged_in = False
        self._authorities = ""  # the client_ca_file by which its certificate was verified
        self.secure = False
        self.failed_logins = 0  # wrong passwords, and names of no user

    # What it has shown.

    def greet(self, name: str) -> None:
        """It said HELO or EHLO with this name."""
        self.helo = "".join(c for c in name if c.isprintable())[:_LONGEST_HELO]

    def identify(self, tls: Any) -> None:
        """A connection begins, or becomes a secure one: nothing that was said before counts (RFC 3207 §4.2).

        Args:
            tls: the connection's TLS; None without.
        """
        self.helo, self.user, self.has_logged_in = "", None, False
        self.secure = tls is not None
        authorities = self._door.listener.client_ca_file
        if self.secure and authorities:
            self.user, self._authorities = find_user(self._door.config, tls.getpeercert()), authorities

    def log_in(self, user: User) -> None:
        """It has shown a user's password."""
        self.user, self.has_logged_in = user, True

    # What it may.

    @property
    def rules(self) -> Rules:
        """The rules of its user, its device and its listener."""
        listener = self._door.listener
        return Rules(self.user, find_device(self._door.config, listener.address, self.peer), listener)

    @property
    def needs_tls(self) -> bool:
        """Whether nothing is taken from it before it starts TLS."""
        return not self.secure and self.rules.require_tls

    @property
    def may_login(self) -> bool:
        """Whether AUTH is offered now."""
        listener = self._door.listener
        if listener.auth == "off" or self.needs_tls:
            return False
        return self.secure or listener.auth_without_tls

    @property
    def is_learned(self) -> bool:
        """Whether what it sends is held until an operator adopts it."""
        known = self.user is not None and policy.may_connect(self._door.listener, self.peer)
        return self.admission is Admission.LEARNED and not known

    @property
    def spender(self) -> str:
        """By whom its messages an hour are counted: the user, else the source."""
        return self.user.name if self.user else self.source

    def may_go_on(self) -> bool:
        """Whether it may open a transaction; its user becomes the one of this moment's configuration."""
        return self._door.is_open and self._stands_as_before() and self._is_still_user()

    def _stands_as_before(self) -> bool:
        door = self._door
        now = door.learning.judge(door.config, door.listener, self.peer)
        if now is Admission.DEVICE:
            self.admission = now  # adopted meanwhile
        return now is self.admission

    def _is_still_user(self) -> bool:
        before = self.user
        if before is None:
            return True
        now = next((one for one in self._door.config.user if one.name == before.name), None)
        if now is None or not self._is_proven(before, now):
            return False
        self.user = now
        return True

    def _is_proven(self, before: User, now: User) -> bool:
        """Whether what it has shown, a password or a certificate, still proves that it is this user."""
        if self.has_logged_in:
            return now.password_hash == before.password_hash
        same = self._authorities == self._door.listener.client_ca_file
        return now.certificate == before.certificate and same
