"""Contents on their way in, so that a client that sends again does not overtake itself.

A client that hangs up after its final dot and submits the message again (RFC 1047) may be served twice at
once: its first session still waits for the disk when the second one has the whole content. Which of the
two is the repetition is known only if they are handed over in the order in which they began.
"""

import asyncio
from contextlib import suppress
from itertools import takewhile

from relay.smtp.acknowledgement import has_left
from relay.smtp.stream import Stream

# What a client that is gone has sent needs no longer than this to be read and written.
_PATIENCE = 10.0  # seconds
# What two submissions of one message have in common: source, reverse-path, forward-paths.
Key = tuple[str, str, tuple[str, ...]]


class Arrivals:
    """The contents that arrive at one listener, in the order in which they began."""

    def __init__(self) -> None:
        self._arriving: dict[Key, dict[Arrival, None]] = {}

    def begin(self, key: Key, stream: Stream) -> "Arrival":
        """Content of such an envelope begins to arrive."""
        arrival = Arrival(self, key, stream)
        self._arriving.setdefault(key, {})[arrival] = None
        return arrival

    def end(self, arrival: "Arrival") -> None:
        """It was handed over, or is forgotten."""
        arriving = self._arriving.get(arrival.key, {})
        if arrival in arriving:
            del arriving[arrival]
            arrival.over.set()
        if not arriving:
            self._arriving.pop(arrival.key, None)

    def count(self, key: Key) -> int:
        """How many contents of this envelope are on their way."""
        return len(self._arriving.get(key, ()))

    async def let_pass(self, arrival: "Arrival") -> None:
        """Wait for those of the same envelope that began before and whose clients are gone."""
        for one in list(takewhile(lambda one: one is not arrival, self._arriving[arrival.key])):
            if one.is_left_behind:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PATIENCE):
                        await one.over.wait()


class Arrival:
    """One content, from DATA until it is handed over or forgotten."""

    __slots__ = ("_all", "_stream", "key", "over")

    def __init__(self, everyone: Arrivals, key: Key, stream: Stream) -> None:
        self._all = everyone
        self._stream = stream
        self.key = key
        self.over = asyncio.Event()

    @property
    def is_left_behind(self) -> bool:
        """Whether the client has gone, as far as is known or the kernel can say."""
        # The event loop hears of the end a turn later than the kernel; a session that has more than enough
        # to read hears nothing for now.
        return self._stream.ended or has_left(self._stream.transport)

    async def let_pass(self) -> None:
        """Wait for those of the same envelope that began before and whose clients are gone."""
        await self._all.let_pass(self)

    @property
    def is_alone(self) -> bool:
        """Whether no other content of the same envelope is on its way."""
        return self._all.count(self.key) <= 1

    def end(self) -> None:
        """It was handed over, or is forgotten."""
        self._all.end(self)
