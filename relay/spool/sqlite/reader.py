"""Another connection for those who only look, so that a long look holds up no commit.

It can neither write nor checkpoint: before SQLite 3.51.3 two connections that do can lose commits of a
database in WAL mode.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from relay.spool import SpoolDamaged, SpoolError
from relay.spool.sqlite.database import read_text
from relay.spool.sqlite.writer import Writer, translate

T = TypeVar("T")


class Reader:
    """Reads what is committed, in a thread of its own.

    Args:
        path: of the database.
        writer: mends the database when a query meets damage.
    """

    def __init__(self, path: Path, writer: Writer) -> None:
        self._path = path
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool-reader")
        self._connection: sqlite3.Connection | None = None
        self._generation = 0  # of the database that the connection is to
        self._closed = False

    async def read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query; again, if the database had to be mended for it.

        Raises:
            SpoolDamaged: the database is damaged, and cannot be mended now.
            SpoolError: it cannot be read.
        """
        try:
            return await self._ask(operation)
        except SpoolDamaged:
            await self._writer.mend(self._generation)
            return await self._ask(operation)

    async def _ask(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise SpoolError("the spool is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, operation)

    def _read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._generation != self._writer.generation:
                self._disconnect()
            if self._connection is None:
                self._generation = self._writer.generation
                uri = f"file:{quote(str(self._path))}?mode=ro"
                self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=2.0)
                self._connection.text_factory = read_text
            return operation(self._connection)
        except sqlite3.Error as error:
            raise translate(error) from error

    async def close(self) -> None:
        """Let go; before the writer does, so that it can fold the log into the database."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._thread.submit(self._disconnect).result()
        self._thread.shutdown()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
