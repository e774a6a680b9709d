"""The door's half of the contract: what is put, what comes again, and who waits for a verdict."""

import asyncio
from dataclasses import replace
from typing import NoReturn

from relay.envelope import Submission
from relay.host.clock import time_since_boot
from relay.postgres import statements
from relay.postgres.database import Database
from relay.postgres.node import Node
from relay.postgres.recall import Recall
from relay.postgres.server import InDoubt, Unreachable
from relay.postgres.waiters import Waiters
from relay.postgres.words import Words
from relay.postgres.writer import Conflict, Put, Writer
from relay.reply import Reply
from relay.spool import NOT_HEARD, REPLIED, Settlement, SpoolError, SpoolInDoubt
from relay.spool.ids import Ids
from relay.spool.rows.arrival import make_entry
from relay.spool.rows.codecs import (
    dump_envelope,
    dump_json,
    make_fingerprint,
    make_seal,
    tell_reply,
)

_AGAIN = 0.25  # seconds between tries of a put


class Incoming:
    """Keeps what the sessions of this node hand over.

    Args:
        database: where it is kept.
        node: that keeps it.
        words: by which verdicts are told.
        patience: seconds for what nobody knows to be kept.
    """

    def __init__(self, database: Database, node: Node, words: Words, patience: float) -> None:
        self._database = database
        self._node = node
        self._patience = patience
        self.ids = Ids()
        self._words = words
        self.writer = Writer(database)
        self.waiters = Waiters(database, node, words)
        self.recall = Recall(database, node, patience)

    async def put(self, submission: Submission, account: str, *, waits: bool) -> str:
        """Keep a message; its queue id.

        Raises:
            SpoolInDoubt: the patience is over, and nobody knows.
            TakenElsewhere: another node has kept an equal message since the client may have gone there.
            SpoolError: it is certainly not kept.
        """
        fingerprint = make_fingerprint(submission) if submission.envelope.client_address else ""
        entry = make_entry(self.ids.make(), submission, account)
        arrival = entry.arrival + self._node.clocks.ahead  # until when it is tried is judged by another node
        entry = replace(entry, arrival=arrival, since=arrival)
        since = self._node.clocks.to_database(submission.since or time_since_boot())
        put = Put(entry, submission.content, self._node.token, fingerprint=fingerprint, since=since)
        if waits:
            put.waiter = self._node.token
        try:
            await self._insist_on(put)
        except BaseException:
            self.recall.close(put.entry.queue_id)
            raise
        if waits:
            self.waiters.open(put.entry.queue_id)
        return put.entry.queue_id

    async def _insist_on(self, put: Put) -> None:
        """Put it until it is certainly kept."""
        doubtful, loop = False, asyncio.get_running_loop()
        give_up_at = loop.time() + self._patience
        while True:
            self.recall.open(put.entry.queue_id)
            try:
                if not (doubtful and await self._is_kept(put)):
                    await self.writer.put(put)
            except Conflict:
                if await self._database.insist(lambda: self._is_kept(put)):
                    return
                self.recall.close(put.entry.queue_id)
                put.entry, doubtful = replace(put.entry, queue_id=self.ids.make()), False
            except (InDoubt, Unreachable) as error:
                doubtful = doubtful or isinstance(error, InDoubt)
                if loop.time() >= give_up_at:
                    self._give_up(put, error, doubtful=doubtful)
                await asyncio.sleep(_AGAIN)
            else:
                return

    def _give_up(self, put: Put, error: SpoolError, *, doubtful: bool) -> NoReturn:
        if not doubtful:
            raise error
        # When it comes again it is recognised: the row will say so, if there is one.
        queue_id = put.entry.queue_id
        self._end_session(queue_id, statements.END_DOUBTFUL, (queue_id, put.fingerprint))
        raise SpoolInDoubt(queue_id) from error

    async def _is_kept(self, put: Put) -> bool:
        """Whether the row is there and will stay. Raises SpoolError: nobody knows yet."""
        entry = put.entry
        values = (entry.queue_id,)
        found = await self._database.write(statements.CONFIRM, values, pool=self._database.door)
        envelope = dump_envelope(entry.envelope)
        seal = make_seal(entry.queue_id, entry.account, envelope, entry.sha256, entry.size)
        return bool(found) and found[0][0] == seal

    def replied(self, queue_id: str, answer: Reply) -> None:
        """This reply was written: an equal submission is new mail."""
        values = (queue_id, self._node.token, queue_id, REPLIED, dump_json(tell_reply(answer)))
        written = self.writer.follow(statements.END_SESSION, values)
        # Not before: without its session the row would make a repetition of what is new.
        written.add_done_callback(lambda _: self.recall.close(queue_id))

    def forget_session(self, queue_id: str) -> None:
        """The session ended without our reply: an equal submission repeats this one."""
        self._end_session(queue_id, statements.END_UNHEARD, (queue_id,))

    def _end_session(self, queue_id: str, query: str, values: tuple[str, ...]) -> None:
        self.recall.end(queue_id, self.writer.follow(query, values))
        self.note(queue_id, NOT_HEARD)

    def note(self, queue_id: str, event: str, **detail: object) -> None:
        """Add to a message's trace, soon."""
        self.writer.follow(statements.NOTE, (queue_id, event, dump_json(detail)))

    async def stop_waiting(self, queue_id: str) -> Settlement | None:
        """Nobody waits any more; what whoever did is to say.

        Raises:
            SpoolInDoubt: it could not be written within the patience.
        """
        try:
            async with asyncio.timeout(self._patience):
                return await self.waiters.stop(queue_id)
        except TimeoutError:
            raise SpoolInDoubt(queue_id) from None
