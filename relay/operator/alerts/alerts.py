"""Tells people of trouble, each way on its own: one that hangs holds up neither another nor the mail."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

import structlog

from relay import metrics
from relay.config.current import Current
from relay.config.model import Config
from relay.host.clock import to_iso, to_local
from relay.host.documents import Documents
from relay.operator.alerts.memory import Memory
from relay.operator.alerts.planning import SETTLED, Due, Event, Key, Said, plan
from relay.operator.alerts.ways import Alert, Way, WayError, find_ways
from relay.operator.remedies import find_remedy, judge
from relay.operator.trouble import Health, Troubles
from relay.outcome import SHARED, Trouble, TroubleKind

log = structlog.get_logger("alerts")
_AGAIN, _LONGEST_AGAIN = 30.0, 900.0  # seconds after a way that failed, doubled each time
_SHARED = frozenset(kind.value for kind in SHARED)
_LONGEST_SLEEP = 30.0  # the clock may be set meanwhile


class Alerts:
    """Follows the registry of troubles."""

    def __init__(
        self, current: Current, documents: Documents, troubles: Troubles, now: Callable[[], float]
    ) -> None:
        """Args:
        current: the configuration: which ways there are, and how often is told.
        documents: where it is kept what was told.
        troubles: the registry; what is told is noted there.
        now: seconds since the epoch.
        """
        self._current = current
        self._troubles = troubles
        self._now = now
        self._documents = documents
        self._memory = Memory(documents)
        self._leads = True
        self._settled_at = float("inf")
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._news: dict[str, asyncio.Event] = {}
        troubles.subscribe(lambda _: self.look_soon())
        current.subscribe(self._configure)

    async def watch(self) -> None:
        """Tell for ever. A trouble told before the last stop is over if it is not found again in a while."""
        self._settled_at = self._now() + SETTLED
        self._configure(self._current.config)
        try:
            await asyncio.Event().wait()
        finally:
            followers, self._followers, self._news = [*self._followers.values()], {}, {}
            for task in followers:
                task.cancel()

    def _configure(self, config: Config) -> None:
        if self._settled_at == float("inf"):
            return  # it has not begun
        for task in self._followers.values():
            task.cancel()
        ways = find_ways(config, self._now)
        self._news = {way.name: asyncio.Event() for way in ways}
        self._followers = {
            way.name: asyncio.create_task(self._follow(way), name=f"alerts {way.name}") for way in ways
        }
        for one in self._troubles.current:
            if one.kind is TroubleKind.ALERT and one.name not in self._followers:
                self._troubles.end(one.kind, one.name)

    def look_soon(self) -> None:
        """There is news, or the clock was set."""
        for event in self._news.values():
            event.set()

    async def _follow(self, way: Way) -> None:
        """Tell what is due, for ever."""
        news, pause = self._news[way.name], 0.0
        while True:
            news.clear()
            due = self._next(way)
            wait = _LONGEST_SLEEP if due is None else min(due.at - self._now(), _LONGEST_SLEEP)
            if due is None or wait > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await news.wait()
                continue
            if await self._try(way, due):
                pause = 0.0
            else:
                pause = min(pause * 2 or _AGAIN, _LONGEST_AGAIN)
                await asyncio.sleep(pause)

    def _next(self, way: Way) -> Due | None:
        """What is to be told next this way, by this node."""
        troubles = self._troubles
        if troubles.leads and not self._leads:
            # By then this node has found again what the last sender had found.
            self._settled_at = self._now() + SETTLED
        self._leads = troubles.leads
        said = self._memory.said(way.name)
        planned = plan(
            [self._name(one) for one in troubles.current if troubles.is_ours(one.kind)],
            {_key(self._name(one)) for one in troubles.ended},
            {key: one for key, one in said.items() if self._is_ours(key)},
            now=self._now(),
            every=self._current.config.delivery.notify_every,
            settled_at=self._settled_at,
            way=way.name,
        )
        return planned[0] if planned else None

    def _name(self, trouble: Trouble) -> Trouble:
        return replace(trouble, name=trouble.name_among(self._documents.node))

    def _is_ours(self, key: Key) -> bool:
        """Whether this node is the one that tells of it, and of its end."""
        kind, name = key
        if kind in _SHARED:
            return self._troubles.leads
        node = self._documents.node
        return not node or name == node or name.startswith(f"{node} ")

    def _is_due(self, way: Way, due: Due) -> bool:
        following = self._next(way)
        return following is not None and following.key == due.key and following.at <= self._now()

    async def _try(self, way: Way, due: Due) -> bool:
        """Tell one thing; whether it was told, by this node or another one."""
        if not await self._memory.claim(way.name, due.key, self._now(), lambda: self._is_due(way, due)):
            return True
        try:
            return await self._tell(way, due)
        finally:
            self._memory.release(way.name, due.key)

    async def _tell(self, way: Way, due: Due) -> bool:
        alert = self._compose(due)
        kind, name = due.key
        try:
            await way.tell(alert)
        except WayError as error:
            self._report(way, str(error))
            return False
        except Exception as error:  # noqa: BLE001 - a fault in one way must not end it for good
            self._report(way, type(error).__name__)  # the class alone: the text may name a URL
            return False
        log.info("operator told", way=way.name, alert=due.event.value, kind=kind, name=name or None)
        metrics.ALERTS.labels("told").inc()
        over, sort = due.event is Event.OVER, due.trouble.sort if due.trouble else None
        await self._memory.note(way.name, due.key, Said(self._now(), sort, over))
        for one in self._troubles.current:
            if _key(self._name(one)) == due.key:
                self._troubles.note_told(one.kind, one.name, f"alert {way.name}")
        self._troubles.end(TroubleKind.ALERT, way.name)
        return True

    def _report(self, way: Way, reason: str) -> None:
        metrics.ALERTS.labels("failed").inc()
        log.error("operator not told this way", way=f"alert {way.name}", reason=reason)
        self._troubles.begin(TroubleKind.ALERT, way.name, f"this way of [alert] does not work: {reason}")

    def _compose(self, due: Due) -> Alert:
        config, now, (kind, name) = self._current.config, self._now(), due.key
        trouble = due.trouble or self._find_ended(due)
        if trouble is None:
            subject = f"{kind} {name}".rstrip()
            text = f"{config.hostname}: over: {subject}"
            return Alert(
                Event.OVER, text, config.hostname, kind, name, Health.OK, "", "", to_iso(now), to_iso(now)
            )
        return compose(config, trouble, due.event, now)

    def _find_ended(self, due: Due) -> Trouble | None:
        ended = map(self._name, reversed(self._troubles.ended))
        return next((one for one in ended if _key(one) == due.key), None)


def _key(trouble: Trouble) -> Key:
    return trouble.kind.value, trouble.name


def compose(config: Config, trouble: Trouble, event: Event, now: float) -> Alert:
    """What is told of a trouble.

    Args:
        config: whose relay it is.
        trouble: what is wrong, or was.
        event: why it is told.
        now: seconds since the epoch.
    """
    subject = f"{trouble.kind.value} {trouble.name}".rstrip()
    over = event is Event.OVER
    remedy = "" if over else find_remedy(trouble)
    lines = [
        f"{config.hostname}: {'over: ' if over else ''}{subject}: {trouble.reason}",
        *([f"→ {remedy}"] if remedy else []),
        f"since {to_local(trouble.since)}" + (f", until {to_local(trouble.ended or now)}" if over else ""),
    ]
    return Alert(
        event=event.value,
        text="\n".join(lines),
        hostname=config.hostname,
        kind=trouble.kind.value,
        name=trouble.name,
        health=(Health.OK if over else judge(trouble, now)).value,
        reason=trouble.reason,
        remedy=remedy,
        since=to_iso(trouble.since),
        ended=to_iso(trouble.ended or now) if over else None,
    )
