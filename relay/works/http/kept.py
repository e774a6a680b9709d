"""Connections that are kept for the next request.

The pool of httpcore looks at each of its connections when a request begins and again when it ends, which with
twenty of them is a tenth of what a small message costs. Here a request meets the one that was used last.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpcore2 as httpcore


class Kept:
    """The idle connections to one host, or to a few that redirect to each other."""

    def __init__(
        self, connect: "Callable[[httpcore.Origin], httpcore.AsyncConnectionInterface]", idle: float
    ) -> None:
        """Args:
        connect: makes a connection, which connects when it is first used.
        idle: seconds after which an unused one is closed.
        """
        self._connect = connect
        self._longest = idle
        # With the time at which it became idle; the one used last at the end.
        self._idle: dict[str, deque[tuple[float, httpcore.AsyncConnectionInterface]]] = {}

    async def take(self, origin: "httpcore.Origin") -> "httpcore.AsyncConnectionInterface":
        """A connection that nobody else uses, until `give_back`."""
        idle = self._idle.get(str(origin), ())
        while idle:
            _, connection = idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return self._connect(origin)

    async def give_back(
        self, origin: "httpcore.Origin", connection: "httpcore.AsyncConnectionInterface"
    ) -> None:
        """Keep a connection whose answer was read whole, and close any other, and those not used for long."""
        idle, now = self._idle.setdefault(str(origin), deque()), time.monotonic()
        if connection.is_available():
            idle.append((now, connection))
        else:
            await connection.aclose()
        while idle and now - idle[0][0] > self._longest:
            await idle.popleft()[1].aclose()

    async def aclose(self) -> None:
        """Close them all."""
        for idle in self._idle.values():
            while idle:
                await idle.pop()[1].aclose()
