"""What the door writes: new messages, many to a commit, and what follows without anybody waiting for it.

A group is one transaction in one round trip: the rows, the statements that follow, and COMMIT. It is sorted
by queue id, so that no two groups wait for each other. If one message of a group cannot be written, each is
tried alone. Large content has a transaction of its own beside the groups, and goes there by COPY.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from types import MappingProxyType
from typing import Any

import psycopg
import structlog

from relay.envelope import Content
from relay.postgres import content as contents
from relay.postgres.database import NOW, Database
from relay.postgres.server import InDoubt, Pool, Repeatable, Unreachable, translate
from relay.spool import Entry, SpoolError, TakenElsewhere
from relay.spool.rows.codecs import dump_envelope, make_seal
from relay.spool.rows.unacknowledged import LIFE

log = structlog.get_logger("spool")
_MOST_AT_ONCE = 500
_MOST_OCTETS = 4 * 1024 * 1024  # of the contents of a group, beyond which it is closed
_AGAIN = 0.25  # seconds until what follows is tried again
_ERRORS = (psycopg.Error, OSError)  # those of the pool are psycopg's own
# Columns, each with its type.
MESSAGE = {
    "queue_id": "text",
    "state": "text",
    "account": "text",
    "flow": "text",
    "arrival": "float8",
    "next_attempt": "float8",
    "attempts": "int4",
    "unknowns": "int4",
    "envelope": "text",
    "size": "int8",
    "sha256": "text",
    "status": "text",
    "reason": "text",
    "losses": "text",
    "since": "float8",
    "ended": "float8",
    "hold": "text",
    "cause": "text",
    "seal": "text",
    "claim": "text",
    "waiter": "int8",
}
MESSAGE_COLUMNS = tuple(MESSAGE)
# What every message begins with stands in the statement: a list costs the server as much as several rows.
_FRESH = {
    "next_attempt": "0",
    "attempts": "0",
    "unknowns": "0",
    "status": "''",
    "losses": "'[]'",
    "ended": "0",
    "claim": "''",
}
_GIVEN = tuple(name not in _FRESH for name in MESSAGE)
UNHEARD = {"queue_id": "text", "fingerprint": "text", "arrival": "float8", "node": "int8", "over": "bool"}
_PIECE = {"queue_id": "text", "number": "int4", "data": "bytea"}


def _insert(table: str, columns: dict[str, str], fresh: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """The statement that adds rows, given a list of values for each column that is not fresh."""
    given = {name: type_ for name, type_ in columns.items() if name not in fresh}
    lists = ", ".join(f"%b::{type_}[]" for type_ in given.values())
    return (
        f"INSERT INTO relay.{table} ({', '.join([*given, *fresh])})"
        f" SELECT {', '.join(['given.*', *fresh.values()])} FROM unnest({lists}) AS given"
    ).encode()


_INSERT_MESSAGES = _insert("message", MESSAGE, _FRESH)
_INSERT_UNHEARD = _insert("unheard", UNHEARD)
_INSERT_PIECES = _insert("content", _PIECE)
# Equal messages of several nodes take turns, so that the later one finds the earlier one. A node that stopped
# within its turn must not stop this one too: the group is then tried one by one, and that message refused.
_TAKE_TURNS = (
    b"SELECT pg_advisory_xact_lock(key) FROM set_config('lock_timeout', '3s', true),"
    b" (SELECT DISTINCT hashtextextended(f, 0) AS key FROM unnest(%b::text[]) AS f ORDER BY 1) AS keys"
)
# Whether another node has kept an equal message since the client may have sent this one there, heard or not.
# A division by zero: an error is the one way to end a group within its single round trip.
_LOOK_ELSEWHERE = (
    "SELECT 1 / CASE WHEN EXISTS (SELECT FROM unnest(%b::text[], %b::float8[], %b::int8[])"
    " AS own (fingerprint, since, node) WHERE EXISTS (SELECT FROM relay.unheard AS other"
    " WHERE other.fingerprint = own.fingerprint AND other.node <> own.node"
    f" AND abs({NOW} - other.arrival) <= {LIFE})"
    " OR EXISTS (SELECT FROM relay.heard AS other WHERE other.fingerprint = own.fingerprint"
    " AND other.node <> own.node AND other.at > own.since)"
    # Of what was that long ago nobody knows any more.
    f" OR own.since < {NOW} - {LIFE}) THEN 0 ELSE 1 END"
).encode()


class Conflict(SpoolError):  # noqa: N818 - what it is
    """There is a message of this queue id."""


@dataclass(slots=True)
class Put:
    """A message on its way to the table."""

    entry: Entry
    content: Content
    node: int  # that keeps it
    waiter: int | None = None  # the node on which a session waits for its verdict
    fingerprint: str = ""  # "": it is not recognised when it comes again
    since: float = 0.0  # by the database's clock: since when its client may have sent it to another node
    done: "asyncio.Future[None] | None" = None

    def row(self) -> tuple[Any, ...]:
        """Its values, as MESSAGE_COLUMNS names them."""
        entry = self.entry
        envelope = dump_envelope(entry.envelope)
        seal = make_seal(entry.queue_id, entry.account, envelope, entry.sha256, entry.size)
        return (
            *(entry.queue_id, entry.state.value, entry.account, entry.envelope.line, entry.arrival),
            *(0.0, 0, 0, envelope, entry.size, entry.sha256, "", entry.reason, "[]", entry.since, 0.0),
            *(entry.hold.value, entry.cause.value, seal, "", self.waiter),
        )

    def unheard(self) -> tuple[Any, ...]:
        """The values of its row among those whose reply is not known to be written."""
        return (self.entry.queue_id, self.fingerprint, self.entry.arrival, self.node, False)


@dataclass(slots=True)
class _Follow:
    query: str
    values: Sequence[Any]
    done: "asyncio.Future[None]"


@dataclass(slots=True)
class _Group:
    puts: list[Put] = field(default_factory=list)
    follows: list[_Follow] = field(default_factory=list)


class Writer:
    """The door's writer. Used in the event loop only."""

    def __init__(self, database: Database) -> None:
        """Args:
        database: where it is written.
        """
        self._database = database
        self._group = _Group()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run(), name="spool writer")

    async def stop(self, patience: float) -> None:
        """Write what was asked for, if that can be done in so many seconds."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=patience)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def put(self, put: Put) -> None:
        """Write a message.

        Raises:
            Conflict: there is one of this queue id.
            InDoubt: nobody knows whether it is kept.
            TakenElsewhere: another node has kept an equal message since the client may have gone there.
            SpoolError: it is not kept.
        """
        if put.content.path is not None:
            await self._database.finish(self._write_alone(put))
            return
        put.done = asyncio.get_running_loop().create_future()
        self._group.puts.append(put)
        self._begin()
        await put.done

    def follow(self, query: str, values: Sequence[Any]) -> "asyncio.Future[None]":
        """Have a statement written soon; it is tried until it is, and must bear to be done twice.

        The future says when that is over.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._group.follows.append(_Follow(query, values, done))
        self._begin()
        return done

    def _begin(self) -> None:
        self._idle.clear()
        self._wake.set()

    async def catch_up(self) -> None:
        """Wait until what was asked for before is written, or cannot be."""
        await self._idle.wait()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._group.puts or self._group.follows:
                group = self._take()
                await self._serve(group)
            self._idle.set()
            if self._closing:
                return

    def _take(self) -> _Group:
        """The next group; what is left over comes after it."""
        waiting = self._group
        octets = number = 0
        for put in waiting.puts[:_MOST_AT_ONCE]:
            octets += put.content.size
            number += 1
            if octets > _MOST_OCTETS:
                break
        group = _Group(waiting.puts[:number], waiting.follows[:_MOST_AT_ONCE])
        self._group = _Group(waiting.puts[number:], waiting.follows[_MOST_AT_ONCE:])
        group.puts.sort(key=lambda put: put.entry.queue_id)
        return group

    async def _serve(self, group: _Group) -> None:
        error = await self._try(group)
        if error is None or isinstance(error, InDoubt):
            _tell(group.puts, error)
        elif len(group.puts) > 1 and not _is_of_the_storage(error):
            for put in group.puts:
                _tell([put], await self._try(_Group([put])))
        else:
            _tell(group.puts, error)
        if error is not None:
            await self._serve_follows(group.follows, error)
        elif group.follows:
            _end(group.follows)

    async def _serve_follows(self, follows: list[_Follow], error: SpoolError) -> None:
        """Write those later that could not be written now; drop the one that the server will never take."""
        if _is_of_the_storage(error):
            self._group.follows[:0] = follows
            if not self._closing:
                await asyncio.sleep(_AGAIN)
            return
        for one in follows:
            if (refused := await self._try(_Group([], [one]))) is not None:
                log.error("not recorded", reason=str(refused))
            _end([one])

    async def _try(self, group: _Group) -> SpoolError | None:
        """Write a group; or why not."""
        while True:
            try:
                await write(self._database.door, group.puts, group.follows)
            except Repeatable:
                continue
            except SpoolError as error:
                return error
            except Exception as error:
                # Nobody may wait for ever because of a fault of ours.
                log.exception("a group cannot be written")
                return SpoolError(f"a fault of the spool: {type(error).__name__}")
            return None

    async def _write_alone(self, put: Put) -> None:
        while True:
            try:
                await write(self._database.door, [put], [])
            except Repeatable:
                continue
            return


