"""What a rule is given, and what it gives back."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_network

from relay.config.fields import split_address
from relay.config.model import Config, Listener
from relay.config.networks import is_private, read_address
from relay.devices.recorder import Record
from relay.reply import Reply

_PATH = re.compile(r"(?:FROM|TO):\s*<?([^<>\s]*)>?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing that is wrong, and what to change."""

    problem: str  # a name for programs, such as "unknown-user"
    text: str  # one or two sentences for people
    fault: str = "device"  # whose settings: device, relay; "nobody" where nothing is broken


@dataclass(frozen=True, slots=True)
class Case:
    """A session, the configuration, and the refusal that a rule is about."""

    record: Record
    config: Config
    answer: Reply | None = None

    def about(self, answer: Reply) -> "Case":
        """The same, about this refusal."""
        return replace(self, answer=answer)

    @property
    def listener(self) -> Listener | None:
        """The listener as it is configured; None when it is no more."""
        return next((x for x in self.config.listener if x.address == self.record.listener), None)

    @property
    def port(self) -> str:
        """The port that the client came to."""
        return str(split_address(self.record.listener)[1])

    @property
    def command(self) -> str:
        """The command line that had the refusal, without secrets."""
        lines = self.record.lines
        said = next((i for i, x in enumerate(lines) if x.reply is not None and x.reply == self.answer), 0)
        return next((x.text for x in reversed(lines[:said]) if x.side == "C"), "")

    @property
    def path(self) -> str:
        """The address in that command."""
        found = _PATH.search(self.command)
        return found[1] if found else ""

    @property
    def argument(self) -> str:
        """What stands behind the colon of that command, as it was entered: brackets are the device's."""
        return re.sub("[<>]", "", self.command.partition(":")[2]).strip()

    @property
    def network(self) -> str:
        """The network that the client probably shares with its like: /24, or /64.

        The client itself if it is no address.
        """
        address = read_address(self.record.client)
        if address is None:
            return self.record.client
        return str(ip_network(f"{address}/{24 if address.version == 4 else 64}", strict=False))  # noqa: PLR2004

    @property
    def is_public(self) -> bool:
        """Whether anybody on the Internet could have this address."""
        address = read_address(self.record.client)
        return address is not None and not is_private(address)

    def ports(self, tls: str) -> list[str]:
        """The ports of the listeners with this `tls`, for a panel's port field."""
        return [str(split_address(x.address)[1]) for x in self.config.listener if x.tls == tls]


# What does not look at the session stands in a table as it is; None: nobody has to change anything.
Rule = Callable[[Case], Advice | None] | Advice | None


def apply_rule(rule: Rule, case: Case) -> Advice | None:
    """What a rule advises about this session."""
    return rule(case) if callable(rule) else rule
