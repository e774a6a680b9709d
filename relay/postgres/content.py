"""Content in pieces: to the server by COPY, and from it into a local file once it is large.

Never whole in memory: a piece is a quarter of a megabyte.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from relay.envelope import Content
from relay.host.content import ContentWriter
from relay.postgres.server import Connection
from relay.spool.rows.codecs import Damaged

PIECE = 256 * 1024  # octets
_COPY_IN = "COPY relay.content (queue_id, number, data) FROM STDIN (FORMAT BINARY)"
_COPY_OUT = (
    "COPY (SELECT data FROM relay.content WHERE queue_id = %s ORDER BY number) TO STDOUT (FORMAT BINARY)"
)
_TYPES = ("text", "int4", "bytea")


async def copy_in(connection: Connection, contents: list[tuple[str, Content]]) -> None:
    """Write the contents of these queue ids, within the transaction that is open.

    Raises:
        psycopg.Error: the server will not.
        OSError: a file cannot be read.
    """
    async with connection.cursor() as cursor, cursor.copy(_COPY_IN) as copy:
        copy.set_types(_TYPES)
        for queue_id, content in contents:
            if content.path is None:
                for number, piece in enumerate(cut(content.data or b"")):
                    await copy.write_row((queue_id, number, piece))
                continue
            number = 0
            async for piece in _read(content.path):
                await copy.write_row((queue_id, number, piece))
                number += 1


def cut(octets: bytes) -> Iterator[bytes]:
    """The pieces of what is in memory; of nothing, one that is empty."""
    for at in range(0, max(len(octets), 1), PIECE):
        yield octets[at : at + PIECE]


async def _read(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


async def copy_out(connection: Connection, queue_id: str, writer: ContentWriter) -> Content:
    """Fetch a content; a large one lies in a file then, which whoever has it discards.

    Raises:
        psycopg.Error: the server will not.
        OSError: there is no room for the file.
    """
    try:
        async with connection.cursor() as cursor, cursor.copy(_COPY_OUT, (queue_id,)) as copy:
            copy.set_types(["bytea"])
            async for (piece,) in copy.rows():
                await asyncio.to_thread(writer.write, piece)
        return writer.finish()
    except BaseException:
        writer.discard()
        raise


def verify(content: Content, size: int, sha256: str) -> None:
    """Compare what was fetched with its row.

    Raises:
        Damaged: it is not what was put; the file is removed.
    """
    if content.size == size and content.sha256 == sha256:
        return
    content.discard()
    if not content.size and size:
        raise Damaged("its content is missing")
    raise Damaged("its content is not what was written (its hash differs)")
