"""Which message is next: the sender admits what was put, and claims in the order of start tags.

A message is put without a start tag; the sender gives it one, because it depends on what is being served.
Claims are kept in the sender's memory: only `start` makes an attempt real, and it is fenced by the lease. A
tag is never the lower bound of a scan: a row that got a lower one later would not be found again.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from relay.postgres.database import Database
from relay.postgres.node import FENCE, Node
from relay.spool.fairness import Ranks, Shares
from relay.spool.rows.codecs import BEYOND_TIME

# Admitted in one commit: a backlog of a million is admitted while its first messages are sent.
_MOST_ADMITTED = 500
_MOST_PROMOTED = 200
_NEW = (
    "SELECT queue_id, account, flow FROM relay.message WHERE state = 'queued' AND tag IS NULL"
    " ORDER BY next_attempt, queue_id LIMIT %s"
)
_LAST_TAGS = (
    "SELECT w.account, w.flow, coalesce((SELECT max(tag) FROM relay.message m WHERE m.state = 'queued'"
    " AND m.account = w.account AND m.flow = w.flow), 0)"
    " FROM unnest(%s::text[], %s::text[]) AS w (account, flow)"
)
_ADMIT = (
    f"{FENCE} UPDATE relay.message m SET tag = t.tag, next_attempt = 0"
    " FROM unnest(%(ids)s::text[], %(tags)s::float8[]) AS t (queue_id, tag)"
    " WHERE m.queue_id = t.queue_id AND m.state = 'queued' AND m.tag IS NULL AND EXISTS (SELECT FROM fence)"
    " RETURNING m.queue_id"
)
# Without its tag it gets a new place among those who arrive now; `next_attempt` keeps the order until then.
_PROMOTE = (
    f"{FENCE} UPDATE relay.message SET state = 'queued', tag = NULL WHERE queue_id IN ("
    " SELECT queue_id FROM relay.message WHERE state = 'delayed' AND next_attempt <= %(now)s"
    " ORDER BY next_attempt LIMIT %(most)s) AND state = 'delayed' AND EXISTS (SELECT FROM fence)"
    " RETURNING queue_id"
)
_FIRST_DUE = "SELECT min(next_attempt) FROM relay.message WHERE state = 'delayed' AND next_attempt < %s"
_LOOK = f"SELECT EXISTS (SELECT FROM relay.message WHERE state = 'queued' AND tag IS NULL), ({_FIRST_DUE})"
_HEADS = (
    "SELECT h.tag, h.queue_id, a.account, h.flow FROM unnest(%s::text[]) AS a (account), LATERAL ("
    " SELECT tag, queue_id, flow FROM relay.message m WHERE m.state = 'queued' AND m.account = a.account"
    " AND m.tag IS NOT NULL AND m.queue_id <> ALL (%s::text[]) ORDER BY m.tag, m.queue_id LIMIT 1) AS h"
)
# From account to account by the index: with a million waiting, DISTINCT would read them all.
_FIRST_TAGS = (
    "WITH RECURSIVE first AS ("
    " (SELECT account, tag FROM relay.message WHERE state = 'queued' AND tag IS NOT NULL"
    " ORDER BY account, tag LIMIT 1) UNION ALL"
    " SELECT n.account, n.tag FROM first, LATERAL (SELECT account, tag FROM relay.message"
    " WHERE state = 'queued' AND tag IS NOT NULL AND account > first.account"
    " ORDER BY account, tag LIMIT 1) AS n) SELECT account, tag FROM first"
)


@dataclass(slots=True)
class Claimed:
    """A message that was given out."""

    token: str
    account: str
    before: str = ""  # what stands in the row until the attempt starts
    started: list[int] = field(default_factory=list)  # its requests
    doubtful: list[int] = field(default_factory=list)  # those that were not sent, and may stand in the table


class Scheduler:
    """Hands out messages, each to one claim at a time."""

    def __init__(self, database: Database, node: Node) -> None:
        self._database = database
        self._node = node
        self._ranks = Ranks()
        self._shares = Shares()
        self._prefix = str(node.token)  # tells whose claim it is, also to the next sender
        self._number = 0
        self._turn = asyncio.Lock()
        self.claimed: dict[str, Claimed] = {}
        self.due: float | None = None  # when the first delayed message is due, seconds since the epoch
        self._is_new = True  # whether something may wait to be admitted
        self._term = 0  # in which the ranks were learned

    def expect(self) -> None:
        """Something may wait to be admitted."""
        self._is_new = True

    async def _load(self) -> None:
        """Begin where the last sender ended. Raises SpoolError."""
        term = self._node.term
        if self._term == term:
            return
        self._ranks, self._shares = Ranks(), Shares()
        self._is_new = True
        for account, tag in await self._database.read(_FIRST_TAGS):
            self._ranks.serve(account, tag)
        await self._look_ahead()
        self._term = term

    async def _look_ahead(self) -> None:
        self.due = (await self._database.read(_FIRST_DUE, (BEYOND_TIME,)))[0][0]

    def plan(self, due: float) -> None:
        """A message was delayed until then."""
        self.due = due if self.due is None else min(self.due, due)

    async def next(self, accounts: Collection[str], now: float) -> str | None:
        """Claim the message whose turn it is; its queue id. Raises SpoolError."""
        # Two who looked at once would see the same message, and both would claim it.
        async with self._turn:
            return await self._next(accounts, now)

    async def _next(self, accounts: Collection[str], now: float) -> str | None:
        await self._load()
        if self.due is not None and self.due <= now:
            await self._promote(now)
        if self._is_new:
            await self._admit()
        heads = await self._database.read(_HEADS, (list(accounts), list(self.claimed)))
        best = self._shares.choose((tag, queue_id, account, flow) for tag, queue_id, account, flow in heads)
        if best is None:
            return None
        tag, queue_id, account, _ = best
        self._ranks.serve(account, tag)
        self.claim(queue_id, account)
        return queue_id

    async def _promote(self, now: float) -> None:
        values = {**self._node.fence, "now": now, "most": _MOST_PROMOTED}
        await self._database.write_soon(_PROMOTE, values)
        self._is_new = True
        await self._look_ahead()

    async def look(self) -> bool:
        """Look at what waits, whatever is remembered of it; whether something is new.

        Another node may have put a message, or the server may have lost the asynchronous commit of an
        admission or of a promotion. Raises SpoolError.
        """
        before, was_new = self.due, self._is_new
        ((is_new, due),) = await self._database.read(_LOOK, (BEYOND_TIME,))
        if (self.due, self._is_new) != (before, was_new):
            return True  # it has changed meanwhile, and this look may be older
        self._is_new, self.due = is_new, due
        return bool(is_new or due != before)

    async def _admit(self) -> None:
        """Give a tag to what was put since."""
        self._is_new = False
        try:
            found = await self._database.read(_NEW, (_MOST_ADMITTED,))
            if not found:
                return
            await self._learn({(account, flow) for _, account, flow in found})
            tags = [self._ranks.rank(account, flow, lambda: 0.0) for _, account, flow in found]
            ids = [queue_id for queue_id, _, _ in found]
            await self._database.write_soon(_ADMIT, {**self._node.fence, "ids": ids, "tags": tags})
            self._is_new = len(found) == _MOST_ADMITTED
        except BaseException:
            self._is_new = True
            raise

    async def _learn(self, lanes: set[tuple[str, str]]) -> None:
        """Look up the last tags of flows that have none in memory."""
        unknown = [lane for lane in lanes if not self._ranks.knows(*lane)]
        if not unknown:
            return
        accounts, flows = [account for account, _ in unknown], [flow for _, flow in unknown]
        for account, flow, tag in await self._database.read(_LAST_TAGS, (accounts, flows)):
            self._ranks.learn(account, flow, tag)

    def claim(self, queue_id: str, account: str) -> Claimed:
        """A message is given out."""
        self._number += 1
        self.claimed[queue_id] = claimed = Claimed(f"{self._prefix}-{self._number}", account)
        return claimed

    def find(self, queue_id: str, token: str) -> Claimed | None:
        """The claim, if it is still the message's."""
        claimed = self.claimed.get(queue_id)
        return claimed if claimed is not None and claimed.token == token else None
