"""Sessions that wait for the verdict on a message of theirs. Used in the event loop only."""

import asyncio
from collections.abc import Callable

from relay.spool import Settlement, Topic, Word

_Told = asyncio.Future[Settlement | None]


class Waiters:
    """Which messages a session waits for, and what it is to be told."""

    def __init__(self, say: Callable[[Word], None]) -> None:
        """Args:
        say: told when a verdict is there.
        """
        self._say = say
        self._waiting: dict[str, _Told | None] = {}  # None: nothing is settled yet

    def open(self, queue_id: str) -> None:
        """A session waits for this message."""
        self._waiting.setdefault(queue_id, None)

    def bind(self, queue_id: str) -> bool:
        """Whether a session waits for this message; from now on it waits until it is told."""
        if queue_id not in self._waiting:
            return False
        self._waiting[queue_id] = self._waiting[queue_id] or asyncio.get_running_loop().create_future()
        return True

    def tell(self, queue_id: str, settlement: Settlement | None) -> None:
        """The message is settled so; None: it could not be."""
        told = self._waiting.get(queue_id)
        if told is not None and not told.done():
            told.set_result(settlement)
            self._say(Word(Topic.VERDICT, queue_id))

    async def close(self, queue_id: str) -> Settlement | None:
        """The session waits no more; what it is to be told, if that is settled or about to be."""
        told = self._waiting.get(queue_id)
        try:
            return None if told is None else await asyncio.shield(told)
        finally:
            self._waiting.pop(queue_id, None)
