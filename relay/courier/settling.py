"""The end of an attempt: it is written once, and whoever waits for it or must know of it is told."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import structlog

from relay import metrics
from relay.courier.attempt import Attempt
from relay.outcome import Action, Outcome
from relay.spool import Claim, Entry, Notice, Settlement, Spool, SpoolError, State

log = structlog.get_logger("courier")
T = TypeVar("T")
# When the spool will not, try again after so many seconds.
SPOOL_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class FailedMessage:
    """A message that failed after its 250: somebody has to be told."""

    claim: Claim
    outcome: Outcome
    refused: tuple[str, ...]  # recipients who will not get it
    unknown: bool  # whether some of these may have got it all the same


class Notices(Protocol):
    """Makes notices to senders."""

    async def write(self, failure: FailedMessage) -> Notice | None:
        """The notice about a failure; None: nobody is to be told. Never raises."""

    def announce(self, queue_id: str, notice: Notice, notice_id: str) -> None:
        """The notice about this message was put, under an id of its own."""


OnHold = Callable[[Entry, Outcome], None]


class Settling:
    """Writes how claims end."""

    def __init__(self, spool: Spool, notices: Notices, on_hold: OnHold) -> None:
        """Args:
        spool: where it is written.
        notices: tells senders.
        on_hold: told of a message that waits for a person.
        """
        self._spool = spool
        self._notices = notices
        self._on_hold = on_hold

    async def settle(self, attempt: Attempt, settlement: Settlement) -> None:
        """End an attempt's claim."""
        claim = attempt.claim
        if settlement.state is State.FAILED:
            settlement, written = await self._fail(attempt, settlement)
        else:
            written = await self._insist(claim, lambda: self._spool.settle(claim, settlement))
        if not written:
            log.error("settled already", queue_id=claim.entry.queue_id, state=settlement.state.value)
            return
        _report(claim, settlement)
        if settlement.state is State.HELD:
            self.tell_hold(claim.entry, settlement.outcome)

    def tell_hold(self, entry: Entry, outcome: Outcome) -> None:
        """A message waits for a person."""
        log.error("message waits for a person", queue_id=entry.queue_id, reason=outcome.reason)
        self._on_hold(entry, outcome)

    async def _fail(self, attempt: Attempt, settlement: Settlement) -> tuple[Settlement, bool]:
        """Let a waiting session hear the failure, and keep nothing; else tell the sender by mail."""
        claim = attempt.claim
        if not _was_partly_taken(claim.entry, attempt.outcomes):
            refused = replace(settlement, state=State.REFUSED)
            if await self._insist(claim, lambda: self._spool.settle_heard(claim, refused)):
                return refused, True
        notice = await self._notices.write(_describe(attempt, settlement.outcome))
        if notice is None:
            return settlement, await self._insist(claim, lambda: self._spool.settle(claim, settlement))
        # In one commit: a crash in between would tell the sender twice, or not at all.
        notice_id = await self._insist(claim, lambda: self._spool.settle_and_tell(claim, settlement, notice))
        if notice_id:
            self._notices.announce(claim.entry.queue_id, notice, notice_id)
        return settlement, bool(notice_id)

    async def _insist(self, claim: Claim, write: Callable[[], Awaitable[T]]) -> T:
        """Write how a claim ended, however long the spool will not."""
        while True:
            try:
                return await write()
            except SpoolError as error:
                log.error("outcome not recorded yet", queue_id=claim.entry.queue_id, reason=str(error))
                await asyncio.sleep(SPOOL_PATIENCE)


def _was_partly_taken(entry: Entry, outcomes: Sequence[Outcome]) -> bool:
    """Whether somebody may have got the message: then no reply may say that it was refused."""
    return bool(entry.relayed or entry.unknowns) or any(one.may_have_been_taken for one in outcomes)


def _describe(attempt: Attempt, outcome: Outcome) -> FailedMessage:
    entry = attempt.claim.entry
    refused = tuple(path for path in attempt.recipients if path not in attempt.taken_recipients)
    # An archive's copy is not what the sender asked for.
    refused += tuple(sorted((entry.refused - set(refused)) & set(entry.envelope.forward_paths)))
    unknown = entry.unknowns > 0 or any(one.action is Action.UNKNOWN for one in attempt.outcomes)
    return FailedMessage(attempt.claim, outcome, refused, unknown)


def _report(claim: Claim, settlement: Settlement) -> None:
    outcome = settlement.outcome
    metrics.ATTEMPTS.labels(outcome.action.value, outcome.blame.value).inc()
    if settlement.state is State.RELAYED:
        for loss in settlement.losses:
            metrics.LOSSES.labels(loss.loss).inc()
    log.info(
        "attempt ended",
        queue_id=claim.entry.queue_id,
        state=settlement.state.value,
        action=outcome.action.value,
        blame=outcome.blame.value,
        status=outcome.status,
        attempt=claim.attempt,
        http_status=outcome.http_status,
        code=outcome.code or None,
        reason=outcome.reason,
        losses=[loss.loss for loss in settlement.losses],
    )
