"""Who may look at the console, and who may act there.

Without a [[console_user]] the console shows, and changes nothing. With one it asks for a login: a viewer
looks, an operator acts. On an address that other machines reach, the pages stay closed until there are users
or TLS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from relay.config.model import Config, Console, ConsoleUser
from relay.host.texts import gettext as _


class Role(StrEnum):
    """What a person may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever sits at the browser."""

    name: str  # "": nobody logs in here
    role: Role

    @property
    def may_act(self) -> bool:
        """Whether this person may change anything."""
        return self.role is Role.OPERATOR

    @property
    def is_known(self) -> bool:
        """Whether this person may see who writes to whom; any user of the machine reaches an open console."""
        return bool(self.name) or self.may_act


NOBODY = Person("", Role.VIEWER)
ANYBODY = "anybody"  # by this name it is recorded what was done in a console without users


def show_name(name: str) -> str:
    """Who did something, for people; "" where it is not known."""
    return _("anybody") if name == ANYBODY else name


class Access(Protocol):
    """What the console may show, and to whom."""

    def users(self) -> tuple[ConsoleUser, ...]:
        """Who may log in; none: nobody is asked to."""

    def anybody(self) -> Person:
        """Whoever comes while nobody is asked to log in."""

    def why_closed(self) -> str:
        """Why no page is shown at all, and what to do; "" when they are."""


class ConfiguredAccess:
    """As relay.toml says, at this moment."""

    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config

    def users(self) -> tuple[ConsoleUser, ...]:
        """The [[console_user]] tables."""
        return self._config().console_user

    def anybody(self) -> Person:
        """A person who looks."""
        return NOBODY

    def why_closed(self) -> str:
        """The reason, if other machines reach a console that has neither users nor TLS."""
        return explain_closed(self._config().console, self.users())


class OpenAccess:
    """Everybody acts: a console on loopback, before a relay to play with."""

    def users(self) -> tuple[ConsoleUser, ...]:
        """Nobody."""
        return ()

    def anybody(self) -> Person:
        """A person who acts."""
        return Person("", Role.OPERATOR)

    def why_closed(self) -> str:
        """It is open."""
        return ""


def explain_closed(console: Console, users: tuple[ConsoleUser, ...]) -> str:
    """Why the console's pages are closed; "" when they are open."""
    if not console.is_reachable or users or console.is_encrypted:
        return ""
    return _(
        "Other machines reach this console, and anybody there could look. Its pages open when relay.toml has "
        "a [[console_user]], or [console] a certificate_file, or an https url of a proxy before it."
    )
