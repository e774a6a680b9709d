"""The spool of one node: SQLite in WAL mode, one writing connection, large content in files.

What a crash must not forget is written by `put`, `start`, `record` and `settle`; everything that is only
in memory (leases, ranks, the latest messages' octets) can be had again from the tables.
"""

import asyncio
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import structlog
from typing_extensions import override

from relay.envelope import Content, Submission
from relay.host.clock import Clock, SteadyClock
from relay.host.content import ContentWriter
from relay.outcome import Action, Outcome
from relay.reply import Reply
from relay.spool import (
    GONE,
    NOT_HEARD,
    Claim,
    Entry,
    Interrupted,
    Notice,
    Room,
    Settlement,
    SpoolDamaged,
    SpoolError,
    SpoolFull,
    State,
    Topic,
    Word,
)
from relay.spool.fairness import Turn
from relay.spool.ids import Ids
from relay.spool.rows.arrival import make_entry
from relay.spool.rows.codecs import Damaged, dump_json, find, load_attempts, load_entry, make_fingerprint
from relay.spool.rows.interrupted import outcome_of
from relay.spool.rows.unacknowledged import LIFE
from relay.spool.sqlite import statements
from relay.spool.sqlite.database import Database
from relay.spool.sqlite.disk import DiskSpace
from relay.spool.sqlite.files import IN_ROW
from relay.spool.sqlite.findings import Findings, Report
from relay.spool.sqlite.maintenance import Maintenance, begin_time, mark_time
from relay.spool.sqlite.ownership import Ownership
from relay.spool.sqlite.queries import Queries
from relay.spool.sqlite.statements import insert
from relay.spool.sqlite.waiters import Waiters

log = structlog.get_logger("spool")
_MEGABYTE = 1024 * 1024
_BREATH = 0.01  # seconds between two pieces of work that can wait


