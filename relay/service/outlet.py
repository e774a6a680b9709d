"""Whether a machine reaches Works, looked at while its sender does not: another node's network may be well.

A sender that loses its way out, and not the database, would keep the lease, and no mail would go.
"""

import asyncio
from collections.abc import Callable

import structlog

from relay.config.current import Current
from relay.courier import Standing
from relay.operator.reach import find_trouble, name_place
from relay.outcome import Cause
from relay.works.http.proxy import Proxy

log = structlog.get_logger("service")
_EVERY = 30.0  # seconds
_ENOUGH = 2  # looks in vain, one after the other


class Outlet:
    """This machine's way to Works."""

    def __init__(self, current: Current, standing: Standing) -> None:
        """Args:
        current: the configuration.
        standing: how the API stands, as the sender knows it.
        """
        self._current = current
        self._standing = standing
        self._failed = 0
        self.problem = ""  # why another node should send; a sentence

    async def watch(self, sends: Callable[[], bool]) -> None:
        """Look for ever, while there is a reason.

        Args:
            sends: whether this node is the sender. Another one's outage says nothing about this machine.
        """
        while True:
            await asyncio.sleep(_EVERY)
            if self.problem or (sends() and self._is_cut_off()):
                await self._look()
            else:
                self._failed = 0

    def _is_cut_off(self) -> bool:
        outage = self._standing.outage
        return outage is not None and outage.outcome.cause is Cause.UNREACHABLE

    async def _look(self) -> None:
        works = self._current.config.works
        found = await find_trouble(works.api_url, Proxy.to(works.api_url, works.proxy))
        self._failed = self._failed + 1 if found else 0
        if found is None and self.problem:
            self.problem = ""
            log.info("Works can be reached from this machine again")
        elif found is not None and self._failed >= _ENOUGH and not self.problem:
            self.problem = f"it cannot reach Works: {name_place(works.api_url)}: {found.problem}"
            log.error("Works cannot be reached from this machine", reason=found.problem)
