"""A document as a value: changed here at once, written soon, and joined with what other nodes write."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from relay.host.documents import DocumentError, Documents

log = structlog.get_logger("documents")
T = TypeVar("T")
_PAUSE = 1.0  # seconds between two writes: of many changes there is one text
_AGAIN = 5.0  # seconds until what could not be written is tried again
_PATIENCE = 5.0  # seconds for which somebody waits for a write


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How a document is read and written."""

    read: Callable[[str], T]  # of "" and of a text that makes no sense: an empty value
    write: Callable[[T], str]


class SharedValue(Generic[T]):
    """What one document says.

    A change is a function that changes the value. It is done to the value that is known here, and again to
    each text that another node has written meanwhile, until it is written: it must bear to be done twice.

    Args:
        documents: where it is kept; None: nowhere.
        name: of the document.
        codec: how it is read and written.
    """

    def __init__(self, documents: Documents | None, name: str, codec: Codec[T]) -> None:
        self.value = codec.read("")
        self._documents = documents
        self._name = name
        self._codec = codec
        self._text = ""  # what `value` was read from
        self._written: str | None = None  # what was written of `value` and is not heard yet
        self._waiting: list[Callable[[T], object]] = []  # changes that are not written
        self._turn = asyncio.Lock()
        self._work: asyncio.Task[None] | None = None
        self._hurry, self._tried = asyncio.Event(), asyncio.Event()
        self._failed = False  # the last write
        if documents is not None:
            documents.follow(name, self._hear)
            documents.at_end(self._end)

    def change(self, edit: Callable[[T], object]) -> None:
        """Change the value here now, and everywhere soon."""
        edit(self.value)
        if self._documents is None:
            return
        self._waiting.append(edit)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._write_all(self._documents), name=self._name)

    async def decide(self, edit: Callable[[T], bool]) -> bool:
        """Change the value, on all nodes or none, by what it is at this moment.

        Args:
            edit: changes the value and gives True, or changes nothing.

        Returns:
            What `edit` gave for the text that was changed.

        Raises:
            DocumentError: it cannot be written now; what is known here was changed all the same.
        """
        if self._documents is None:
            return edit(self.value)
        work = asyncio.create_task(self._decide(self._documents, edit), name=self._name)
        try:
            async with asyncio.timeout(_PATIENCE):
                return await asyncio.shield(work)
        except TimeoutError:
            work.add_done_callback(_forget)
            raise DocumentError("it does not answer in time") from None

    async def _decide(self, documents: Documents, edit: Callable[[T], bool]) -> bool:
        decided = False

        def change(text: str) -> str:
            nonlocal decided
            self._take(text)
            decided = edit(self.value)
            return self._dump() if decided else text

        async with self._turn:
            await documents.change(self._name, change)
        return decided

    async def settle(self) -> None:
        """Wait until what was changed is written, or could not be; it is tried again later then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while self._waiting:
                    self._tried.clear()
                    self._hurry.set()
                    await self._tried.wait()
                    if self._failed:
                        return

    async def _end(self) -> None:
        try:
            await self.settle()
        finally:
            if self._work is not None:
                self._work.cancel()

    async def _write_all(self, documents: Documents) -> None:
        """Write until everything is written."""
        while self._waiting:
            try:
                async with self._turn:
                    await self._write_once(documents)
            except DocumentError as error:
                if not self._failed:
                    log.warning("document not written", document=self._name, reason=str(error))
                self._failed = True
            else:
                self._failed = False
            self._tried.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN if self._failed else _PAUSE):
                    await self._hurry.wait()
            self._hurry.clear()

    async def _write_once(self, documents: Documents) -> None:
        number = 0

        def change(text: str) -> str:
            nonlocal number
            self._take(text)
            number = len(self._waiting)
            return self._dump()

        await documents.change(self._name, change)
        del self._waiting[:number]

    def _dump(self) -> str:
        self._written = self._codec.write(self.value)
        return self._written

    def _hear(self, text: str) -> None:
        if text == self._written:
            self._text = text  # the value is there already, and perhaps changed since
            self._written = None
        else:
            self._take(text)

    def _take(self, text: str) -> None:
        """Go by this text, with what is changed here and not written yet."""
        if text == self._text:
            return
        self.value, self._text, self._written = self._codec.read(text), text, None
        for edit in self._waiting:
            edit(self.value)


def _forget(work: "asyncio.Task[bool]") -> None:
    if not work.cancelled():
        work.exception()
