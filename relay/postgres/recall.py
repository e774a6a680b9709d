"""Submissions that come again (RFC 1047), looked up for many sessions at once."""

import asyncio

from relay.postgres import statements
from relay.postgres.database import Database
from relay.postgres.node import Node
from relay.spool import SpoolError
from relay.spool.rows.unacknowledged import LIFE

_AGAIN = 0.25  # seconds between looks at a session of another node


class Recall:
    """Finds the message that a submission repeats."""

    def __init__(self, database: Database, node: Node, patience: float) -> None:
        """Args:
        database: where they are looked up.
        node: that answers for what it finds.
        patience: seconds after which no put is under way any more.
        """
        self._database = database
        self._node = node
        self._patience = patience
        # What this node takes over is among its own a little later than in the table.
        self._taking_over = asyncio.Lock()
        self._asked: dict[str, asyncio.Future[bool]] = {}  # by fingerprint; looked up in one statement
        self._looking: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Future[None]] = set()  # sessions whose end is being written
        self._open: set[str] = set()  # messages that sessions of this node are to answer for

    def open(self, queue_id: str) -> None:
        """A session of this node answers for this message."""
        self._open.add(queue_id)

    def close(self, queue_id: str) -> None:
        """None does any more."""
        self._open.discard(queue_id)

    def end(self, queue_id: str, written: "asyncio.Future[None]") -> None:
        """A session has ended without its reply; `written`: the table says so."""
        self.close(queue_id)
        self._ending.add(written)
        written.add_done_callback(self._ending.discard)

    async def end_forgotten(self) -> None:
        """Have the table know of sessions that are over. Raises SpoolError."""
        async with self._taking_over:
            values = {"node": self._node.token, "open": [*self._open], "patience": self._patience}
            await self._database.write(statements.END_FORGOTTEN, values)

    async def find(self, fingerprint: str) -> str | None:
        """The message of this fingerprint whose reply was never heard; this node answers for it now.

        Raises:
            SpoolError: the database does not answer.
        """
        if self._ending:
            await asyncio.wait(set(self._ending))
        if not await self._is_known(fingerprint):
            return None
        values = {
            "fingerprint": fingerprint,
            "node": self._node.token,
            "home": self._node.home,
            "life": LIFE,
            "silent": self._node.silence,
        }
        while True:
            async with self._taking_over:
                found = await self._database.write(statements.RECALL, {**values, "open": [*self._open]})
                if found:
                    queue_id: str = found[0][0]
                    self.open(queue_id)
                    return queue_id
            ((is_open,),) = await self._database.read(statements.IS_OPEN, values)
            if not is_open:
                return None
            # Never new mail while another node's session may end without a reply.
            await asyncio.sleep(_AGAIN)

    async def _is_known(self, fingerprint: str) -> bool:
        """Whether it may repeat a message: almost never, which one statement finds out for all who ask."""
        asked = self._asked.get(fingerprint)
        if asked is None:
            asked = self._asked[fingerprint] = asyncio.get_running_loop().create_future()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(asked)

    async def _look(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            try:
                values = {"fingerprints": [*asked], "node": self._node.token, "open": [*self._open]}
                known = {row[0] for row in await self._database.read(statements.KNOWN, values)}
            except SpoolError as error:
                for future in asked.values():
                    future.set_exception(error)
                    future.exception()  # whoever asked may have gone
            else:
                for fingerprint, future in asked.items():
                    future.set_result(fingerprint in known)
        self._looking = None
