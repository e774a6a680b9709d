"""What nodes tell each other of themselves: how the sender stands, who lives, what a person asked of it."""

from collections.abc import Sequence

from typing_extensions import override

from relay.postgres.database import NOW, Database
from relay.postgres.node import ALIVE, FENCE, Node
from relay.spool import Board, NodeFacts, Published

# Of the server's log: another one after a replica was promoted.
_TIMELINE = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"
_PUBLISH = (
    f"{FENCE} INSERT INTO relay.sender_state (name, epoch, at, state, timeline)"
    f" SELECT 'sender', %(epoch)s, {NOW}, %(state)s, {_TIMELINE} FROM fence"
    " ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, at = excluded.at, state = excluded.state,"
    " timeline = excluded.timeline RETURNING 1"
)
_READ = (
    f"SELECT s.epoch, {NOW} - s.at, s.state, l.epoch = s.epoch AND u.until >= {NOW},"
    f" s.timeline IS DISTINCT FROM {_TIMELINE} FROM relay.sender_state s"
    " JOIN relay.lease l USING (name) JOIN relay.lease_until u USING (name) WHERE s.name = 'sender'"
)
# Who said that it ends is shown no more; who is silent is shown for a day.
_NODES = (
    f"SELECT n.name, n.program, n.started, n.seen, n.seen >= {NOW} - {ALIVE}, n.token = %(node)s,"
    f" coalesce(l.holder = n.token AND u.until >= {NOW}, false),"
    f" CASE WHEN l.holder = n.token AND u.until >= {NOW} THEN u.since END,"
    " n.sessions, n.accepting, coalesce(n.trouble, ''), coalesce(n.fingerprint, '')"
    " FROM relay.node n LEFT JOIN relay.lease l ON l.name = 'sender'"
    " LEFT JOIN relay.lease_until u ON u.name = 'sender'"
    f" WHERE n.ended IS NULL AND n.seen > {NOW} - 86400 AND NOT EXISTS (SELECT FROM relay.node later"
    " WHERE later.home = n.home AND later.started > n.started) ORDER BY n.name, n.started"
)
_SAY = (
    "UPDATE relay.node SET sessions = %s, accepting = %s, trouble = nullif(%s, ''), fingerprint = %s"
    " WHERE token = %s RETURNING 1"
)
_RELEASE = (
    "INSERT INTO relay.account_released (account) VALUES (%s) ON CONFLICT (account) DO UPDATE"
    " SET account = excluded.account"
)
_RELEASED = f"{FENCE} DELETE FROM relay.account_released WHERE EXISTS (SELECT FROM fence) RETURNING account"


class PostgresBoard(Board):
    """The board of all nodes.

    Args:
        database: where it is.
        node: this one.
    """

    def __init__(self, database: Database, node: Node) -> None:
        self._database = database
        self._node = node
        self.cannot_send = False  # as this node has said

    @override
    async def publish(self, state: str) -> None:
        await self._database.write_soon(_PUBLISH, {**self._node.fence, "state": state})

    @override
    async def read(self) -> Published | None:
        found = await self._database.read(_READ)
        return Published(*found[0]) if found else None

    @override
    async def nodes(self) -> Sequence[NodeFacts]:
        return [NodeFacts(*row) for row in await self._database.read(_NODES, {"node": self._node.token})]

    @override
    async def say(self, sessions: int, *, accepting: bool, trouble: str, fingerprint: str) -> None:
        self.cannot_send = accepting and bool(trouble)
        values = (sessions, accepting, trouble, fingerprint, self._node.token)
        await self._database.write_soon(_SAY, values)

    @override
    async def release(self, account: str) -> None:
        await self._database.write(_RELEASE, (account,))

    @override
    async def take_released(self) -> Sequence[str]:
        return [account for (account,) in await self._database.write_soon(_RELEASED, self._node.fence)]
