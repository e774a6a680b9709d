"""Whose rules hold for a message, and which account sends it.

A message comes by a listener, from an address that may be a device's, with or without a user who logged in.
Each of the three can have rules: the user's go before the device's, and the device's before the listener's.
"""

from collections.abc import Callable
from dataclasses import dataclass

from relay.config.model import Account, Config, Device, Listener, User
from relay.config.networks import read_address
from relay.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Rules:
    """The user, the device and the listener of a message, as far as there are any."""

    user: User | None = None
    device: Device | None = None
    listener: Listener | None = None

    @property
    def account(self) -> str:
        """The name of the account that sends, whatever the message says; "": none of the three names one."""
        return next((one.account for one in self._each() if one.account), "")

    @property
    def user_name(self) -> str:
        """The display name that recipients see; "": neither user nor device has one."""
        return next((one.user_name for one in (self.user, self.device) if one and one.user_name), "")

    @property
    def wait(self) -> float | None:
        """Seconds that the session waits for the outcome; None: none of the three says so."""
        return next((one.wait for one in self._each() if one.wait != ""), None)

    @property
    def may_send_as(self) -> tuple[tuple[str, ...], ...]:
        """Patterns of senders' addresses, a tuple for each level that has them: all of these must allow."""
        return tuple(one.may_send_as for one in self._each() if one.may_send_as is not None)

    @property
    def options_by_field(self) -> bool:
        """Whether a message may choose its options by X-Works fields."""
        return any(one.options_by_field for one in self._each())

    @property
    def require_tls(self) -> bool:
        """Whether mail is taken over TLS only."""
        return any(one.require_tls for one in (self.device, self.listener) if one)

    def _each(self) -> tuple[User | Device | Listener, ...]:
        return tuple(one for one in (self.user, self.device, self.listener) if one is not None)


def find_device(config: Config, listener: str, client: str) -> Device | None:
    """The device at this address that may use this listener."""
    if not config.device:
        return None
    address = str(read_address(client))
    return next(
        (one for one in config.device if one.address == address and one.listener in ("", listener)), None
    )


def find_rules(config: Config, envelope: Envelope) -> Rules:
    """The rules for a message that was taken, by the configuration of this moment."""
    return Rules(
        next((one for one in config.user if one.name == envelope.user), None),
        find_device(config, envelope.listener, envelope.client_address),
        next((one for one in config.listener if one.address == envelope.listener), None),
    )


def choose_account(
    config: Config, rules: Rules, read_author: Callable[[], str], reverse_path: str
) -> Account | None:
    """The account that sends a message; None if there is none for it.

    The rules' account goes before the one whose address is the From, then comes the one whose address is the
    reverse-path, and then the default.

    Args:
        config: the accounts.
        rules: of the message.
        read_author: gives the address of the message's From, or ""; called only if it matters.
        reverse_path: the envelope's.
    """
    if rules.account:
        return config.find_account(rules.account)
    if len(config.account) == 1 and config.account[0].default:
        return config.account[0]  # whoever wrote it
    for address in (read_author(), reverse_path):
        found = next((one for one in config.account if one.address.lower() == address.lower()), None)
        if found is not None:
            return found
    return next((one for one in config.account if one.default), None)
