"""The loop: a slot, a claim, an attempt, a settlement.

A slot of the budget comes first, and only then is it decided which message goes (late binding), so
that whose turn it is is judged at the last moment.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import structlog

from relay import metrics
from relay.config.model import Account, Config
from relay.courier.attempt import Attempt, Share, Tools
from relay.courier.backlog import Backlog
from relay.courier.judgement.expiry import Patience
from relay.courier.judgement.holds import Accounts, Trouble
from relay.courier.judgement.rules import Rules
from relay.courier.unconfigured import Strangers
from relay.courier.verdicts import Verdicts
from relay.host.clock import Clock
from relay.outcome import Action, Outcome, Scope
from relay.spool import Claim, Entry, Notice, Settlement, Spool, SpoolError, State, Topic, Word
from relay.works.client import Client
from relay.works.pace.pacing import Pacing, Sent

log = structlog.get_logger("courier")
T = TypeVar("T")
# When the spool will not, look again after so many seconds.
_SPOOL_PATIENCE = 1.0
_LONGEST_SLEEP = 30.0
# What is cut off at a stop is written down in so many seconds, or the next start finds it.
_LAST_WORDS = 1.0
# At the start so many queued messages are looked at, to know who has how many.
_MOST_COUNTED = 10_000
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that failed after its 250: somebody has to be told."""

    claim: Claim
    outcome: Outcome
    refused: tuple[str, ...]  # recipients who will not get it
    unknown: bool  # whether some of these may have got it all the same


class Notices(Protocol):
    """Who tells the sender."""

    async def write(self, failure: Failure) -> Notice | None:
        """What is to be said about a failure, if it is to be said to anybody. Never raises."""

    def announce(self, queue_id: str, notice: Notice, notice_id: str) -> None:
        """The notice about this message was put, under an id of its own."""


OnTrouble = Callable[[str, Outcome | None], None]
OnHold = Callable[[Entry, Outcome], None]


