"""The courier's loop: it takes a place, claims a message, attempts to send it and settles the claim.

A message is chosen only when the budgets have room for one (late binding): whose turn it is, is judged at
the last moment.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager

import structlog

from relay.config.current import Current
from relay.courier.attempt import Attempt, Share, Tools
from relay.courier.forecast import Forecast
from relay.courier.handover import Chance
from relay.courier.inherited import Inherited
from relay.courier.judgement import AccountHold, Tried, rules, settle_fault
from relay.courier.probes import Probes
from relay.courier.settling import SPOOL_PATIENCE, Settling
from relay.courier.slots import Place, Slots
from relay.courier.standing import Standing
from relay.courier.unconfigured import Unconfigured
from relay.courier.verdicts import Verdicts
from relay.outcome import Hold, Outcome
from relay.spool import Claim, Interrupted, Settlement, SpoolError, State, Topic, Word

log = structlog.get_logger("courier")
_LONGEST_SLEEP = 30.0
# Seconds to write down the attempts that a stop cuts off. The next start finds what is not written.
_LAST_WORDS = 1.0
# Queued messages that are looked at when sending begins, to learn how many each source has.
_MOST_COUNTED = 10_000
_DAY = 86400.0
_SETTLE_EVERY = 15.0  # seconds between looks for attempts that another machine did not live to settle


class Courier:
    """Takes messages out of the spool and gives them to Works."""

    def __init__(self, current: Current, tools: Tools, standing: Standing, settling: Settling) -> None:
        """Args:
        current: the configuration.
        tools: what every attempt works with.
        standing: how the API and the accounts stand.
        settling: writes how claims end.
        """
        self._current = current
        self._tools = tools
        self._standing = standing
        self._settling = settling
        self.verdicts = Verdicts(tools.spool)
        self._slots = Slots(current, self.wake)
        self._forecast = Forecast(standing, tools.pacing, self._slots.most)
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._probes = Probes(current, standing, tools.client, tools.pacing, self.wake)
        self._unconfigured = Unconfigured(tools.spool, standing, current)
        tools.spool.subscribe(self._hear)
        standing.subscribe(self)
        current.subscribe(lambda _: self.wake())

    async def start(self) -> None:
        """Become the sender: learn what was sent of late and who waits, and begin.

        Raises:
            SpoolError: the spool cannot be read.
        """
        spool, now = self._tools.spool, self._standing.now().wall
        inherited = Inherited(spool, self._tools.pacing)
        inherited.learn(await spool.history(now - _DAY), now)
        self._forecast.lead()
        self._forecast.backlog.seed(await spool.backlog(_MOST_COUNTED))
        await self._settle_interrupted()
        self._loops = [
            asyncio.create_task(self._run(), name="courier"),
            asyncio.create_task(self._keep_settling(), name="interrupted"),
            asyncio.create_task(inherited.follow(), name="inherited"),
            asyncio.create_task(self._probes.run(), name="probes"),
            asyncio.create_task(self._unconfigured.run(), name="unconfigured"),
        ]

    def warm_up(self) -> None:
        """Start the process that the first large message needs."""
        self._tools.converter.start()

    async def _keep_settling(self) -> None:
        """Settle again and again: requests of the last sender may end after this node has begun."""
        while True:
            await asyncio.sleep(_SETTLE_EVERY)
            try:
                await self._settle_interrupted()
            except SpoolError as error:
                log.warning("interrupted attempts cannot be looked up", reason=str(error))

    async def _settle_interrupted(self) -> None:
        """Decide about the attempts that the last sender did not live to settle."""
        left = [*await self._tools.spool.interrupted()]
        try:
            while left:
                await self._settle_one(left[0])
                left.pop(0)
        finally:
            for one in left:  # this node is not the sender any more
                await self._tools.spool.abandon(one.claim)

    async def _settle_one(self, one: Interrupted) -> None:
        config = self._current.config
        account = config.find_account(one.claim.entry.account)
        if account is None:
            # Nobody can send it now, and nobody knows whether it was sent: a person decides.
            held = Settlement(State.HELD, one.outcome, hold=Hold.OUTCOME)
            await self._tools.spool.settle(one.claim, held)
            self._settling.tell_hold(one.claim.entry, one.outcome)
            return
        attempt = Attempt(self._tools, config, one.claim, account, outcomes=[one.outcome])
        now = self._standing.now()
        state = self._standing.look(account.name)
        settlement = rules.settle(config.delivery, Tried(one.claim), [one.outcome], state, now)
        await self._settling.settle(attempt, settlement)

    async def pause(self) -> None:
        """Be the sender no more: claim nothing more. What is in flight ends in its own time."""
        loops, self._loops = self._loops, []
        for one in loops:
            one.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        self._forecast.follow({})

    async def stop(self, grace: float) -> None:
        """Start nothing more; let what is in flight end for `grace` seconds."""
        await self.pause()
        self.verdicts.dismiss()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_LAST_WORDS)
        await self._tools.converter.stop()

    # What is told from outside.

    def wake(self) -> None:
        """Look at the spool again: there may be something to do."""
        self._wake.set()
        self._probes.look_soon()

    def _hear(self, word: Word) -> None:
        if word.topic is Topic.NEW:
            if word.account:
                self._forecast.backlog.add(word.account, word.flow)
            self._wake.set()

    def account_changed(self, account: str, hold: AccountHold | None) -> None:
        """Let sessions wait no longer for a verdict on an account's mail when that mail waits itself."""
        if hold is not None:
            self.verdicts.dismiss(account)
        self.wake()

    def api_changed(self, outcome: Outcome | None) -> None:
        """Let sessions wait no longer for any verdict when the API is down."""
        if outcome is not None:
            self.verdicts.dismiss()
        self._tools.pacing.wake()
        self.wake()

    # What is asked from outside.

    @property
    def working(self) -> bool:
        """Whether the loop runs."""
        return bool(self._loops) and not self._loops[0].done()

    @property
    def under_way(self) -> int:
        """Attempts that have begun and not ended."""
        return len(self._tasks)

    def expecting(self, account: str) -> AbstractContextManager[None]:
        """Count a message on its way to the spool, for as long as the context lasts: others go behind it."""
        return self._forecast.expecting(account)

    def forecast(self, account: str, flow: str) -> float:
        """Seconds until a new message of this account and flow would have its turn; infinite: do not wait."""
        return self._forecast.seconds(account, flow)

    def chances(self) -> Mapping[str, Chance]:
        """By account, how soon a new message would go: by this other nodes decide how long sessions wait."""
        return {account.name: self._forecast.chance(account.name) for account in self._current.config.account}

    def follow(self, chances: Mapping[str, Chance]) -> None:
        """Another node sends, and these are its chances; none where nobody is known to send."""
        self._forecast.follow(chances)
        for account in self._standing.holds:
            self.verdicts.dismiss(account)
        if self._standing.api_is_down:
            self.verdicts.dismiss()

    # The loop.

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
                await asyncio.sleep(SPOOL_PATIENCE)
                continue
            entry = share.claim.entry
            task = asyncio.create_task(self._attempt(share), name=f"attempt {entry.queue_id}")
            self._tasks.add(task)
            task.add_done_callback(lambda done, place=share.place: self._done(done, place))  # type: ignore[misc]

    def _done(self, task: asyncio.Task[None], place: Place) -> None:
        self._tasks.discard(task)
        place.give_back()
        self.wake()
        if not task.cancelled() and task.exception() is not None:
            log.error("attempt failed inside", exc_info=task.exception())

    async def _next(self) -> Share:
        """The next claim and its share of the budget; a place is taken for it."""
        while True:
            await self._slots.acquire()
            found = None
            try:
                self._wake.clear()
                waits = {account.name: self._wait(account.name) for account in self._current.config.account}
                ready = [name for name, wait in waits.items() if wait <= 0]
                claim = await self._tools.spool.claim(ready, self._standing.now().wall) if ready else None
                found = await self._take_share(claim) if claim is not None else None
            finally:
                if found is None:
                    self._slots.release()
            if found is not None:
                return found
            if claim is None:
                for name in ready:
                    self._forecast.backlog.empty(name)
                await self._sleep(waits, ready)

    async def _take_share(self, claim: Claim) -> Share | None:
        account = claim.entry.account
        slot = self._tools.pacing.take(account)
        if slot is None:
            # A further request of another message took the last of the budget meanwhile.
            await self._tools.spool.abandon(claim)
            return None
        self._forecast.backlog.take(account, claim.entry.envelope.line)
        # Taken here and not when the attempt runs: the next claim must find it taken.
        place = self._slots.take(account, len(claim.content.data or b""))
        return Share(claim, slot, place, self._standing.take(account))

    def _wait(self, account: str) -> float:
        if self._slots.is_full(account):
            return _LONGEST_SLEEP  # the end of one of its attempts wakes the loop
        return max(self._standing.wait(account), self._tools.pacing.next_free(account))

    async def _sleep(self, waits: dict[str, float], ready: list[str]) -> None:
        spool = self._tools.spool
        seconds = min((wait for name, wait in waits.items() if name not in ready), default=_LONGEST_SLEEP)
        if not spool.room().sending:
            seconds = min(seconds, SPOOL_PATIENCE)  # nobody tells when there is room again
        elif ready and (due := spool.next_due()) is not None:
            # With nobody ready nothing is claimed, and what is due stays so: it would end every sleep.
            seconds = min(seconds, max(due - self._standing.now().wall, 0.0))
        # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, _LONGEST_SLEEP)):
                await self._wake.wait()

    # One claim.

    async def _attempt(self, share: Share) -> None:
        config, claim = self._current.config, share.claim
        account = config.find_account(claim.entry.account)
        with claim, share.slot:
            if account is None:
                share.slot.cancel()
                self._give_back(share)
                await self._tools.spool.abandon(claim)
                return
            probe = share.probe is not None
            attempt = Attempt(self._tools, config, claim, account, probe=probe, aside=share.place.lent)
            began, queue_id = self._standing.now().steady, claim.entry.queue_id
            try:
                await attempt.run(share.slot, lambda: self.verdicts.dismiss_message(queue_id))
            except SpoolError as error:
                log.error("attempt not begun", queue_id=queue_id, reason=str(error))
                await self._cut_off(attempt, share)
                await asyncio.sleep(SPOOL_PATIENCE)
            except asyncio.CancelledError:
                await self._cut_off(attempt, share)
                raise
            except Exception:
                log.exception("attempt broke off", queue_id=queue_id)
                await self._cut_off(attempt, share, fault=True)
            else:
                self._forecast.learn(self._standing.now().steady - began)
                await self._end(attempt, share)

    async def _cut_off(self, attempt: Attempt, share: Share, *, fault: bool = False) -> None:
        """Settle what is known of an attempt that broke off, or give its message back."""
        await attempt.cut_off()
        if attempt.settlement is None and fault:
            now = self._standing.now()
            attempt.settlement = settle_fault(attempt.config.delivery, attempt.claim, now)
        if attempt.settlement is not None:
            await self._end(attempt, share)
            return
        self._give_back(share)
        await self._tools.spool.abandon(attempt.claim)
        self.verdicts.dismiss_message(attempt.claim.entry.queue_id)

    async def _end(self, attempt: Attempt, share: Share) -> None:
        assert attempt.settlement is not None  # noqa: S101 - it has ended
        # First, so that whoever sees the message settled finds the account's next probe possible.
        self._give_back(share)
        await self._settling.settle(attempt, attempt.settlement)

    def _give_back(self, share: Share) -> None:
        if share.probe is not None:
            self._standing.give_back(share.probe)
