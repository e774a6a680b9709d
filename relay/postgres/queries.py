"""The operator's half of the contract: what looks at messages, and what a person does to them."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence

import psycopg
from typing_extensions import override

from relay.envelope import Content
from relay.host.content import ContentWriter
from relay.host.safeio import DISK_FULL
from relay.outcome import Hold
from relay.postgres import content as contents
from relay.postgres import search, statements
from relay.postgres.database import Database, Row
from relay.postgres.incoming import Incoming
from relay.postgres.node import Node
from relay.postgres.scheduler import Scheduler
from relay.postgres.server import translate
from relay.postgres.words import Words
from relay.spool import (
    GONE,
    Attempt,
    Criteria,
    Entry,
    Event,
    NoSuchMessage,
    Past,
    SpoolError,
    SpoolFull,
    State,
    Topic,
    Word,
)
from relay.spool.rows.codecs import (
    Damaged,
    load_damaged,
    load_past,
    read_attempt,
    read_entry,
    read_event,
)
from relay.spool.rows.verbs import MessageVerbs

# What takes long to count is counted anew after so many times as long.
_PATIENCE_FACTOR = 20
_MOST_STALE = 5.0  # seconds
_RECENT = 31 * 60.0  # seconds; longer than any budget of requests looks back
_ENDED = (
    "SELECT queue_id, recipients, outcome, started FROM relay.request"
    " WHERE queue_id = ANY(%s) AND outcome IS NOT NULL ORDER BY serial"
)
_ATTEMPTS = (
    "SELECT attempt, number, recipients, started, ended, outcome FROM relay.request WHERE queue_id = %s"
    " ORDER BY serial"
)
_EVENTS = "SELECT at, event, detail FROM relay.event WHERE queue_id = %s ORDER BY number"
_HISTORY = (
    "SELECT r.started, r.ended, m.account, r.recipients, r.outcome FROM relay.request r"
    " JOIN relay.message m USING (queue_id) WHERE r.started > %s ORDER BY r.started"
)
# A day of a busy domain is 345,600 requests: older ones are summed by the quarter of an hour.
_QUARTERS = (
    "SELECT max(r.started), max(coalesce(r.ended, r.started)), m.account, sum(r.how_many)::bigint"
    " FROM relay.request r JOIN relay.message m USING (queue_id) WHERE r.started > %s AND r.started <= %s"
    " GROUP BY m.account, floor(r.started / 900) ORDER BY 1"
)
_BACKLOG = (
    "SELECT account, flow, count(*) FROM (SELECT account, flow FROM relay.message WHERE state = 'queued'"
    " LIMIT %s) AS waiting GROUP BY account, flow"
)
# From account to account by the index: a million may be queued. In the other states there are few.
_ACCOUNTS = (
    "WITH RECURSIVE queued (account) AS ("
    " SELECT min(account) FROM relay.message WHERE state = 'queued'"
    " UNION ALL SELECT (SELECT min(account) FROM relay.message"
    " WHERE state = 'queued' AND account > queued.account) FROM queued WHERE account IS NOT NULL)"
    " SELECT account FROM queued WHERE account IS NOT NULL"
    " UNION SELECT account FROM relay.message WHERE state IN ('sending', 'delayed', 'held')"
)


class OperatorHalf(MessageVerbs):
    """Lists, shows, and changes on request."""

    def __init__(self, database: Database, node: Node, incoming: Incoming, words: Words) -> None:
        self._database = database
        self._node = node
        self._incoming = incoming
        self._words = words
        self._turns = Scheduler(database, node)
        self._counted: tuple[float, dict[State, int]] = (0.0, {})  # good until, monotonic

    @override
    def subscribe(self, listener: Callable[[Word], None]) -> None:
        self._words.subscribe(listener)

    @override
    async def touch(self) -> None:
        await self._database.write("UPDATE relay.node SET name = name WHERE token = %s", (self._node.token,))

    @override
    async def counts(self) -> dict[State, int]:
        until, counted = self._counted
        if time.monotonic() < until:
            return counted
        began = time.monotonic()
        query = "SELECT state, count(*) FROM relay.message GROUP BY state"
        found = {State(state): n for state, n in await self._database.read(query)}
        counted = {state: found.get(state, 0) for state in State}
        taken = time.monotonic() - began
        good = min(taken * _PATIENCE_FACTOR, _MOST_STALE) if taken > 1 / _PATIENCE_FACTOR else 0.0
        self._counted = (time.monotonic() + good, counted)
        return counted

    @override
    async def backlog(self, most: int) -> Mapping[tuple[str, str], int]:
        return {(account, flow): n for account, flow, n in await self._database.read(_BACKLOG, (most,))}

    @override
    async def count_waiting(self, accounts: Collection[str]) -> dict[State, int]:
        query = (
            "SELECT state, count(*) FROM relay.message WHERE account = ANY(%s)"
            " AND (state = 'queued' OR state = 'delayed') GROUP BY state"
        )
        rows = await self._database.read(query, (list(accounts),))
        found: dict[str, int] = {state: number for state, number in rows}  # noqa: C416 - rows have any length
        return {state: found.get(state, 0) for state in (State.QUEUED, State.DELAYED)}

    @override
    async def accounts(self) -> Collection[str]:
        return {account for (account,) in await self._database.read(_ACCOUNTS)}

    @override
    async def show(self, queue_id: str) -> Entry:
        query = f"SELECT {statements.COLUMNS} FROM relay.message WHERE queue_id = %s"
        found = await self._show(await self._database.read(query, (queue_id,)))
        if not found:
            raise NoSuchMessage(f"no message has the id {queue_id}")
        return found[0]

    async def _show(self, rows: Sequence[Row]) -> list[Entry]:
        ended: dict[str, list[Row]] = {}
        for queue_id, *request in await self._database.read(_ENDED, ([row[0] for row in rows],)):
            ended.setdefault(queue_id, []).append(tuple(request))
        return [_show_row(row, ended.get(row[0], [])) for row in rows]

    @override
    async def attempts(self, queue_id: str) -> Sequence[Attempt]:
        return [read_attempt(row) for row in await self._database.read(_ATTEMPTS, (queue_id,))]

    @override
    async def events(self, queue_id: str) -> Sequence[Event]:
        await self._incoming.writer.catch_up()
        return [read_event(row) for row in await self._database.read(_EVENTS, (queue_id,))]

    @override
    async def content(self, queue_id: str) -> Content:
        entry = await self.show(queue_id)
        if entry.state in GONE:
            raise NoSuchMessage(f"no content is kept of {queue_id}")
        try:
            return await self._fetch(entry)
        except Damaged as error:
            raise SpoolError(f"{queue_id}: {error}") from error

    async def _fetch(self, entry: Entry) -> Content:
        """A message's content, verified; a large one lies in the node's scratch folder.

        Raises:
            Damaged: it is not what was put.
            SpoolError: it cannot be fetched now.
        """
        return await self._database.finish(self._fetch_once(entry))

    async def _fetch_once(self, entry: Entry) -> Content:
        # What is to be sent may have the room that new mail may not.
        writer = ContentWriter(self.writer().directory)
        try:
            async with self._database.desk.connection() as connection:
                found = await contents.copy_out(connection, entry.queue_id, writer)
        except (psycopg.Error, OSError) as error:
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                text = f"{entry.queue_id} has no room on this machine's disk: {error.strerror}"
                raise SpoolFull(text) from error
            raise translate(error) from error
        contents.verify(found, entry.size, entry.sha256)
        return found

    @override
    async def history(self, since: float) -> Sequence[Past]:
        recent = max(since, (await self._now()) - _RECENT)
        older = await self._database.read(_QUARTERS, (since, recent)) if since < recent else []
        single = await self._database.read(_HISTORY, (recent,))
        summed = [Past(began, ended, account, number, None) for began, ended, account, number in older]
        return summed + [load_past(row) for row in single]

    async def _now(self) -> float:
        """Seconds since the epoch, by the database's clock."""
        now: float = (await self._database.read("SELECT extract(epoch FROM clock_timestamp())::float8"))[0][0]
        return now

    @override
    def note(self, queue_id: str, event: str, **detail: object) -> None:
        self._incoming.note(queue_id, event, **detail)

    @override
    async def _change(self, queue_id: str, states: Sequence[State], state: State, event: str) -> None:
        if queue_id in self._turns.claimed:
            raise NoSuchMessage(f"{queue_id} is being sent at this moment")
        values = {
            "queue_id": queue_id,
            "states": statements.state_values(states),
            "state": state.value,
            "hold": (Hold.PERSON if state is State.HELD else Hold.NONE).value,
            "event": event,
        }
        if not await self._database.write(statements.change(state, event), values):
            await self._refuse(queue_id, states)
        self._words.tell(Word(Topic.CHANGED, queue_id))
        if state is State.QUEUED:
            self._tell_new(Word(Topic.NEW, queue_id))

    def _tell_new(self, word: Word) -> None:
        """Something may be claimed."""
        self._turns.expect()
        self._words.tell(word)

    async def _refuse(self, queue_id: str, states: Sequence[State]) -> None:
        found = (await self.show(queue_id)).state
        if found is State.SENDING:
            raise NoSuchMessage(f"{queue_id} is being sent at this moment")
        raise NoSuchMessage(f"{queue_id} is {found}, not {' or '.join(states)}")

    @override
    async def find(self, criteria: Criteria, limit: int) -> tuple[Sequence[Entry], int]:
        rows, total = await search.find(self._database, criteria, limit)
        return await self._show(rows), total

    @override
    async def arrivals(self, since: float, span: float) -> Mapping[tuple[int, State], int]:
        return await search.count_arrivals(self._database, since, span)

    # Last, because it takes the name of a type.
    @override
    async def list(self, states: Collection[State], limit: int, *, newest: bool = False) -> list[Entry]:
        order = "DESC" if newest else "ASC"
        query = (
            f"SELECT {statements.COLUMNS} FROM relay.message WHERE state = ANY(%s)"
            f" ORDER BY arrival {order} LIMIT %s"
        )
        rows = await self._database.read(query, (statements.state_values(list(states)), limit))
        return await self._show(rows)


def _show_row(row: Row, ended: Sequence[Row]) -> Entry:
    try:
        return read_entry(row, ended)
    except Damaged:
        return load_damaged(row)