def _tell(puts: list[Put], error: SpoolError | None) -> None:
    for put in puts:
        if put.done is None or put.done.done():  # whoever asked was cancelled
            continue
        if error is None:
            put.done.set_result(None)
        else:
            put.done.set_exception(error)


def _end(follows: list[_Follow]) -> None:
    for one in follows:
        if not one.done.done():
            one.done.set_result(None)


def _is_of_the_storage(error: SpoolError) -> bool:
    """Whether the server's or the network's trouble, and not one message's."""
    return isinstance(error, InDoubt | Unreachable)


async def write(pool: Pool, puts: list[Put], follows: Sequence[_Follow]) -> None:
    """Write messages and what follows in one transaction.

    Raises:
        TakenElsewhere: another node has kept an equal message since the client may have gone there.
        SpoolError: it is not kept; InDoubt: nobody knows; Repeatable: the same may be tried at once.
    """
    sent = False
    large = [(put.entry.queue_id, put.content) for put in puts if put.content.path is not None]
    try:
        async with pool.connection() as connection:
            if large:
                # In a transaction that is open before the pipeline: COPY cannot be part of one.
                await connection.execute("BEGIN")
                await contents.copy_in(connection, large)
            async with connection.pipeline():
                if not large:
                    await connection.execute("BEGIN")
                for query, rows in _statements(puts):
                    await connection.execute(query, [*map(list, zip(*rows, strict=True))])
                for one in follows:
                    await connection.execute(one.query.encode(), one.values)
                sent = True
                await connection.execute("COMMIT")
            connection.be_certain()
    except psycopg.errors.UniqueViolation as error:
        raise Conflict("there is a message of this queue id") from error
    except psycopg.errors.DivisionByZero as error:
        raise TakenElsewhere("an equal message has come to another node") from error
    except _ERRORS as error:
        raise translate(error, sent=sent) from error


def _statements(puts: list[Put]) -> Iterator[tuple[bytes, Sequence[Sequence[Any]]]]:
    """The statements of a group, each with its rows."""
    known = [put for put in puts if put.fingerprint]
    found = (
        (_TAKE_TURNS, [(put.fingerprint,) for put in known]),
        (_LOOK_ELSEWHERE, [(put.fingerprint, put.since, put.node) for put in known]),
        (_INSERT_MESSAGES, [[*compress(put.row(), _GIVEN)] for put in puts]),
        (_INSERT_PIECES, [row for put in puts if put.content.path is None for row in _cut(put)]),
        (_INSERT_UNHEARD, [put.unheard() for put in known]),
    )
    return (one for one in found if one[1])


def _cut(put: Put) -> Iterator[tuple[str, int, bytes]]:
    for number, piece in enumerate(contents.cut(put.content.data or b"")):
        yield put.entry.queue_id, number, piece
