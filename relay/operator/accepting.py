"""Whether new mail is taken: watched all the time, so that it never ends in silence.

While it is not, every client hears 452 or 451 at RCPT, and nothing in the queue says so.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from relay import metrics
from relay.operator.reading import explain_room, find_cause
from relay.outcome import Cause
from relay.spool import Spool

log = structlog.get_logger("spool")
_EVERY = 1.0  # seconds between looks


class Accepting:
    """Looks at the spool's room, and tells when accepting ends and when it begins again.

    Args:
        spool: whose room it is.
        on_change: told why accepting ends, by a sentence and its cause; "" when it begins again.
    """

    def __init__(self, spool: Spool, on_change: Callable[[str, Cause], None]) -> None:
        self._spool = spool
        self._ended: float | None = None  # when; monotonic
        self._on_change = on_change

    def look(self) -> None:
        """Look once."""
        room = self._spool.room()
        metrics.ACCEPTING.set(room.accepting)
        metrics.FREE_OCTETS.set(room.free)
        if room.accepting is (self._ended is None):
            return
        reason = ""
        if room.accepting:
            seconds = round(time.monotonic() - (self._ended or 0.0), 1)
            self._ended = None
            log.info("new mail is taken again", seconds=seconds, free=room.free)
        else:
            self._ended = time.monotonic()
            reason = explain_room(room)
            log.error("new mail is refused", free=room.free, reason=reason)
        self._on_change(reason, find_cause(room))

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            self.look()
            await asyncio.sleep(_EVERY)
