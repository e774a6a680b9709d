"""The contract by which the console asks the relay.

What it shows is the relay's state (`operator.state`), and what verbs answer: nothing of its own.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from relay.operator.state import RelayState


class Status(Protocol):
    """Whom the console asks."""

    def account_names(self) -> tuple[str, ...]:
        """The accounts, those that are left of an earlier configuration too."""

    async def state(self) -> RelayState:
        """How the relay is. May raise: the page then says so."""

    async def hours(self, number: int) -> Sequence[tuple[float, dict[str, int]]]:
        """For each of the latest hours its beginning in epoch seconds, and its arrivals by their state now.

        Raises:
            SpoolError: the spool cannot be read.
        """

    async def ask(self, name: str, verb: str, **arguments: Any) -> dict[str, Any]:
        """Ask the relay for something.

        Args:
            name: of the console user who asks; "": nobody logs in.
            verb: as for the control socket.
            arguments: the verb's.

        Raises:
            Refused, SpoolError, ValueError: it will not, or cannot; the text says why.
        """

    async def problems(self) -> tuple[str, ...]:
        """Why mail would not be taken now, in sentences; none: the relay is ready."""

    def alive(self) -> bool:
        """Whether the relay works at all; when not, a restart is the remedy."""
