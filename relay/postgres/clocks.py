"""This machine's clocks beside the database's, which decides for all nodes.

Budgets, retries and grants go by the database's clock, and so does what came first of two nodes.
"""

import structlog

from relay.host.clock import Clock, time_since_boot

log = structlog.get_logger("spool")
_MOST_SKEW = 5.0  # seconds between the clocks of a node and of the database


class Clocks:
    """What is known of the difference, by the database's last answer.

    Args:
        clock: this machine's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = 0.0  # seconds that the database's clock is
        self._after_boot = 0.0  # what it says more than the boot clock, at least

    def compare(self, asked: float, theirs: float) -> None:
        """Take what the database's clock said.

        Args:
            asked: when it was asked, by this machine's wall clock.
            theirs: what it said.
        """
        before, answered = self.ahead, self._clock.wall()
        # An answer that was long under way says only that theirs lies in between.
        self._ahead = theirs - min(max(theirs, asked), max(asked, answered))
        self._after_boot = theirs - time_since_boot()
        if self.ahead and not before:
            log.warning("this machine's clock differs from the database's", seconds=round(self.ahead, 1))

    @property
    def ahead(self) -> float:
        """Seconds by which the database's clock is ahead of this machine's; 0 while they agree."""
        return self._ahead if abs(self._ahead) > _MOST_SKEW else 0.0

    def to_database(self, boot: float) -> float:
        """A time of the boot clock by the database's clock: that, or as much earlier as the answer took."""
        return boot + self._after_boot
