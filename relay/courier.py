"""Claim, convert, pace, send, settle, for ever: the heart of the relay.

A slot of the budget comes first, and only then is it decided which message goes (late binding), so
that whose turn it is is judged at the last moment. What is started is recorded before the request;
the 202 is recorded before anything else is done.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

from relay import metrics
from relay.config import Account, Config
from relay.mail import Conversion, Loss, Unconvertible
from relay.message import Converted, Request, convert
from relay.outcome import Action, Blame, Outcome, Scope
from relay.spool import Claim, Settlement, Spool, SpoolError, State
from relay.works.client import Client
from relay.works.pacing import Pacing, Slot

log = structlog.get_logger("courier")
# When the spool will not, or an account is in trouble, look again after so many seconds.
_SPOOL_PATIENCE = 1.0
_HOLD_RECHECK = 30.0
_LONGEST_SLEEP = 30.0
# An unknown outcome is tried again at most so often, so many seconds later, then a person decides.
_MOST_UNKNOWNS = 2
_UNKNOWN_WAIT = 180.0


@dataclass(slots=True)
class _Waiter:
    """A session that waits for a verdict."""

    verdict: asyncio.Future[Outcome]
    answered: bool = False  # the courier has taken on to answer; the session waits until it does


class Courier:
    """Takes messages out of the spool and gives them to Works."""

    def __init__(self, config: Config, spool: Spool, client: Client, pacing: Pacing) -> None:
        self._config = config
        self._spool = spool
        self._client = client
        self._pacing = pacing
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(config.works.concurrency)
        self._waiters: dict[str, _Waiter] = {}
        self._held: dict[str, float] = {}  # account: look again then (monotonic)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._loop_task = asyncio.create_task(self._run(), name="courier")

    async def stop(self, grace: float) -> None:
        """Start nothing more; let what is in flight end for `grace` seconds."""
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def wake(self) -> None:
        """There may be something to do; the spool knows."""
        self._wake.set()

    def release(self, account: str) -> None:
        """The account's trouble may be over: try at once."""
        self._held.pop(account, None)
        self.wake()

    @property
    def held(self) -> frozenset[str]:
        """Accounts whose mail waits for a person."""
        return frozenset(self._held)

    @property
    def working(self) -> bool:
        """Whether it runs; it never ends by itself but by a fault of ours."""
        return self._loop_task is not None and not self._loop_task.done()

    async def expect(self, queue_id: str, account: str, seconds: float) -> Outcome | None:
        """Wake the courier and wait for a verdict: relayed or failed; None when there is none in time."""
        self.wake()
        if seconds <= 0 or account in self._held or self._pacing.next_free(account) > seconds:
            return None
        waiter = self._waiters[queue_id] = _Waiter(asyncio.get_running_loop().create_future())
        try:
            await asyncio.wait({waiter.verdict}, timeout=seconds)
            if waiter.answered:
                return await waiter.verdict
            return None
        finally:
            self._waiters.pop(queue_id, None)

    async def _run(self) -> None:
        while True:
            await self._slots.acquire()
            try:
                claim = await self._next()
            except SpoolError as error:
                log.error("spool unavailable", reason=str(error))
                self._slots.release()
                await asyncio.sleep(_SPOOL_PATIENCE)
                continue
            except BaseException:
                self._slots.release()
                raise
            task = asyncio.create_task(self._attempt(*claim), name=f"attempt {claim[0].entry.queue_id}")
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()
        if not task.cancelled() and task.exception() is not None:
            log.error("attempt failed inside", exc_info=task.exception())

    async def _next(self) -> tuple[Claim, Slot]:
        while True:
            self._wake.clear()
            waits = {name: self._wait(name) for name in self._accounts()}
            ready = [name for name, wait in waits.items() if wait <= 0]
            claim = await self._spool.claim(ready, time.time()) if ready else None
            if claim is None:
                await self._sleep(waits, ready)
                continue
            slot = self._pacing.take(claim.entry.account)
            if slot is not None:
                return claim, slot
            # Somebody's further request took the budget's last share meanwhile.
            await self._spool.abandon(claim)

    def _accounts(self) -> list[str]:
        return [account.name for account in self._config.account]

    def _wait(self, account: str) -> float:
        held = self._held.get(account, 0.0) - time.monotonic() if account in self._held else 0.0
        return max(held, self._pacing.next_free(account))

    async def _sleep(self, waits: dict[str, float], ready: list[str]) -> None:
        due = await self._spool.next_due(ready)
        seconds = min(
            (wait for name, wait in waits.items() if name not in ready),
            default=_LONGEST_SLEEP,
        )
        if due is not None:
            seconds = min(seconds, max(due - time.time(), 0.0))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), min(seconds, _LONGEST_SLEEP))

    async def _attempt(self, claim: Claim, slot: Slot) -> None:
        queue_id = claim.entry.queue_id
        try:
            with slot:
                settlement = await self._deliver(claim, slot)
        except (Exception, asyncio.CancelledError) as error:
            log.error(
                "attempt broke off", queue_id=queue_id, exc_info=not isinstance(error, asyncio.CancelledError)
            )
            settlement = Settlement(State.DELAYED, _FAULT, next_attempt=time.time() + _UNKNOWN_WAIT)
            await asyncio.shield(self._settle(claim, settlement))
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        await self._settle(claim, settlement)

    async def _settle(self, claim: Claim, settlement: Settlement) -> None:
        queue_id, outcome = claim.entry.queue_id, settlement.outcome
        waiter = self._waiters.get(queue_id)
        verdict = settlement.state in (State.RELAYED, State.FAILED)
        if waiter is not None and verdict:
            # From here on the session waits for our word, so what is settled is what it will say.
            waiter.answered = True
            if settlement.state is State.FAILED:
                settlement = replace(settlement, state=State.DISCARDED)
        while True:
            try:
                await self._spool.settle(claim, settlement)
                break
            except SpoolError as error:
                log.error("outcome not recorded yet", queue_id=queue_id, reason=str(error))
                await asyncio.sleep(_SPOOL_PATIENCE)
        if waiter is not None and verdict and not waiter.verdict.done():
            waiter.verdict.set_result(outcome)
        log.info(
            "attempt ended",
            queue_id=queue_id,
            action=outcome.action.value,
            status=outcome.status,
            attempt=claim.attempt,
            http_status=outcome.http_status,
            code=outcome.code or None,
            reason=outcome.reason,
            losses=[loss.loss for loss in settlement.losses],
        )
        metrics.ATTEMPTS.labels(outcome.action.value).inc()
        if settlement.state is State.RELAYED:
            for loss in settlement.losses:
                metrics.LOSSES.labels(loss.loss).inc()
        self.wake()

    async def _deliver(self, claim: Claim, slot: Slot) -> Settlement:
        account = self._config.find_account(claim.entry.account)
        if account is None:
            return Settlement(State.HELD, _NO_ACCOUNT, spent=False)
        try:
            converted = await asyncio.to_thread(self._convert, claim, account)
        except Unconvertible as error:
            return Settlement(State.FAILED, Outcome(Action.FAILED, error.status, Blame.MESSAGE, error.reason))
        outcomes: list[Outcome] = []
        for number, request in enumerate(converted.requests):
            outcomes.append(await self._send(claim, account, number, request, slot))
            if outcomes[-1].action is not Action.RELAYED:
                break
            if number + 1 < len(converted.requests):
                slot.end()
                slot = await self._pacing.slot(account.name)
        slot.end()
        return self._conclude(claim, account, outcomes, converted.losses)

    def _convert(self, claim: Claim, account: Account) -> Converted:
        entry = claim.entry
        done = entry.relayed | entry.refused
        recipients = [path for path in entry.envelope.forward_paths if path not in done]
        with claim.content.map() as content:
            return convert(content, recipients, conversion(self._config, account))

    async def _send(
        self, claim: Claim, account: Account, number: int, request: Request, slot: Slot
    ) -> Outcome:
        if wait := slot.bind(len(request.recipients)):
            return replace(_DAY_IS_FULL, retry_after=wait)
        await self._spool.start(claim, number, request.recipients)
        record = self._recorder(claim, number)
        outcome = await self._client.send(account, request.payload, claim.content, record, slot)
        if outcome.action is not Action.RELAYED:
            await self._spool.record(claim, number, outcome)
        return self._pacing.judge(account.name, claim.entry.queue_id, outcome)

    def _recorder(self, claim: Claim, number: int) -> Callable[[int], Awaitable[None]]:
        async def record(status: int) -> None:
            if status == _ACCEPTED.http_status:
                await self._spool.record(claim, number, _ACCEPTED)

        return record

    def _conclude(
        self, claim: Claim, account: Account, outcomes: list[Outcome], losses: tuple[Loss, ...]
    ) -> Settlement:
        last = outcomes[-1]
        match last.action:
            case Action.RELAYED:
                return Settlement(State.RELAYED, last, losses)
            case Action.FAILED:
                some = len(outcomes) > 1 or claim.entry.relayed
                return Settlement(State.RELAYED if some else State.FAILED, last, losses)
            case Action.HELD:
                if last.scope is Scope.ACCOUNT:
                    self._held[account.name] = time.monotonic() + _HOLD_RECHECK
                    return Settlement(State.QUEUED, last, losses, spent=False)
                return Settlement(State.HELD, last, losses, spent=False)
            case Action.UNKNOWN:
                return self._unknown(claim, last, losses)
            case Action.DELAYED:
                return self._later(claim, last, losses)

    def _unknown(self, claim: Claim, outcome: Outcome, losses: tuple[Loss, ...]) -> Settlement:
        if self._config.delivery.on_unknown == "hold" or claim.entry.unknowns >= _MOST_UNKNOWNS:
            return Settlement(State.HELD, outcome, losses)
        return Settlement(State.DELAYED, outcome, losses, next_attempt=time.time() + _UNKNOWN_WAIT)

    def _later(self, claim: Claim, outcome: Outcome, losses: tuple[Loss, ...]) -> Settlement:
        delivery, now = self._config.delivery, time.time()
        wait = max(delivery.retry.wait(claim.attempt), outcome.retry_after or 0.0)
        if now + wait > claim.entry.arrival + delivery.give_up_after:
            # RFC 3463 X.4.7: delivery time expired.
            return Settlement(State.FAILED, replace(outcome, action=Action.FAILED, status="5.4.7"), losses)
        return Settlement(State.DELAYED, outcome, losses, next_attempt=now + wait)


_ACCEPTED = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "Works has taken the message", http_status=202)
_FAULT = Outcome(Action.DELAYED, "4.3.0", Blame.GATEWAY, "the relay had a fault of its own")
_DAY_IS_FULL = Outcome(
    Action.DELAYED, "4.7.28", Blame.GATEWAY, "the account has sent to as many recipients as a day allows"
)
_NO_ACCOUNT = Outcome(Action.HELD, "4.3.5", Blame.GATEWAY, "its account is no longer in the configuration")


def conversion(config: Config, account: Account | None) -> Conversion:
    """How this account's mail is converted, by the configuration of this moment."""
    works = config.works
    common = Conversion(
        recipients_per_mail=works.recipients_per_mail,
        attachment_limit=works.attachment_limit,
        no_subject=config.delivery.no_subject,
        losses=config.losses,
    )
    if account is None:
        return common
    return replace(
        common,
        account_address=account.address,
        user_name=account.user_name,
        save_sent=account.save_sent,
        tracking=account.tracking,
        send_separately=account.send_separately,
        security_level=account.security_level,
    )
