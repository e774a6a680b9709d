"""The mail of an embedded spool, written into the tables: each message as a whole or not at all, and once."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import psycopg

from relay.postgres import content as contents
from relay.postgres import schema
from relay.postgres.database import opened
from relay.postgres.server import Address, Connection, translate
from relay.postgres.writer import MESSAGE, UNHEARD
from relay.spool.sqlite.export import Exported

_REQUEST = {
    "queue_id": "text",
    "number": "int4",
    "attempt": "int4",
    "recipients": "text",
    "started": "float8",
    "ended": "float8",
    "outcome": "text",
    "claim": "text",
    "how_many": "int4",
}
_EVENT = {"queue_id": "text", "at": "float8", "event": "text", "detail": "text"}
_NOBODY = 0  # no node has this token: sessions of the old spool are over


async def move(address: Address, pieces: Iterable[list[Exported]]) -> tuple[int, int]:
    """Write all messages that are not there yet; how many were written, and how many were there.

    Raises:
        SpoolError: the database will not; the same may be begun again.
    """
    moved = known = 0
    async with opened(address, hurried=True) as connection:
        await schema.require(connection)
        try:
            for piece in pieces:
                new = await _find_new(connection, piece)
                if new:
                    async with connection.transaction():
                        await _write(connection, new)
                    connection.be_certain()
                moved, known = moved + len(new), known + len(piece) - len(new)
        except psycopg.Error as error:
            raise translate(error, sent=True) from error
    return moved, known


async def _find_new(connection: Connection, piece: list[Exported]) -> list[Exported]:
    ids = [one.row["queue_id"] for one in piece]
    cursor = await connection.execute("SELECT queue_id FROM relay.message WHERE queue_id = ANY(%s)", (ids,))
    known = {queue_id for (queue_id,) in await cursor.fetchall()}
    return [one for one in piece if one.row["queue_id"] not in known]


async def _write(connection: Connection, messages: list[Exported]) -> None:
    rows = [{**one.row, "waiter": None} for one in messages]
    await _copy(connection, "message", MESSAGE, ([row[name] for name in MESSAGE] for row in rows))
    kept = [(one.row["queue_id"], one.content) for one in messages if one.content is not None]
    await contents.copy_in(connection, kept)
    await _copy(connection, "request", _REQUEST, _requests(messages))
    await _copy(connection, "event", _EVENT, (event for one in messages for event in one.events))
    unheard = ((one.row, one.fingerprint) for one in messages if one.fingerprint)
    ended = ((row["queue_id"], print_, row["arrival"], _NOBODY, True) for row, print_ in unheard)
    await _copy(connection, "unheard", UNHEARD, ended)


def _requests(messages: list[Exported]) -> Iterator[tuple[Any, ...]]:
    for one in messages:
        for request in one.requests:
            # As the codecs count recipients: by their JSON.
            yield (*request, max(str(request[3]).count('", "') + 1, 1))


async def _copy(
    connection: Connection, table: str, columns: dict[str, str], rows: Iterable[Sequence[Any]]
) -> None:
    query = f"COPY relay.{table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    async with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
        copy.set_types(tuple(columns.values()))
        for row in rows:
            await copy.write_row(tuple(map(_clean, row)))


def _clean(value: Any) -> Any:
    # The one character that PostgreSQL's text cannot hold.
    return value.replace("\0", "") if isinstance(value, str) else value
