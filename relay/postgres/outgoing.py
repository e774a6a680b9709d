"""The courier's half of the contract: claims, what is started, how it ends. Only the sender begins anything.

A commit in doubt is resolved by a write to its row whose own commit is waited for, because the server's log
is in order: what this write finds is kept.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import structlog
from typing_extensions import override

from relay.outcome import Action, Outcome
from relay.postgres import statements
from relay.postgres.database import Database
from relay.postgres.incoming import Incoming
from relay.postgres.node import Node, make_token
from relay.postgres.queries import OperatorHalf
from relay.postgres.server import InDoubt
from relay.postgres.words import Words
from relay.postgres.writer import Put
from relay.spool import Claim, Interrupted, Notice, Settlement, SpoolError, State, Topic, Word
from relay.spool.rows.arrival import make_entry
from relay.spool.rows.codecs import Damaged, dump_json, dump_outcome, read_entry
from relay.spool.rows.interrupted import outcome_of

log = structlog.get_logger("spool")
Report = Callable[[str, str], None]
_CLAIMED = (
    f"SELECT claim, {statements.COLUMNS} FROM relay.message"
    " WHERE queue_id = %s AND state IN ('queued', 'sending')"
)
_ENDED = "SELECT recipients, outcome, started FROM relay.request WHERE queue_id = %s AND outcome IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Ends:
    """When a request has certainly ended whose node is not the sender any more, in seconds.

    Its last octet has left before the lease was over, or never does: see `check_term`.
    """

    within: float = 240.0  # after the lease was taken from its node
    by_octet: float = 0.0  # more, for each octet of the message


class CourierHalf(OperatorHalf):
    """Gives out messages, and takes back how they ended.

    Args:
        database: where they are.
        node: this one.
        incoming: the door's half: it puts notices, and knows who waits for verdicts.
        words: by which others hear of it.
        ends: when another node's requests have certainly ended.
        report: told of a message that was set aside: its queue id, and a sentence.
    """

    def __init__(
        self,
        database: Database,
        node: Node,
        incoming: Incoming,
        words: Words,
        ends: Ends,
        report: Report | None,
    ) -> None:
        super().__init__(database, node, incoming, words)
        self._ends = ends
        self._report = report or (lambda *_: None)

    @override
    async def interrupted(self) -> Sequence[Interrupted]:
        known = {
            "claimed": [*self._turns.claimed],
            "sends_for": self._node.sends_for,
            "within": self._ends.within,
            "by_octet": self._ends.by_octet,
            "home": self._node.home,
        }
        found: list[Interrupted] = []
        for queue_id, account in await self._database.read(statements.INTERRUPTED, known):
            if queue_id in self._turns.claimed:
                continue
            token = self._turns.claim(queue_id, account).token
            try:
                values = {**self._node.fence, "queue_id": queue_id, "claim": token}
                taken = await self._database.write(statements.TAKE_OVER, values)
            except BaseException:
                self._turns.claimed.pop(queue_id, None)
                raise
            if not taken:
                self._turns.claimed.pop(queue_id, None)  # it has been settled just now
            elif (claim := await self._lease(queue_id)) is not None:
                attempts = await self.attempts(queue_id)
                found.append(Interrupted(claim, outcome_of(claim.entry, attempts)))
        return found

    @override
    async def claim(self, accounts: Collection[str], now: float) -> Claim | None:
        if not self.room().sending:
            return None
        while (queue_id := await self._turns.next(accounts, now)) is not None:
            if (claim := await self._lease(queue_id)) is not None:
                return claim
        return None

    async def _lease(self, queue_id: str) -> Claim | None:
        """The claim of a claimed message; None if it is damaged and now set aside, or not there any more."""
        try:
            return await self._load(queue_id)
        except Damaged as damage:
            await self._set_aside(queue_id, str(damage))
        except BaseException:
            self._turns.claimed.pop(queue_id, None)
            raise
        return None

    async def _load(self, queue_id: str) -> Claim | None:
        claimed = self._turns.claimed[queue_id]
        rows = await self._database.read(_CLAIMED, (queue_id,))
        if not rows:
            self._turns.claimed.pop(queue_id, None)
            return None
        claimed.before, row = rows[0][0], rows[0][1:]
        entry = read_entry(row, await self._database.read(_ENDED, (queue_id,)))
        content = await self._fetch(entry)
        return Claim(entry, content, entry.attempts + 1, claimed.token, content.discard)

    async def _set_aside(self, queue_id: str, reason: str) -> None:
        values = {
            "queue_id": queue_id,
            "reason": f"damaged: {reason}",
            "detail": dump_json({"reason": reason}),
        }
        try:
            await self._database.write(statements.SET_ASIDE, values)
        except SpoolError as error:
            # It stays claimed, so nobody waits behind it, and the next start finds it again.
            log.error("damaged message cannot be marked", queue_id=queue_id, reason=str(error))
        else:
            self._turns.claimed.pop(queue_id, None)
        log.error("message set aside: it is damaged", queue_id=queue_id, reason=reason)
        self._report(queue_id, reason)

    @override
    def next_due(self) -> float | None:
        return self._turns.due

    @override
    async def start(
        self, claim: Claim, request: int, recipients: Sequence[str], ended: Outcome | None = None
    ) -> None:
        queue_id = claim.entry.queue_id
        claimed = self._turns.find(queue_id, claim.token)
        if claimed is None:
            raise SpoolError(
                f"{queue_id} is not to be sent by this node: another one sends, or it was dealt with"
            )
        values = {
            **self._node.fence,
            **statements.claim_values(claim, claimed.before),
            "number": request,
            "attempt": claim.attempt,
            "recipients": dump_json(list(recipients)),
            "how_many": len(recipients),
            "ended": None if ended is None else dump_outcome(ended),
        }
        try:
            begun = await self._database.write(statements.START, values)
        except InDoubt:
            claimed.doubtful.append(request)
            raise
        if not begun:
            raise SpoolError(
                f"{queue_id} is not to be sent by this node: another one sends, or it was dealt with"
            )
        claimed.started.append(request)
        try:
            self.check_term()
        except SpoolError:
            # The commit took longer than the lease: another node may have judged it already.
            claimed.doubtful.append(request)
            raise

    @override
    def check_term(self) -> None:
        if not self._node.is_sender:
            raise SpoolError("this node is not the sender any more")

    @override
    async def record(self, claim: Claim, request: int, outcome: Outcome) -> None:
        values = {
            **statements.claim_values(claim, ""),
            "number": request,
            "outcome": dump_outcome(outcome),
        }
        await self._database.finish(self._record(values, known=outcome.action is not Action.UNKNOWN))

    async def _record(self, values: dict[str, object], *, known: bool) -> None:
        written = await self._database.insist(lambda: self._database.write(statements.RECORD, values))
        if written or not known:
            return
        # Another node has judged it unknown, and this word comes late.
        values["late"] = f"{self._node.token}-late-{make_token()}"
        if await self._database.insist(lambda: self._database.write(statements.RECORD_LATE, values)):
            log.warning("what was unknown is known after all", queue_id=values["queue_id"])
            self._tell_new(Word(Topic.NEW, str(values["queue_id"])))

    @override
    async def settle(
        self, claim: Claim, settlement: Settlement, ended: tuple[int, Outcome] | None = None
    ) -> bool:
        return await self._end(claim, settlement, ended=ended)

    @override
    async def settle_heard(self, claim: Claim, settlement: Settlement) -> bool:
        return await self._end(claim, settlement, heard=True)

    @override
    async def settle_and_tell(self, claim: Claim, settlement: Settlement, notice: Notice) -> str:
        entry = make_entry(self._incoming.ids.make(), notice.submission, notice.account)
        put = Put(entry, notice.submission.content, self._node.token)
        with notice.submission.content.map() as mapped:
            octets = bytes(mapped)  # small: the configuration limits what is attached to a notice
        told = statements.notice_values(put, octets, notice.to)
        written = await self._end(claim, settlement, notice=told)
        notice.submission.content.discard()
        if not written:
            return ""
        self._tell_new(Word(Topic.NEW, entry.queue_id, notice.account, entry.envelope.line))
        return entry.queue_id

    async def _end(
        self,
        claim: Claim,
        settlement: Settlement,
        *,
        ended: tuple[int, Outcome] | None = None,
        heard: bool = False,
        notice: dict[str, object] | None = None,
    ) -> bool:
        """Write how a claim ends, even if whoever asks is cancelled; whether it was still the message's."""
        claimed = self._turns.find(claim.entry.queue_id, claim.token)
        if claimed is None:
            return False
        query = statements.settle(settlement, ended=ended is not None, heard=heard, notice=notice is not None)
        values = {
            **statements.claim_values(claim, claimed.before),
            **statements.settle_values(settlement, ended),
            "node": self._node.token,
            **(notice or {}),
        }
        return await self._database.finish(self._settle(claim, settlement, query, values, heard=heard))

    async def _settle(
        self, claim: Claim, settlement: Settlement, query: str, values: dict[str, object], *, heard: bool
    ) -> bool:
        await self._undo_doubtful_starts(claim)
        queue_id, doubtful = claim.entry.queue_id, False

        async def write() -> list[tuple[int | None]] | None:
            nonlocal doubtful
            if doubtful:
                found = await self._database.write(statements.CONFIRM, (queue_id,))
                doubtful = False
                if found and found[0][2] == claim.token and found[0][1] != State.SENDING:
                    return [(self._node.token,)]  # it was written; whoever waits finds it by looking
            try:
                return await self._database.write(query, values)
            except InDoubt:
                doubtful = True
                raise

        written = await self._database.insist(write)
        if not written:
            if not heard:
                self._forget(claim)  # it is another node's by now, and may come back
            return False
        self._over(claim, settlement)
        if (waiter := written[0][0]) is not None:
            self._incoming.waiters.tell(queue_id, waiter)
        return True

    async def _undo_doubtful_starts(self, claim: Claim) -> None:
        """What was never sent was never started, also where nobody knows what the table says."""
        claimed = self._turns.find(claim.entry.queue_id, claim.token)
        if claimed is None or not claimed.doubtful:
            return
        values = {
            **statements.claim_values(claim, claimed.before),
            "numbers": claimed.doubtful,
            "reset": not set(claimed.started) - set(claimed.doubtful),
        }
        await self._database.insist(lambda: self._database.write(statements.UNDO_START, values))
        claimed.doubtful, claimed.before = [], claim.token

    def _over(self, claim: Claim, settlement: Settlement) -> None:
        if settlement.state is State.DELAYED:
            self._turns.plan(settlement.next_attempt)
        self._turns.claimed.pop(claim.entry.queue_id, None)

    @override
    async def abandon(self, claim: Claim) -> None:
        await self._database.finish(self._abandon(claim))

    async def _abandon(self, claim: Claim) -> None:
        await self._undo_doubtful_starts(claim)
        self._forget(claim)

    def _forget(self, claim: Claim) -> None:
        """It is not given out any more, if this claim is the last one of it."""
        if self._turns.find(claim.entry.queue_id, claim.token) is not None:
            self._turns.claimed.pop(claim.entry.queue_id, None)
