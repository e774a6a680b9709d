"""Sessions of this node that wait for the verdict on a message of theirs; the row says so."""

import asyncio
from contextlib import suppress

from relay.postgres import statements
from relay.postgres.database import Database
from relay.postgres.node import Node
from relay.postgres.words import Words
from relay.spool import Settlement, SpoolError, Topic, Word

_EVERY = 1.0  # seconds between looks at what is waited for


class Waiters:
    """Which messages sessions of this node wait for."""

    def __init__(self, database: Database, node: Node, words: Words) -> None:
        self._database = database
        self._node = node
        self._words = words
        self._open: set[str] = set()

    def open(self, queue_id: str) -> None:
        """The message was put, and its row says that a session of this node waits."""
        self._open.add(queue_id)

    async def start(self, queue_id: str) -> bool:
        """A session waits for a message that was put before; whether a verdict is to come."""
        if not await self._database.write(statements.START_WAITING, (self._node.token, queue_id)):
            return False
        self._open.add(queue_id)
        return True

    async def stop(self, queue_id: str) -> Settlement | None:
        """Nobody waits any more, durably; what was written for whoever did. Tried until it is written."""
        self._open.discard(queue_id)
        values = (queue_id, self._node.token)
        stop = self._database.insist(lambda: self._database.write(statements.STOP_WAITING, values))
        found = await stop
        return statements.load_settlement(found[0][0]) if found and found[0][0] else None

    def tell(self, queue_id: str, node: int) -> None:
        """The verdict is in the row; a session of this node is to look."""
        self._words.tell(Word(Topic.VERDICT, queue_id), node)

    async def watch(self) -> None:
        """Look for verdicts of which no word was heard, for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            if not self._open:
                continue
            with suppress(SpoolError):
                for (queue_id,) in await self._database.read(statements.SETTLED, (list(self._open),)):
                    self.tell(queue_id, self._node.token)
