"""The gate before the API: while it is down nothing goes through but one message at a time, when told so.

Whether it is down is judged elsewhere, by what became of the messages; here is only who may go.
"""

from dataclasses import dataclass

_POLL = 1.0  # seconds


@dataclass(slots=True)
class Circuit:
    """Open: the API is known to be down."""

    down_since: float | None = None  # monotonic seconds; None: it is up, as far as is known
    ready: bool = False  # one message may try whether it still is
    trying: bool = False  # that message is under way

    def open(self, since: float) -> None:
        """The API has been down since then."""
        self.down_since = since
        self.ready = False

    def let_one(self) -> None:
        """One message may try."""
        self.ready = True

    def close(self) -> None:
        """The API is up."""
        self.down_since = None
        self.ready = False

    def free_in(self) -> float:
        """Seconds until the next request may start; 0 when it is now. While it is open, a poll."""
        return 0.0 if self.down_since is None or (self.ready and not self.trying) else _POLL

    def take(self) -> bool:
        """A request starts; whether it is the one that tries."""
        if self.down_since is None:
            return False
        self.ready, self.trying = False, True
        return True

    def release(self) -> None:
        """The request that tried has ended, or was never made."""
        self.trying = False
