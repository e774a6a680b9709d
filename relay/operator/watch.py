"""Looks for what nobody reports, before users notice it, and tells the registry of troubles."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog

from relay.envelope import Origin
from relay.host.clock import Clock, SteadyClock
from relay.operator.concerns import find_visible
from relay.operator.state import RelayState
from relay.operator.trouble import Troubles
from relay.outcome import Hold, Trouble, TroubleKind
from relay.spool import NoSuchMessage, Spool, SpoolError, State

log = structlog.get_logger("watch")
_EVERY = 10.0  # seconds between looks
_SHOWN = 3600.0  # seconds for which a clock that was set is told of
_MOST_RECALLED = 500  # messages that wait for a person since before the start
_MOST_SOURCES = 20  # over their limit that are told of at once
_MOST_LOOKED = 50  # messages in trouble whose state is looked at each time
# NOT_TOLD is over so many seconds after the operator was told: by every way by then.
_KNOWN = 3600.0
# The states of a message in this trouble. It is told of before it is written down: hence SENDING.
_STATES = {
    TroubleKind.MESSAGE_HELD: (State.HELD, State.SENDING),
    TroubleKind.NOT_TOLD: (State.FAILED, State.SENDING),
}
_KINDS = (
    TroubleKind.UNVERIFIED,
    TroubleKind.CERTIFICATE,
    TroubleKind.WAITING_LONG,
    TroubleKind.OVER_LIMIT,
    TroubleKind.CLOCK,
)


class Watch:
    """Looks at the state once in a while, and keeps the registry in step."""

    def __init__(
        self,
        read: Callable[[], Awaitable[RelayState]],
        spool: Spool,
        deferred: Callable[[], Mapping[str, int]],
        troubles: Troubles,
        clock: Clock,
    ) -> None:
        """Args:
        read: gives the relay's state.
        spool: what waits for a person in it since before the start.
        deferred: gives the sources over their limit, and how many of their messages were deferred.
        troubles: the registry.
        clock: the clocks.
        """
        self._read = read
        self._spool = spool
        self._deferred = deferred
        self._troubles = troubles
        self._clock = clock
        self._steady = SteadyClock(clock)
        self._turn = asyncio.Lock()
        self._looked = 0  # troubles of messages that this round has looked at
        self._jump: tuple[float, str] | None = (
            None  # when the clock was set, by boot time, and how that is told
        )

    async def look(self) -> None:
        """Look once.

        Raises:
            SpoolError: the spool cannot be read.
        """
        async with self._turn:  # an older look would take back what a newer one has found
            await self._look()

    async def _look(self) -> None:
        state = await self._read()
        found = [
            *find_visible(state.now, state.accounts, state.certificates, state.queue),
            *self._find_sources(state.now),
            *self._find_jump(state.now),
        ]
        for trouble in found:
            self._log(trouble)
            self._troubles.begin(
                trouble.kind,
                trouble.name,
                trouble.reason,
                cause=trouble.cause,
                deadline=trouble.deadline,
                stage=trouble.stage,
            )
        known = {(one.kind, one.name) for one in found}
        for one in self._troubles.current:
            if one.kind is TroubleKind.WAITING_LONG and state.queue is None:
                continue  # nobody knows now
            if one.kind in _KINDS and (one.kind, one.name) not in known:
                self._troubles.end(one.kind, one.name)

        await self._end_settled(state.now)

    async def _end_settled(self, now: float) -> None:
        """End the troubles of messages that somebody has dealt with, or that are gone by their age."""
        about = [one for one in self._troubles.current if one.kind in _STATES]
        self._looked = self._looked % len(about) if about else 0
        turn = about[self._looked :][:_MOST_LOOKED]
        self._looked += len(turn)
        for one in turn:
            told = one.kind is TroubleKind.NOT_TOLD and any(at < now - _KNOWN for _, at in one.told)
            if told or await self._find_state(one.name) not in _STATES[one.kind]:
                self._troubles.end(one.kind, one.name)

    async def _find_state(self, queue_id: str) -> State | None:
        """The message's state; None: there is no such message."""
        try:
            return (await self._spool.show(queue_id)).state
        except NoSuchMessage:
            return None

    def _log(self, trouble: Trouble) -> None:
        known = self._troubles.find(trouble.kind, trouble.name)
        if known is None or known.sort != trouble.sort:
            log.warning("trouble", kind=trouble.kind.value, name=trouble.name or None, reason=trouble.reason)

    def _find_sources(self, now: float) -> Iterable[Trouble]:
        deferred = self._deferred()
        for source in sorted(deferred, key=lambda one: -deferred[one])[:_MOST_SOURCES]:
            reason = "it has sent its messages_per_hour, and more were deferred"
            yield Trouble(TroubleKind.OVER_LIMIT, source, reason, now)

    def _find_jump(self, now: float) -> Iterable[Trouble]:
        boot = self._clock.boot()
        if jump := self._steady.take_jump():
            way = "forward" if jump > 0 else "back"
            seconds = f"{abs(round(jump)):,} seconds"
            reason = f"the machine's clock was set {way} by {seconds}; what waits is planned anew"
            self._jump = boot, reason
        if self._jump is not None and boot - self._jump[0] >= _SHOWN:
            self._jump = None
        if self._jump is not None:
            set_at, reason = self._jump
            yield Trouble(TroubleKind.CLOCK, "", reason, now, stage=f"{set_at:.0f}")

    async def _recall(self) -> None:
        """Know again which messages wait for a person."""
        for entry in await self._spool.list((State.HELD,), _MOST_RECALLED):
            if entry.hold is Hold.OUTCOME and entry.envelope.origin is not Origin.NOTICE:
                self._troubles.recall(TroubleKind.MESSAGE_HELD, entry.queue_id, entry.reason, entry.cause)

    async def watch(self) -> None:
        """Look for ever."""
        recalled = False
        while True:
            try:
                if not recalled:
                    await self._recall()
                    recalled = True
                await self.look()
            except SpoolError as error:
                log.error("the relay's state cannot be read", reason=str(error))
            except Exception:
                log.exception("a look at the state broke off")  # the next one may not
            await asyncio.sleep(_EVERY)
