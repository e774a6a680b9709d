"""How fast, and who next: budgets for the domain and for each mailbox, never exceeded before Works says so.

Three kinds of budgets (Works API §3):

- the domain's requests a minute, one for all accounts; half of it after half an hour of continuous use;
- each mailbox's mails a minute;
- each mailbox's recipients in 24 hours.

The courier first takes a *slot* and only then chooses the message, so that a newcomer's message can
have the very next one, however long the queue of somebody else is:

    slot = await pacing.slot("scanner")     # the domain's and the mailbox's minute have room
    message = …choose…                      # or slot.cancel(), if there is nothing to send
    if (wait := slot.bind(recipients, id)): # the mailbox's day has no room: seconds until it has
        slot.cancel()                       # what becomes free meanwhile is kept for this message
    outcome = await client.send(…, budget=slot)
    slot.end()                              # `with slot:` ends or cancels by itself

Slots are given in the order in which they were asked for, so that accounts take turns. A slot counts from
its start until a minute after its answer (see `budget`). Half of a minute's budget may go at once, the
rest is spread evenly. A 429 pauses the domain's budget, for every message; `rateLimit-*` fields lower
it when others of the domain use it too. While the circuit is open no slot is given, but one at a time to
whoever tries whether it still must be. After a restart `seed` is told what was sent in the last 24 hours.

Clocks: monotonic for all counting, so that a clock set back or forth changes nothing; wall-clock time
only to place the history of `seed`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import structlog

from relay.config.model import Account
from relay.works.diagnosis import Answer, retry_after, seconds
from relay.works.pace.budget import DAY, Rate, Window
from relay.works.pace.circuit import Circuit

log = structlog.get_logger("pacing")
_TOO_MANY = 429
_USUAL_PAUSE = 60.0  # seconds, after a 429 that does not say
# A sleep is never longer: the clock may be moved (tests), and a reload may change the limits.
_LONGEST_SLEEP = 1.0  # seconds
_KEPT = DAY  # seconds for which a message may claim its room once there is enough of it


@dataclass(frozen=True, slots=True)
class _Reservation:
    """Room in a mailbox's day that is kept for a message which found too little."""

    message: str
    recipients: int
    until: float  # monotonic; the message may have been thrown away since


@dataclass(slots=True)
class _Mailbox:
    rate: Rate
    recipients_per_day: int
    day: Window = field(default_factory=lambda: Window(DAY))
    reserved: _Reservation | None = None

    def room_in(self, now: float, recipients: int, message: str = "") -> float:
        """Seconds until the day has room for so many; what is reserved for another message counts as used."""
        if not self.recipients_per_day:
            return 0.0
        kept = self.reserved
        if kept is not None and now >= kept.until:
            kept = self.reserved = None
        others = kept.recipients if kept is not None and kept.message != message else 0
        return self.day.room_in(now, recipients + others, self.recipients_per_day)

    def refuse(self, message: str, recipients: int, until: float) -> None:
        """Keep for this message what becomes free; else mail to fewer recipients takes it each time."""
        # Room for one is found whenever there is any.
        if message and recipients > 1 and (self.reserved is None or self.reserved.message == message):
            self.reserved = _Reservation(message, recipients, until)

    def serve(self, message: str) -> None:
        """The message found room: nothing is kept for it any more."""
        if self.reserved is not None and self.reserved.message == message:
            self.reserved = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What Works has said of the domain's budget."""

    pause: float  # seconds for which nothing may start
    per_minute: int  # its own limit; 0: it has not said
    holds_for: float  # seconds


@dataclass(frozen=True, slots=True)
class Sent:
    """One request of the past, for `seed`."""

    at: float  # seconds since the epoch
    account: str
    recipients: int