class SqliteSpool(Queries):
    """The contract of `relay.spool`, on one SQLite database in `folder`.

    Args:
        folder: made if it is not there.
        keep_free: octets; with less left on the disk nothing new is accepted.
        reserve: octets, given up to write down what happened when the disk is full.
        report: told of what was set aside: a message whose row or content is damaged, a file that no row
            knows; its queue id, and a sentence.
        clock: the clocks.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep_free: int = 50 * _MEGABYTE,
        reserve: int = 8 * _MEGABYTE,
        report: Report | None = None,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or Clock()
        self._space = DiskSpace(folder, keep_free, reserve)
        self._ownership = Ownership(folder)
        database = Database(folder, self._space, clock.wall, self._hear, self._ownership)
        super().__init__(folder, self._space, database, SteadyClock(clock))
        self._ids = Ids()
        self._waiters = Waiters(self._say)
        self._findings = Findings(report)

    @override
    def exists(self) -> bool:
        return self._ownership.database.exists()

    @override
    async def open(self, *, stands: bool = True) -> None:
        del stands  # whoever has the folder's lock is the only one
        await asyncio.to_thread(self._prepare_folder)
        try:
            await self._writer.start(self._load_all)
        except BaseException:
            self._ownership.release()
            raise

    def _hear(self, news: str) -> None:
        # In the writer's thread.
        self._writer.call_soon(lambda: self._go_on(news))

    def _go_on(self, news: str) -> None:
        self._scheduler.doubt_all()
        self._scheduler.recent.clear_all()  # content may be gone
        self._findings.tell_when_heard("spool.db", news)

    def _prepare_folder(self) -> None:
        self._ownership.take()
        try:
            self._files.prepare()
        except SpoolError:
            self._ownership.release()
            raise
        self._space.restore()

    def _load_all(self, connection: sqlite3.Connection) -> None:
        self._scheduler.load(connection)
        begin_time(connection, self._scheduler)
        self._unheard.load(connection)

    @property
    @override
    def term(self) -> int:
        return 1

    @property
    @override
    def board(self) -> None:
        return None

    @override
    async def hand_over(self) -> None:
        """There is nobody to hand it over to."""

    @override
    async def close(self) -> None:
        await self._reader.close()
        await self._writer.stop()
        await self._files.settle()
        self._ownership.release()

    @override
    def writer(self) -> ContentWriter:
        return self._files.writer()

    @override
    def room(self) -> Room:
        return self._space.look()

    # The door's half.

    @override
    async def put(self, submission: Submission, account: str, *, waits: bool = False) -> str:
        queue_id = self._admit()
        self._files.keeping.add(queue_id)
        if waits:
            self._waiters.open(queue_id)
        try:
            submission = await self._keep(queue_id, submission)
            entry = make_entry(queue_id, submission, account)
            fingerprint = make_fingerprint(submission) if submission.envelope.client_address else ""

            def write(c: sqlite3.Connection) -> Turn:
                self._space.check()
                return insert(c, self._scheduler, entry, submission.content, fingerprint)

            turn = await self._commit(write)
        except BaseException as error:
            await self._waiters.close(queue_id)
            if isinstance(error, SpoolError):
                submission.content.discard()
            else:
                # The row may be committed all the same, and then only the table knows of it.
                self._scheduler.doubt(account)
            raise
        finally:
            self._files.keeping.discard(queue_id)
        if fingerprint:
            self._unheard.open(queue_id, fingerprint)
        if not submission.hold:
            self._scheduler.recent.add(entry, submission.content)
            self._scheduler.put(turn)
            self._say(Word(Topic.NEW, queue_id, account, submission.envelope.line))
        return queue_id

    def _admit(self) -> str:
        """The queue id of a message for which there is room."""
        self._space.check()
        if not self._space.look().accepting:
            raise SpoolFull("less is free on the spool's disk than keep_free says")
        return self._ids.make()

    async def _keep(self, queue_id: str, submission: Submission) -> Submission:
        if submission.content.path is None and submission.content.size <= IN_ROW:
            return submission
        content = await asyncio.to_thread(self._files.keep, submission.content, queue_id)
        return replace(submission, content=content)

    @override
    async def _find_submitted(self, submission: Submission) -> str | None:
        if not self._unheard.any_ended:
            return None
        return self._unheard.recall(make_fingerprint(submission), self._clock.wall())

    @override
    def replied(self, queue_id: str, answer: Reply) -> None:
        self._unheard.forget(queue_id)
        self._follow_clock()
        now = self._clock.wall()
        self._writer.follow(lambda c: statements.end_session(c, queue_id, answer, now))

    @override
    def unheard(self, queue_id: str) -> None:
        self._unheard.end(queue_id, self._clock.wall())
        self.note(queue_id, NOT_HEARD)

    # The courier's half.

    @override
    async def interrupted(self) -> Sequence[Interrupted]:
        def read(c: sqlite3.Connection) -> list[str]:
            return [row[0] for row in c.execute("SELECT queue_id FROM message WHERE state = 'sending'")]

        found: list[Interrupted] = []
        for queue_id in await self._writer.read(read):
            if queue_id in self._scheduler.claimed:
                continue
            token = self._scheduler.claim(queue_id)
            await self._commit(lambda c, one=queue_id, by=token: statements.take_over(c, one, by))  # type: ignore[misc]
            claim = await self._lease(queue_id)
            if claim is not None:
                requests = await self._writer.read(lambda c, one=queue_id: load_attempts(c, one))  # type: ignore[misc]
                found.append(Interrupted(claim, outcome_of(claim.entry, requests)))
        return found

    @override
    async def claim(self, accounts: Collection[str], now: float) -> Claim | None:
        if not self._space.look().sending:
            return None
        if self._follow_clock():
            await self._writer.catch_up()
        if self._scheduler.due is not None and self._scheduler.due <= now:
            await self._commit(lambda c: self._scheduler.promote(c, now))
        known, claim = self._claim_fresh(accounts)
        return claim if known else await self._claim_stored(accounts)

    def _claim_fresh(self, accounts: Collection[str]) -> tuple[bool, Claim | None]:
        """Whether memory alone can tell what is next; and if so the claim, None if nothing waits."""
        known, queue_id = self._scheduler.next_fresh(accounts)
        if queue_id is None:
            return known, None
        fresh = self._scheduler.recent.take(queue_id)
        if fresh is not None and self._files.is_there(fresh[1]):
            return True, self._make_claim(*fresh)
        # The message was changed since, or did not fit the cache: the table knows.
        self._scheduler.claimed.pop(queue_id, None)
        self._scheduler.doubt_all()
        return False, None

    async def _claim_stored(self, accounts: Collection[str]) -> Claim | None:
        while True:
            asked = self._writer.read(lambda c: self._scheduler.next(c, accounts))
            try:
                queue_id = await asyncio.shield(asked)
            except asyncio.CancelledError:
                asked.add_done_callback(self._give_back)
                raise
            if queue_id is None:
                return None
            if (claim := await self._lease(queue_id)) is not None:
                return claim

    def _give_back(self, asked: "asyncio.Future[str | None]") -> None:
        if not asked.cancelled() and asked.exception() is None:
            self._scheduler.claimed.pop(asked.result() or "", None)
            self._scheduler.doubt_all()

    async def _lease(self, queue_id: str) -> Claim | None:
        """The claim of a claimed message; None if it is damaged, and now set aside."""
        known = self._scheduler.recent.take(queue_id)
        if known is not None and self._files.is_there(known[1]):
            return self._make_claim(*known)
        try:
            entry, content = await self._writer.read(lambda c: self._load(c, queue_id))
            is_whole = self._scheduler.recent.verified(queue_id) and self._files.is_there(content)
            if content.path is not None and not is_whole:
                await asyncio.to_thread(self._files.verify, content)
                self._scheduler.recent.verify(queue_id)
        except (Damaged, SpoolDamaged) as damage:
            await self._set_aside(queue_id, str(damage))
            return None
        except BaseException:
            self._scheduler.claimed.pop(queue_id, None)
            self._scheduler.doubt_all()
            raise
        return self._make_claim(entry, content)

    def _make_claim(self, entry: Entry, content: Content) -> Claim:
        return Claim(entry, content, entry.attempts + 1, self._scheduler.claimed[entry.queue_id])

    def _load(self, c: sqlite3.Connection, queue_id: str) -> tuple[Entry, Content]:
        try:
            row = find(c, queue_id)
            if row is None:
                raise Damaged("its row is gone")
            return load_entry(c, row), statements.load_content(c, self._files, row)
        except (sqlite3.OperationalError, sqlite3.DataError) as error:
            # The database's own damage is not caught here: the writer mends it, and reads again.
            raise Damaged(f"the database cannot read it: {error}") from error

    async def _set_aside(self, queue_id: str, reason: str) -> None:
        try:
            if not await self._writer.write(lambda c: statements.set_aside(c, queue_id, reason)):
                return  # it has been relayed since somebody looked
        except SpoolError as error:
            # It stays claimed, so nobody waits behind it, and the next start finds it again.
            log.error("damaged message cannot be marked", queue_id=queue_id, reason=str(error))
        else:
            self._scheduler.claimed.pop(queue_id, None)
        self._scheduler.recent.forget(queue_id)
        log.error("message set aside: it is damaged", queue_id=queue_id, reason=reason)
        self._findings.tell(queue_id, reason)

    @override
    def next_due(self) -> float | None:
        return self._scheduler.due

    @override
    async def start(
        self, claim: Claim, request: int, recipients: Sequence[str], ended: Outcome | None = None
    ) -> None:
        if not self._space.look().sending:
            raise SpoolFull("no room to write down how it ends")
        queue_id, told = claim.entry.queue_id, dump_json(list(recipients))

        def write(c: sqlite3.Connection) -> None:
            if not self._is_current(claim) or not statements.begin(c, claim):
                raise SpoolError(f"{queue_id} is not there to be sent any more")
            statements.start_request(c, claim, request, told, self._clock.wall())
            if ended is not None:
                statements.end_request(c, claim, request, ended, self._clock.wall())

        await self._commit(write)

    @override
    def check_term(self) -> None:
        """Nobody else can be."""

    @override
    async def record(self, claim: Claim, request: int, outcome: Outcome) -> None:
        written = self._writer.insist(
            lambda c: statements.end_request(c, claim, request, outcome, self._clock.wall())
        )
        if outcome.action is Action.RELAYED:
            # A session that hears so now has been told the truth. After a crash the request is one whose end
            # nobody knows, as it would be if the session had waited. An error is in the writer's log.
            written.add_done_callback(lambda done: done.cancelled() or done.exception())
        else:
            await written

    def _is_current(self, claim: Claim) -> bool:
        """Whether nobody else has claimed the message since."""
        return self._scheduler.claimed.get(claim.entry.queue_id) == claim.token

    @override
    async def settle(
        self, claim: Claim, settlement: Settlement, ended: tuple[int, Outcome] | None = None
    ) -> bool:
        if not self._is_current(claim):
            return False
        self._waiters.bind(claim.entry.queue_id)

        def write(c: sqlite3.Connection) -> bool:
            if ended is not None:
                statements.end_request(c, claim, *ended, self._clock.wall())
            return statements.settle(c, claim, settlement, self._clock.wall())

        self._follow_clock()
        if settlement.state is State.RELAYED and ended is None:
            # It follows from what `record` wrote: a crash before the commit loses nothing.
            self._writer.follow(write, lambda: self._over(claim, settlement))
            self._waiters.tell(claim.entry.queue_id, settlement)
            return True
        return await self._end(claim, settlement, self._writer.insist(write))

    @override
    async def settle_heard(self, claim: Claim, settlement: Settlement) -> bool:
        waits = self._is_current(claim) and self._waiters.bind(claim.entry.queue_id)
        return waits and await self.settle(claim, settlement)

    @override
    async def settle_and_tell(self, claim: Claim, settlement: Settlement, notice: Notice) -> str:
        queue_id = self._ids.make()
        self._files.keeping.add(queue_id)
        self._waiters.bind(claim.entry.queue_id)
        try:
            submission = await self._keep(queue_id, notice.submission)
            entry = make_entry(queue_id, submission, notice.account)

            def write(c: sqlite3.Connection) -> bool:
                if not self._is_current(claim) or not statements.settle(
                    c, claim, settlement, self._clock.wall()
                ):
                    return False
                insert(c, self._scheduler, entry, submission.content)
                statements.note(c, claim.entry.queue_id, "notice", {"to": notice.to, "notice": queue_id})
                return True

            self._follow_clock()
            written = await self._end(claim, settlement, self._writer.insist(write))
        finally:
            self._files.keeping.discard(queue_id)
            self._scheduler.doubt(notice.account)
        if not written:
            submission.content.discard()
            return ""
        self._say(Word(Topic.NEW, queue_id, notice.account, submission.envelope.line))
        return queue_id

    async def _end(self, claim: Claim, settlement: Settlement, written: "asyncio.Future[bool]") -> bool:
        """Wait until the end is written, and tell whoever waits for it, even if the caller is cancelled."""

        def end(_: object) -> None:
            done = not written.cancelled() and written.exception() is None and written.result()
            if done:
                self._over(claim, settlement)
            self._waiters.tell(claim.entry.queue_id, settlement if done else None)

        written.add_done_callback(end)
        return await asyncio.shield(written)

    def _over(self, claim: Claim, settlement: Settlement) -> None:
        queue_id = claim.entry.queue_id
        if settlement.state is State.DELAYED:
            self._scheduler.plan(settlement.next_attempt)
        if settlement.state is State.QUEUED:
            self._scheduler.give_back(queue_id, claim.entry.account)
        self._scheduler.claimed.pop(queue_id, None)
        if settlement.state in GONE:
            self._scheduler.recent.forget(queue_id)
            if claim.content.path is not None:
                self._files.discard_soon(claim.content)

    # Who waits for a verdict.

    @override
    async def start_waiting(self, queue_id: str) -> bool:
        self._waiters.open(queue_id)
        entry = await self.show(queue_id)
        if entry.state in (State.QUEUED, State.SENDING):
            return True
        await self._waiters.close(queue_id)
        return False

    @override
    async def stop_waiting(self, queue_id: str) -> Settlement | None:
        return await self._waiters.close(queue_id)

    @override
    async def abandon(self, claim: Claim) -> None:
        self._scheduler.give_back(claim.entry.queue_id, claim.entry.account)

    @override
    async def tend(self, keep_failed: float, keep_history: float) -> None:
        self._findings.begin()
        tending = Maintenance(self._reader, self._files, self._findings.tell)
        await tending.run(
            self._set_aside_unclaimed,
            lambda: self._forget(keep_failed, keep_history),
            lambda: self._commit(mark_time),
        )

    async def _forget(self, keep_failed: float, keep_history: float) -> None:
        now = self._clock.now()
        # The budget of a mailbox looks back a day, whatever the history's length.
        history = now - max(keep_history, LIFE)
        while await self.purge(history, now - keep_failed):  # noqa: ASYNC110 - pieces of work, no event
            await asyncio.sleep(_BREATH)
        for queue_id in self._unheard.expire(now - LIFE):
            self._writer.follow(lambda c, gone=queue_id: statements.forget_unheard(c, gone))  # type: ignore[misc]

    @override
    async def purge(self, relayed_before: float, failed_before: float) -> int:
        claimed = self._scheduler.claimed
        ids = await self._commit(lambda c: statements.purge(c, relayed_before, failed_before, claimed))
        for queue_id in ids:
            await asyncio.to_thread(self._files.remove, queue_id)
        return len(ids)

    async def _set_aside_unclaimed(self, queue_id: str, reason: str) -> None:
        # Whoever has claimed it will find the damage.
        if queue_id not in self._scheduler.claimed:
            await self._set_aside(queue_id, reason)
