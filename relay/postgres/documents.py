"""The documents in the database: each node looks once a second which of them are others than it knows.

A version is a random number, so that a server that was promoted gives none twice.
"""

import asyncio
import contextlib
import secrets

import structlog
from typing_extensions import override

from relay.host.documents import Document, DocumentError, Documents, Follower
from relay.postgres.database import Statements, write_surely
from relay.postgres.node import Node
from relay.postgres.server import InDoubt
from relay.postgres.words import Words
from relay.spool import SpoolError, Topic, Word

log = structlog.get_logger("documents")
_LOOK_EVERY = 1.0  # seconds
_LOAD = "SELECT body, version FROM relay.document WHERE name = %s"
# Also where it stands there already: a store whose commit was in doubt is repeated.
_STORE = (
    "INSERT INTO relay.document AS d (name, version, body) VALUES (%(name)s, %(version)s, %(body)s)"
    " ON CONFLICT (name) DO UPDATE SET version = excluded.version, body = excluded.body"
    " WHERE d.version IN (%(before)s, excluded.version) RETURNING version"
)
_OTHERS = (
    "SELECT d.name, d.body, d.version FROM relay.document d"
    " LEFT JOIN unnest(%s::text[], %s::bigint[]) AS known (name, version) ON known.name = d.name"
    " WHERE known.version IS DISTINCT FROM d.version"
)


class PostgresDocuments(Documents):
    """Those of all nodes.

    Args:
        database: runs the statements.
        node: this one; None: of a command, which hears nothing.
        words: by which a node says that there is another text.
    """

    def __init__(self, database: Statements, node: Node | None = None, words: Words | None = None) -> None:
        super().__init__()
        self._database = database
        self._node = node
        self._words = words
        self._known: dict[str, Document] = {}  # what this node goes by
        self._news = asyncio.Event()
        if words is not None:
            words.subscribe(self._hear_word)

    @property
    @override
    def node(self) -> str:
        # Several machines may have the same name, when they have the same configuration.
        return f"{self._node.name}/{self._node.home[:6]}" if self._node is not None else ""

    @override
    def describe(self, name: str) -> str:
        return f"the database, for all nodes ({name})"

    @override
    def follow(self, name: str, follower: Follower) -> None:
        super().follow(name, follower)
        if (known := self._known.get(name)) is not None:
            follower(known.text)

    @override
    async def load(self, name: str) -> Document:
        try:
            found = await self._database.read(_LOAD, (name,))
        except SpoolError as error:
            raise DocumentError(f"{name} cannot be read: {error}") from error
        return Document(*found[0]) if found else Document()

    @override
    async def store(self, name: str, text: str, version: int) -> int | None:
        octets = text.replace("\0", "").encode(errors="replace")  # what PostgreSQL takes as text
        values = {
            "name": name,
            "version": secrets.randbits(63) | 1,
            "body": octets.decode(),
            "before": version,
        }
        try:
            stored = await write_surely(self._database, _STORE, values)
        except InDoubt as error:
            raise DocumentError(f"nobody knows whether {name} is written: {error}") from error
        except SpoolError as error:
            raise DocumentError(f"{name} cannot be written: {error}") from error
        if not stored:
            return None
        if self._words is not None:
            self._words.tell(Word(Topic.DOCUMENT))
        return int(stored[0][0])

    def _hear_word(self, word: Word) -> None:
        if word.topic is Topic.DOCUMENT:
            self._news.set()

    @override
    def _hear(self, name: str, document: Document) -> None:
        before = self._known.get(name, Document())
        if before.version != document.version:
            self._known[name] = document
            super()._hear(name, document)

    @override
    async def watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._news.wait()
            self._news.clear()
            await self.look()

    @override
    async def look(self) -> None:
        async with self._turn:
            known = [*self._known], [one.version for one in self._known.values()]
            try:
                found = await self._database.read(_OTHERS, known)
            except SpoolError as error:
                log.debug("documents not looked at", reason=str(error))
                return
            for name, *document in found:
                self._hear(name, Document(*document))