class Slot:
    """The right to make one request for one account, now. Ended or cancelled exactly once."""

    def __init__(self, pacing: "Pacing", account: str, mailbox: _Mailbox, *, probe: bool) -> None:
        self._pacing = pacing
        self._mailbox = mailbox
        self._open = True
        self._holds_api = True
        self._probe = probe  # whether it tries if the API is up again
        self._bound: int | None = None  # recipients
        self.account = account

    def bind(self, recipients: int, message: str = "") -> float:
        """Choose a message for this slot.

        Args:
            recipients: of the message.
            message: which one it is, if it comes again: what it lacks is kept for it.

        Returns:
            0, or the seconds until the mailbox may send to so many: then cancel, and choose another.
        """
        now = self._pacing.now()
        wait = self._mailbox.room_in(now, recipients, message)
        if wait:
            self._mailbox.refuse(message, recipients, now + wait + _KEPT)
        else:
            self._bound = recipients
            self._mailbox.day.take(recipients)
            self._mailbox.serve(message)
        return wait

    async def again(self) -> None:
        """Wait until the domain's budget has room for one more request of the same message."""
        self._pacing.api.end(self._pacing.now())
        self._holds_api = False
        await self._pacing.wait_api()
        self._holds_api = True

    def answered(self, answer: Answer) -> None:
        """Learn from what the API says of its limits."""
        self._pacing.learn(answer)

    def end(self) -> None:
        """The request was answered, or given up; harmless when it is over already."""
        self._close(made=True)

    def cancel(self) -> None:
        """The request was never made; harmless when it is over already."""
        self._close(made=False)

    def _close(self, *, made: bool) -> None:
        if not self._open:
            return
        self._open = False
        now = self._pacing.now()
        for rate in (self._pacing.api, self._mailbox.rate) if self._holds_api else (self._mailbox.rate,):
            if made:
                rate.end(now)
            else:
                rate.give_back()
        if self._bound is not None and made:
            self._mailbox.day.end(now, self._bound)
        elif self._bound is not None:
            self._mailbox.day.give_back(self._bound)
        if self._probe:
            self._pacing.circuit.release()
        self._pacing.wake()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(made=self._bound is not None)