class Courier:
    """Takes messages out of the spool and gives them to Works."""

    def __init__(
        self, config: Config, spool: Spool, client: Client, pacing: Pacing, clock: Clock | None = None
    ) -> None:
        self._config = config
        self._clock = clock or Clock()
        self._spool = spool
        self._pacing = pacing
        self._tools = Tools(spool, client, pacing, self._learn)
        self.accounts = Accounts(self._clock, self._change)
        self._strangers = Strangers(spool, self.accounts, self._names)
        self.notices: Notices | None = None  # tells the sender
        self.on_trouble: OnTrouble | None = None  # tells the operator
        self.on_hold: OnHold | None = None  # likewise, of a message that waits for a person
        self._patience = Patience(self._clock, config.delivery.give_up_after)
        self._rules = Rules(config.delivery, self._patience)
        self.verdicts = Verdicts(spool)
        self._backlog = Backlog()
        spool.subscribe(self._hear)
        self._usual = 0.0  # seconds that an attempt takes, on average of late
        self._wake = asyncio.Event()
        self._stopping = False
        self._slots = asyncio.Semaphore(config.works.concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None
        self._watch_task: asyncio.Task[None] | None = None

    def configure(self, config: Config) -> None:
        """Go on by another configuration; what is under way ends by the old one."""
        self._config = config
        self._rules.delivery = config.delivery
        self._patience.give_up_after = config.delivery.give_up_after
        for account in self.accounts.troubles:
            self.accounts.release(account)  # what was wrong may be corrected now
        self._strangers.look_soon()
        self.wake()

    async def start(self) -> None:
        """Learn what was sent of late and who waits, and begin.

        Raises:
            SpoolError: the spool cannot be read.
        """
        now = self._clock.wall()
        # Works counts a request at some moment until its answer: here it counts from the last of them.
        past = [
            Sent(one.ended or now, one.account, one.recipients)
            for one in await self._spool.history(now - _DAY)
        ]
        self._pacing.seed(sorted(past, key=lambda one: one.at), now)
        self._backlog.seed(await self._spool.backlog(_MOST_COUNTED))
        await self._settle_interrupted()
        self._loop_task = asyncio.create_task(self._run(), name="courier")
        self._watch_task = asyncio.create_task(self._strangers.watch(), name="strangers")

    def warm_up(self) -> None:
        """Have ready what the first large message needs."""
        self._tools.converter.start()

    async def _settle_interrupted(self) -> None:
        """Decide about the attempts that the last process did not live to settle."""
        for one in await self._spool.interrupted():
            account = self._config.find_account(one.claim.entry.account)
            if account is None:
                # Nobody can send it now, and nobody knows whether it was sent: a person decides.
                await self._spool.settle(one.claim, Settlement(State.HELD, one.outcome))
                self._tell_hold(one.claim.entry, one.outcome)
                continue
            attempt = Attempt(self._tools, self._config, one.claim, account, outcomes=[one.outcome])
            await self._settle(attempt, self._conclude(attempt))

    async def stop(self, grace: float) -> None:
        """Start nothing more; let what is in flight end for `grace` seconds."""
        self._stopping = True
        loops = [one for one in (self._loop_task, self._watch_task) if one is not None]
        for one in loops:
            one.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        self.verdicts.dismiss()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_LAST_WORDS)
        await self._tools.converter.stop()

    def wake(self) -> None:
        """There may be something to do; the spool knows."""
        self._wake.set()

    def _hear(self, word: Word) -> None:
        if word.topic is Topic.NEW:
            if word.account:
                self._backlog.add(word.account, word.flow)
            self.wake()

    @property
    def working(self) -> bool:
        """Whether the loop runs."""
        return self._loop_task is not None and not self._loop_task.done()

    @property
    def under_way(self) -> int:
        """Attempts that have begun and not ended."""
        return len(self._tasks)

    @property
    def held(self) -> Mapping[str, Outcome]:
        """Accounts whose mail waits for a person, and why."""
        return {name: one.outcome for name, one in self.accounts.troubles.items() if one.held}

    def forecast(self, account: str, flow: str) -> float:
        """Seconds until the next message of this account and flow has its turn; infinite: nobody knows."""
        never = float("inf")
        if self._stopping or self._pacing.circuit.down_since is not None or self.accounts.find(account):
            return never
        ahead = self._backlog.count_ahead(account, flow)
        try:
            wait = self._pacing.next_free(account, ahead=ahead)
        except KeyError:
            return never
        return max(wait, ahead * self._usual / self._config.works.concurrency)

    def _names(self) -> list[str]:
        return [account.name for account in self._config.account]

    async def _run(self) -> None:
        while True:
            try:
                share = await self._next()
            except Exception as error:
                if isinstance(error, SpoolError):
                    log.error("spool unavailable", reason=str(error))
                else:
                    # A fault of ours with one claim must not end all sending.
                    log.exception("claim broke off")
                await asyncio.sleep(_SPOOL_PATIENCE)
                continue
            name = f"attempt {share.claim.entry.queue_id}"
            task = asyncio.create_task(self._attempt_claimed(share), name=name)
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()
        if not task.cancelled() and task.exception() is not None:
            log.error("attempt failed inside", exc_info=task.exception())

    async def _next(self) -> Share:
        """The next claim and its share of the budget; one of `_slots` is taken for it."""
        while True:
            await self._slots.acquire()
            found: Share | None = None
            try:
                self._wake.clear()
                waits = {name: self._wait(name) for name in self._names()}
                ready = [name for name, wait in waits.items() if wait <= 0]
                claim = await self._spool.claim(ready, self._clock.wall()) if ready else None
                found = await self._take_share(claim) if claim is not None else None
            finally:
                if found is None:
                    self._slots.release()
            if found is not None:
                return found
            if claim is None:
                for name in ready:
                    self._backlog.empty(name)
                await self._sleep(waits, ready)

    async def _take_share(self, claim: Claim) -> Share | None:
        slot = self._pacing.take(claim.entry.account)
        if slot is None:
            # Somebody's further request took the budget's last share meanwhile.
            await self._spool.abandon(claim)
            return None
        self._backlog.take(claim.entry.account, claim.entry.envelope.line)
        # Here, not when the attempt runs: the next claim must find it taken.
        return Share(claim, slot, self.accounts.take(claim.entry.account))

    def _wait(self, account: str) -> float:
        return max(self.accounts.wait(account), self._pacing.next_free(account))

    async def _sleep(self, waits: dict[str, float], ready: list[str]) -> None:
        seconds = min((wait for name, wait in waits.items() if name not in ready), default=_LONGEST_SLEEP)
        if not self._spool.room().sending:
            seconds = min(seconds, _SPOOL_PATIENCE)  # nobody tells when there is room again
        elif ready and (due := await self._spool.next_due(ready)) is not None:
            # With nobody ready nothing is claimed, and what is due stays so: it would end every sleep.
            seconds = min(seconds, max(due - self._clock.wall(), 0.0))
        # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, _LONGEST_SLEEP)):
                await self._wake.wait()

    async def _attempt_claimed(self, share: Share) -> None:
        try:
            account = self._config.find_account(share.claim.entry.account)
            if account is None:
                share.slot.cancel()
                await self._spool.abandon(share.claim)
                return
            await self._attempt(share, account)
        finally:
            if share.probe is not None:
                self.accounts.give_back(share.probe)

    async def _attempt(self, share: Share, account: Account) -> None:
        claim, slot = share.claim, share.slot
        attempt = Attempt(self._tools, self._config, claim, account)
        began = self._clock.steady()
        try:
            with slot:
                await attempt.run(slot)
        except SpoolError as error:
            log.error("attempt not begun", queue_id=claim.entry.queue_id, reason=str(error))
            await self._cut_off(attempt)
            await asyncio.sleep(_SPOOL_PATIENCE)
        except asyncio.CancelledError:
            await self._cut_off(attempt)
            raise
        except Exception:
            log.exception("attempt broke off", queue_id=claim.entry.queue_id)
            await self._cut_off(attempt, fault=True)
        else:
            self._usual += (self._clock.steady() - began - self._usual) / 8
            await self._settle(attempt, self._conclude(attempt, probe=share.probe is not None))

    async def _cut_off(self, attempt: Attempt, *, fault: bool = False) -> None:
        """End an attempt that did not come to its end."""
        if await attempt.cut_off():
            await self._settle(attempt, self._conclude(attempt))
        elif fault:
            await self._settle(attempt, self._rules.settle_fault(attempt.claim, self._clock.wall()))
        else:
            await self._spool.abandon(attempt.claim)
            self.verdicts.dismiss_message(attempt.claim.entry.queue_id)

    def _conclude(self, attempt: Attempt, *, probe: bool = False) -> Settlement:
        now = self._clock.wall()
        settlement = self._rules.settle(attempt.claim, attempt.outcomes, attempt.losses, now, probe=probe)
        if settlement.state is State.RELAYED and not attempt.complete:
            return replace(settlement, state=State.QUEUED, spent=False)
        return settlement

    async def _settle(self, attempt: Attempt, settlement: Settlement) -> None:
        claim = attempt.claim
        if settlement.state is State.FAILED and not self._was_partly_taken(attempt):
            refused = replace(settlement, state=State.REFUSED)
            if await self._insist(lambda: self._spool.settle_heard(claim, refused), claim):
                self._ended(attempt, refused)
                return
        notice = await self._write_notice(attempt, settlement) if settlement.state is State.FAILED else None
        if notice is not None and self.notices is not None:
            # In one commit: a crash in between would tell the sender twice, or not at all.
            written = await self._insist(lambda: self._settle_and_tell(claim, settlement, notice), claim)
        else:
            written = await self._insist(lambda: self._spool.settle(claim, settlement), claim)
        if not written:
            log.error("settled already", queue_id=claim.entry.queue_id, state=settlement.state.value)
            return
        self._ended(attempt, settlement)

    async def _settle_and_tell(self, claim: Claim, settlement: Settlement, notice: Notice) -> bool:
        notice_id = await self._spool.settle_and_tell(claim, settlement, notice)
        if notice_id and self.notices is not None:
            self.notices.announce(claim.entry.queue_id, notice, notice_id)
        return bool(notice_id)

    def _was_partly_taken(self, attempt: Attempt) -> bool:
        """Whether somebody may have got the message: then it was not refused, whatever comes now."""
        entry = attempt.claim.entry
        return bool(entry.relayed or entry.unknowns) or any(x.may_have_been_taken for x in attempt.outcomes)

    def _ended(self, attempt: Attempt, settlement: Settlement) -> None:
        self._report(attempt, settlement)
        if settlement.state is State.HELD:
            self._tell_hold(attempt.claim.entry, settlement.outcome)
        self.wake()

    def _tell_hold(self, entry: Entry, outcome: Outcome) -> None:
        log.error("message waits for a person", queue_id=entry.queue_id, reason=outcome.reason)
        if self.on_hold is not None:
            self.on_hold(entry, outcome)

    async def _write_notice(self, attempt: Attempt, settlement: Settlement) -> Notice | None:
        if self.notices is None:
            return None
        unknown = any(one.action is Action.UNKNOWN for one in attempt.outcomes)
        taken = attempt.taken_recipients
        refused = tuple(path for path in attempt.recipients if path not in taken)
        refused += tuple(sorted(attempt.claim.entry.refused - set(refused)))
        unknown = unknown or attempt.claim.entry.unknowns > 0
        return await self.notices.write(Failure(attempt.claim, settlement.outcome, refused, unknown))

    async def _insist(self, write: Callable[[], Awaitable[T]], claim: Claim) -> T:
        """Write how a claim ended, however long the spool will not."""
        while True:
            try:
                return await write()
            except SpoolError as error:
                log.error("outcome not recorded yet", queue_id=claim.entry.queue_id, reason=str(error))
                await asyncio.sleep(_SPOOL_PATIENCE)

    def _report(self, attempt: Attempt, settlement: Settlement) -> None:
        outcome = settlement.outcome
        metrics.ATTEMPTS.labels(outcome.action.value).inc()
        if settlement.state is State.RELAYED:
            for loss in settlement.losses:
                metrics.LOSSES.labels(loss.loss).inc()
        log.info(
            "attempt ended",
            queue_id=attempt.claim.entry.queue_id,
            state=settlement.state.value,
            action=outcome.action.value,
            status=outcome.status,
            attempt=attempt.claim.attempt,
            http_status=outcome.http_status,
            code=outcome.code or None,
            reason=outcome.reason,
            losses=[loss.loss for loss in settlement.losses],
        )

    def _learn(self, account: str, message: str, outcome: Outcome) -> Outcome:
        circuit = self._pacing.circuit
        before = circuit.down_since
        judged = self._pacing.judge(account, message, outcome)
        self._patience.learn(outcome)
        judged = self.accounts.learn(account, message, judged)
        if before is None and circuit.down_since is not None:
            log.error("works is down", status=outcome.status, reason=outcome.reason)
            self.verdicts.dismiss()
        elif before is not None and circuit.down_since is None:
            log.warning("works is up again", seconds=round(self._clock.steady() - before))
        return judged

    def stop_account(self, account: str, outcome: Outcome | None) -> None:
        """What is known of an account's grant; None: it is well again."""
        if outcome is None:
            self.accounts.release(account)
        elif outcome.scope is Scope.ACCOUNT:
            self.accounts.stop(account, outcome)

    def _change(self, account: str, trouble: Trouble | None) -> None:
        self._patience.learn_account(account, in_trouble=trouble is not None)
        if trouble is None:
            self._pacing.circuit.release_account(account)
        else:
            self.verdicts.dismiss(account)
        if self.on_trouble is not None:
            self.on_trouble(account, None if trouble is None else trouble.outcome)
        self.wake()
