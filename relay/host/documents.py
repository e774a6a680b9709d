"""Small texts that the relay goes by and changes itself: adopted devices, what was told, known logins.

On one node they are files of `state_dir`. Where several nodes use one database they are rows there
(`relay/postgres/documents.py`), and what one node changes is in force on the others within a second. A change
is conditional: a text is read, changed, and written if nobody was faster; else all of it is done again.
"""

import asyncio
import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from typing_extensions import override

from relay.config.include import LEARNED
from relay.host.safeio import write_file

log = structlog.get_logger("documents")
TOLD, ALERTS, LOGINS = "told.json", "alerts.json", "logins.json"
NAMES = (LEARNED, TOLD, ALERTS, LOGINS)  # those that are files on one node
LEARNING = "learning.json"  # in the database only: on one node a restart ends what is being learned
# A node that says it will tell of a trouble is believed to do so for so many seconds: no way takes longer.
CLAIM = 120.0
_LAST_PATIENCE = 2.0  # seconds; all of a stop has ten
Follower = Callable[[str], None]


class DocumentError(Exception):
    """A document cannot be read or written now; a sentence says why."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text, and which one it is of those that had its name."""

    text: str = ""
    version: int = 0  # 0: there is none


class Documents(ABC):
    """The documents by their names, which are those of the files."""

    def __init__(self) -> None:
        self._followers: dict[str, list[Follower]] = {}
        self._endings: list[Callable[[], Awaitable[None]]] = []
        self._turn = asyncio.Lock()

    @property
    def node(self) -> str:
        """A name that no other node has; "" where no other node uses the documents."""
        return ""

    @abstractmethod
    async def look(self) -> None:
        """Take in what other nodes have changed; while nobody can say, what is known goes on to hold."""

    @abstractmethod
    async def watch(self) -> None:
        """Look for ever, as soon as there is something."""

    async def close(self) -> None:
        """Let everybody write what is not written yet, for a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_PATIENCE):
                await asyncio.gather(*(end() for end in self._endings))

    @abstractmethod
    def describe(self, name: str) -> str:
        """Where a document is kept, for people."""

    @abstractmethod
    async def load(self, name: str) -> Document:
        """A document as it is now.

        Raises:
            DocumentError: it cannot be read.
        """

    @abstractmethod
    async def store(self, name: str, text: str, version: int) -> int | None:
        """Write a document in place of this version of it.

        Returns:
            Its new version; None: it is not that version any more, and nothing was written.

        Raises:
            DocumentError: it cannot be written, or nobody knows whether it was.
        """

    def follow(self, name: str, follower: Follower) -> None:
        """Have someone told of the text as it is, and of each other one, whoever wrote it."""
        self._followers.setdefault(name, []).append(follower)

    def at_end(self, end: Callable[[], Awaitable[None]]) -> None:
        """Have this done by `close`."""
        self._endings.append(end)

    async def change(self, name: str, edit: Callable[[str], str]) -> None:
        """Change a document, for all nodes.

        Args:
            name: its name.
            edit: gives the new text for the present one, perhaps several times. If it raises, that is all.

        Raises:
            DocumentError: it cannot be read or written.
        """
        async with self._turn:
            while True:
                before = await self.load(name)
                text = edit(before.text)
                if text == before.text:
                    version: int | None = before.version
                else:
                    version = await self.store(name, text, before.version)
                if version is not None:
                    self._hear(name, Document(text, version))
                    return

    def _hear(self, name: str, document: Document) -> None:
        for follower in self._followers.get(name, ()):
            try:
                follower(document.text)
            except Exception:  # one that cannot use it keeps nobody from going on
                log.exception("document not taken in", document=name)


class FileDocuments(Documents):
    """Files of a folder, which one process has for itself.

    Args:
        folder: `state_dir`.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    @override
    def describe(self, name: str) -> str:
        return str(self._folder / name)

    @override
    def follow(self, name: str, follower: Follower) -> None:
        super().follow(name, follower)
        try:
            document = self._read(name)
        except DocumentError as error:
            log.warning("document not read", reason=str(error))
        else:
            if document.version:
                follower(document.text)

    @override
    async def look(self) -> None:
        """Nobody else changes them."""

    @override
    async def watch(self) -> None:
        await asyncio.Event().wait()

    @override
    async def load(self, name: str) -> Document:
        return await asyncio.to_thread(self._read, name)

    @override
    async def store(self, name: str, text: str, version: int) -> int | None:
        return await asyncio.to_thread(self._write, name, text, version)

    def _read(self, name: str) -> Document:
        path = self._folder / name
        try:
            octets = path.read_bytes()
        except FileNotFoundError:
            return Document()
        except OSError as error:
            raise DocumentError(f"{path}: cannot be read ({error.strerror})") from None
        # A person may have edited it: octets that are no UTF-8 are kept as they are.
        return Document(octets.decode(errors="surrogateescape"), _number(octets))

    def _write(self, name: str, text: str, version: int) -> int | None:
        if self._read(name).version != version:
            return None
        octets = text.encode(errors="surrogateescape")
        try:
            write_file(self._folder / name, octets)
        except OSError as error:
            raise DocumentError(
                f"{self._folder / name}: cannot be written ({error.strerror}); nothing was changed"
            ) from None
        return _number(octets)


def _number(octets: bytes) -> int:
    return int.from_bytes(hashlib.sha256(octets).digest()[:8], "big") | 1