class Pacing:
    """All budgets, and the line of those who wait for a slot. Of one event loop."""

    def __init__(
        self,
        requests_per_minute: int,
        accounts: Mapping[str, Account],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        requests_per_minute: the domain's limit; 0: none.
        accounts: the mailboxes' limits by the account's name.
        clock: seconds, monotonic.
        """
        self._clock = clock
        self.api = Rate(requests_per_minute, halves=True)
        self.circuit = Circuit()
        self._mailboxes: dict[str, _Mailbox] = {}
        self._waiting: dict[
            asyncio.Future[Slot | None], str
        ] = {}  # in the order of asking; "": the API alone
        self._timer: asyncio.TimerHandle | None = None
        self.configure(requests_per_minute, accounts)

    def configure(self, requests_per_minute: int, accounts: Mapping[str, Account]) -> None:
        """New limits, with what was used so far remembered."""
        self.api.limit = requests_per_minute
        for name, limits in accounts.items():
            mailbox = self._mailboxes.setdefault(name, _Mailbox(Rate(0), 0))
            mailbox.rate.limit = limits.mails_per_minute
            mailbox.recipients_per_day = limits.recipients_per_day
        self.wake()

    def now(self) -> float:
        """The clock, in seconds."""
        return self._clock()

    def seed(self, history: Iterable[Sent], wall: float | None = None) -> None:
        """Learn what was sent before this process started.

        Args:
            history: the requests of the last 24 hours, oldest first.
            wall: seconds since the epoch at this moment; None: ask the clock.
        """
        now, today = self.now(), time.time() if wall is None else wall
        for sent in history:
            age = max(0.0, today - sent.at)  # from the future: the clock was set back
            if age > DAY:
                continue
            self.api.seed(now - age)
            if (mailbox := self._mailboxes.get(sent.account)) is not None:
                mailbox.rate.seed(now - age)
                mailbox.day.add(now - age, sent.recipients)

    def forget(self) -> None:
        """Forget what was answered before `seed`; what is under way stays."""
        self.api.forget()
        for mailbox in self._mailboxes.values():
            mailbox.rate.forget()
            mailbox.day.forget()

    def inherit(self, account: str, recipients: int) -> Callable[[], None]:
        """A request is under way that somebody else has begun; call what is returned when it has ended."""
        mailbox = self._mailboxes.get(account)
        self.api.window.take()
        if mailbox is not None:
            mailbox.rate.window.take()
            mailbox.day.take(recipients)

        def end() -> None:
            now = self.now()
            self.api.end(now)
            if mailbox is not None:
                mailbox.rate.end(now)
                mailbox.day.end(now, recipients)
            self.wake()

        return end

    def use(self) -> tuple[int, int]:
        """Requests of the domain in this minute, and how many may be; 0: there is no limit."""
        now = self.now()
        return self.api.window.used(now), self.api.allowed(now)

    def use_of(self, account: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """The same for a mailbox: its mails in this minute, and its recipients in 24 hours.

        Raises:
            KeyError: there is no such account.
        """
        now, mailbox = self.now(), self._mailboxes[account]
        minute = mailbox.rate.window.used(now), mailbox.rate.allowed(now)
        return minute, (mailbox.day.used(now), mailbox.recipients_per_day)

    def next_free(self, account: str) -> float:
        """Seconds until a slot could be had for one recipient, at the earliest.

        Raises:
            KeyError: there is no such account.
        """
        now, mailbox = self.now(), self._mailboxes[account]
        day = mailbox.room_in(now, 1)
        return max(self.circuit.free_in(), day, self.api.free_in(now), mailbox.rate.free_in(now))

    def room(self, account: str) -> float:
        """How many messages of an account could start at this moment without waiting for a budget.

        Infinite where there is no limit; 0 where there is no such account.
        """
        now, mailbox = self.now(), self._mailboxes.get(account)
        if mailbox is None or mailbox.room_in(now, 1):
            return 0
        return min(self.api.at_once(now), mailbox.rate.at_once(now))

    @property
    def limits(self) -> Limits:
        """What Works has said of the domain's budget."""
        now = self.now()
        per_minute, until = self.api.said
        return Limits(max(0.0, self.api.paused_until - now), per_minute, max(0.0, until - now))

    def take_over(self, limits: Limits) -> None:
        """Know what Works has said to another sender."""
        now = self.now()
        self.api.pause(now + limits.pause)
        self.api.recall(limits.per_minute, now + limits.holds_for)

    def wait(self, seconds: float) -> None:
        """Begin no request for so many seconds."""
        self.api.pause(self.now() + seconds)

    def take(self, account: str) -> Slot | None:
        """A slot, if there is one now.

        Raises:
            KeyError: there is no such account.
        """
        now, mailbox = self.now(), self._mailboxes[account]
        if self._api_free_in(now) or mailbox.rate.free_in(now):
            return None
        self.api.take(now)
        mailbox.rate.take(now)
        return Slot(self, account, mailbox, probe=self.circuit.take())

    async def slot(self, account: str) -> Slot:
        """Wait for a slot.

        Raises:
            KeyError: there is no such account.
        """
        self._mailboxes[account]  # an unknown account is not waited for
        slot = await self._queue(account)
        assert slot is not None  # noqa: S101 - only wait_api is served without one
        return slot

    async def wait_api(self) -> None:
        """Wait for one request of the domain's budget alone."""
        await self._queue("")

    async def _queue(self, account: str) -> Slot | None:
        future: asyncio.Future[Slot | None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = account
        self.wake()
        try:
            return await future
        except asyncio.CancelledError:
            # Served and cancelled in the same moment: the slot goes back.
            if future.done() and not future.cancelled():
                if (slot := future.result()) is not None:
                    slot.cancel()
                else:
                    self.api.give_back()
            raise
        finally:
            self._waiting.pop(future, None)

    def wake(self) -> None:
        """Serve whoever waits, as far as the budgets allow now."""
        if not self._waiting:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for future, account in list(self._waiting.items()):
            if self._api_free_in(self.now()) and (account or self.api.free_in(self.now())):
                break
            self._serve(future, account)
        if self._waiting:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(min(self._soonest(), _LONGEST_SLEEP), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.wake()

    def _serve(self, future: "asyncio.Future[Slot | None]", account: str) -> None:
        if future.done():
            self._waiting.pop(future)
        elif not account:
            # A second request of a message that has its slot: the probe's own, if there is one.
            if not self.api.free_in(self.now()):
                self.api.take(self.now())
                self._waiting.pop(future)
                future.set_result(None)
        elif (slot := self.take(account)) is not None:
            self._waiting.pop(future)
            future.set_result(slot)

    def _soonest(self) -> float:
        now = self.now()
        accounts = {name for name in self._waiting.values() if name}
        own = min((self._mailboxes[name].rate.free_in(now) for name in accounts), default=0.0)
        return max(self._api_free_in(now) if accounts else self.api.free_in(now), own, 0.001)

    def _api_free_in(self, now: float) -> float:
        return max(self.api.free_in(now), self.circuit.free_in())

    def learn(self, answer: Answer) -> None:
        """Read `rateLimit-*` and `Retry-After`; a 429 pauses the whole budget."""
        now = self.now()
        limit, remaining, reset = (
            seconds(answer.headers.get(f"ratelimit-{name}")) for name in ("limit", "remaining", "reset")
        )
        if limit is not None:
            if 0 < limit < self.api.limit and limit != self.api.learned(now):
                log.warning("works allows fewer requests", per_minute=int(limit), configured=self.api.limit)
            self.api.learn(int(limit), None if remaining is None else int(remaining), reset or 0.0, now)
        if answer.status == _TOO_MANY:
            wait = retry_after(answer)
            self.api.pause(now + (_USUAL_PAUSE if wait is None else wait))
