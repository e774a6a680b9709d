"""Who may look at the console, and who may act there.

Without a [[console_user]] the console shows, and changes nothing. With one it asks for a login: a viewer
looks, an operator acts. On an address that other machines reach, the pages stay closed until there are users
or TLS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from relay.config.model import Config, ConsoleUser
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


@dataclass(frozen=True, slots=True)
class Access:
    """What the console may show, and to whom: as relay.toml says, at this moment."""

    config: Callable[[], Config]
    anybody: Person = NOBODY  # whoever comes while nobody is asked to log in

    def users(self) -> tuple[ConsoleUser, ...]:
        """Who may log in; none: nobody is asked to."""
        return self.config().console_user

    def why_closed(self) -> str:
        """Why no page is shown at all, and what to do; "" when they are."""
        console = self.config().console
        if not console.is_reachable or self.users() or console.is_encrypted:
            return ""
        return _(
            "Other machines reach this console, and anybody there could look. Its pages open when relay.toml "
            "has a [[console_user]], or [console] a certificate_file, or an https url of a proxy before it."
        )


# Everybody acts: a console on loopback, before a relay to play with.
OPEN = Access(Config, Person("", Role.OPERATOR))
