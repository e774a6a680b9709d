"""What the sender does by the side: old things removed, a piece at a time."""

import asyncio

import structlog

from relay.postgres.database import NOW, Database
from relay.postgres.node import FENCE, Node
from relay.spool import SpoolError
from relay.spool.rows.unacknowledged import LIFE

log = structlog.get_logger("spool")
_ROUND = 3600.0  # seconds from one removal of old things to the next
_AGAIN = 60.0  # seconds until it is tried again
_BREATH = 0.01  # seconds between two pieces
_MOST = 500  # messages in one piece: forgetting more at once would keep others waiting
# What failed becomes history first: its content is gone, its trace stays a while longer.
_EXPIRE = (
    f"{FENCE}, old AS (SELECT queue_id FROM relay.message WHERE state = 'failed' AND arrival < %(before)s"
    " AND ended < %(before)s LIMIT %(most)s FOR UPDATE),"
    f" over AS (UPDATE relay.message SET state = 'discarded', ended = {NOW} WHERE queue_id IN"
    " (SELECT queue_id FROM old) AND EXISTS (SELECT FROM fence) RETURNING queue_id),"
    " gone AS (DELETE FROM relay.content WHERE queue_id IN (SELECT queue_id FROM over))"
    " INSERT INTO relay.event (queue_id, at, event, detail)"
    f" SELECT queue_id, {NOW}, 'kept no longer', '{{}}' FROM over RETURNING queue_id"
)
# Whatever ended before has arrived before: that is what the index is ordered by.
_FORGET = (
    f"{FENCE}, old AS (SELECT queue_id FROM relay.message WHERE state IN ('relayed', 'refused', 'discarded')"
    " AND arrival < %(before)s AND ended < %(before)s LIMIT %(most)s FOR UPDATE),"
    " gone AS (DELETE FROM relay.message WHERE queue_id IN (SELECT queue_id FROM old)"
    " AND EXISTS (SELECT FROM fence) RETURNING queue_id),"
    " c AS (DELETE FROM relay.content WHERE queue_id IN (SELECT queue_id FROM gone)),"
    " r AS (DELETE FROM relay.request WHERE queue_id IN (SELECT queue_id FROM gone)),"
    " e AS (DELETE FROM relay.event WHERE queue_id IN (SELECT queue_id FROM gone)),"
    " u AS (DELETE FROM relay.unheard WHERE queue_id IN (SELECT queue_id FROM gone))"
    " SELECT queue_id FROM gone"
)
_FORGET_UNHEARD = (
    f"{FENCE} DELETE FROM relay.unheard WHERE arrival < %(before)s AND EXISTS (SELECT FROM fence) RETURNING 1"
)
_FORGET_HEARD = (
    f"{FENCE} DELETE FROM relay.heard WHERE at < %(before)s AND EXISTS (SELECT FROM fence) RETURNING 1"
)
# Who ended long ago is asked for nothing any more.
_FORGET_NODES = (
    f"{FENCE} DELETE FROM relay.node n WHERE n.seen < %(before)s AND n.token <> %(node)s"
    " AND NOT EXISTS (SELECT FROM relay.unheard u WHERE u.node = n.token)"
    " AND EXISTS (SELECT FROM fence) RETURNING 1"
)


async def purge(database: Database, node: Node, relayed_before: float, failed_before: float) -> int:
    """Forget some messages that ended before; how many. Raises SpoolError."""
    values = {**node.fence, "most": _MOST}
    expired = await database.write(_EXPIRE, {**values, "before": failed_before})
    gone = await database.write(_FORGET, {**values, "before": relayed_before})
    return len({*expired, *gone})


class Maintenance:
    """The spool's housekeeping."""

    def __init__(self, database: Database, node: Node) -> None:
        self._database = database
        self._node = node

    async def run(self, keep_failed: float, keep_history: float) -> None:
        """Remove what is older than these seconds, for ever, while this node is the sender."""
        while True:
            try:
                if self._node.is_sender:
                    await self._forget(keep_failed, keep_history)
            except SpoolError as error:
                log.warning("the spool cannot be tended now", reason=str(error))
                await asyncio.sleep(_AGAIN)
            else:
                await asyncio.sleep(_ROUND)

    async def _forget(self, keep_failed: float, keep_history: float) -> None:
        now: float = (await self._database.read(f"SELECT {NOW}"))[0][0]
        # The budget of a mailbox looks back a day, whatever the history's length.
        history = now - max(keep_history, LIFE)
        while await purge(self._database, self._node, history, now - keep_failed):  # noqa: ASYNC110 - pieces
            await asyncio.sleep(_BREATH)
        for query in (_FORGET_UNHEARD, _FORGET_HEARD, _FORGET_NODES):
            await self._database.write(query, {**self._node.fence, "before": now - LIFE})
