"""Words between nodes: LISTEN and NOTIFY are the shortcut, a look once a second is the truth.

A word is said after the commit that it tells of, in an asynchronous commit of its own: NOTIFY within the
commit would hold a lock of the whole database while the commit waits for its replica.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator

import psycopg
import structlog

from relay.postgres.database import Database, opened
from relay.postgres.server import Address, Connection
from relay.spool import SpoolError, Topic, Word

log = structlog.get_logger("spool")
_CHANNEL = "relay"
_SAY = f"SELECT pg_notify('{_CHANNEL}', word) FROM unnest(%s::text[]) AS w (word)"
_AGAIN = 5.0  # seconds until the listener connects anew
_MOST_AT_ONCE = 200
_MOST_OCTETS = 7000  # of a notification's text; the server takes less than 8,000


class Words:
    """What is told to the listeners of this node, and to the other nodes.

    Args:
        database: by which words go out.
        address: of the server itself, where words are heard; a pooler in transaction mode hears none.
        node: this start's token.
    """

    def __init__(self, database: Database, address: Address, node: int) -> None:
        self._database = database
        self._address = address
        self._node = node
        self._listeners: list[Callable[[Word], None]] = []
        self._unsaid: list[str] = []
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_alone = False  # no other node lives, as far as is known: nobody to say it to

    def subscribe(self, listener: Callable[[Word], None]) -> None:
        """Have words told to this listener, in the event loop."""
        self._listeners.append(listener)

    def note_others(self, *, alive: bool) -> None:
        """Whether other nodes live: where none does, nothing is said to them."""
        self._is_alone = not alive

    def start(self) -> None:
        """Begin to listen and to say."""
        self._tasks = [
            asyncio.create_task(self._listen(), name="spool listener"),
            asyncio.create_task(self._say(), name="spool words"),
        ]

    async def stop(self) -> None:
        """Say nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def tell(self, word: Word, node: int | None = None) -> None:
        """Tell the listeners of this node, and the others; `node`: only that one need hear it."""
        if node in (None, self._node):
            self._hear(word)
        if node != self._node and not self._is_alone:
            said = [node, word.topic, word.queue_id, word.account, word.flow]
            self._unsaid.append(json.dumps(said))
            self._wake.set()

    def _hear(self, word: Word) -> None:
        for listener in self._listeners:
            listener(word)

    async def _say(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._unsaid:
                words, self._unsaid = self._unsaid[:_MOST_AT_ONCE], self._unsaid[_MOST_AT_ONCE:]
                with contextlib.suppress(SpoolError):  # whoever misses a word finds out by looking
                    await self._database.write_soon(_SAY, (list(self._pack(words)),))

    def _pack(self, words: list[str]) -> Iterator[str]:
        """What is notified of: each costs every node as much as many words in one."""
        packed, octets = [words[0]], len(words[0])
        for word in words[1:]:
            octets += len(word) + 1
            if octets > _MOST_OCTETS:
                yield f"[{self._node}, [{','.join(packed)}]]"
                packed, octets = [], len(word)
            packed.append(word)
        yield f"[{self._node}, [{','.join(packed)}]]"

    async def _listen(self) -> None:
        while True:
            try:
                async with opened(self._address) as connection:
                    await self._hear_all(connection)
            except (SpoolError, psycopg.Error, OSError) as error:
                log.debug("words of other nodes are not heard now", reason=str(error))
            await asyncio.sleep(_AGAIN)

    async def _hear_all(self, connection: Connection) -> None:
        await connection.execute(f"LISTEN {_CHANNEL}".encode())
        async for said in connection.notifies():
            with contextlib.suppress(ValueError, TypeError):
                sender, words = json.loads(said.payload)
                for node, topic, queue_id, account, flow in words if sender != self._node else ():
                    if node in (None, self._node):
                        self._hear(Word(Topic(topic), str(queue_id), str(account), str(flow)))
