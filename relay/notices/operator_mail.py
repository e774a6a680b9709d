"""Mail to the operator about the relay's own trouble, by every way that is left, at most once in a while.

The log, the metrics and the console say it anyway. Mail goes to `delivery.notify`: through the fallback host
if there is one, else through an account that can still send. What was told is kept on disk, so
that a relay that is restarted again and again does not write each time; and so is what could not be told
yet, of messages that wait for a person and of damage: the next mail names all of it.
"""

import asyncio
import contextlib
import smtplib
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from relay import metrics
from relay.config.current import Current
from relay.config.fields import split_address
from relay.courier.standing import Standing
from relay.grants import EXPIRY_MARKS
from relay.host.clock import to_local
from relay.host.documents import Documents
from relay.notices.compose import Letterhead, list_some, write_plain
from relay.notices.sender import choose_healthy, submit
from relay.notices.texts import LANGUAGES, Words
from relay.notices.told import DAMAGE, FORGET, HELD, KINDS, SILENCE, Told
from relay.outcome import SHARED, Trouble, TroubleKind
from relay.spool import Spool, SpoolError, State

log = structlog.get_logger("notices")
_FALLBACK_PATIENCE = 20.0  # seconds
_AGAIN = 300.0  # seconds between tries when no way works and the trouble lasts
_DAY = 86400.0
# Told by name, several in one mail, until a person has dealt with each.
_NAMED = {TroubleKind.DAMAGE: DAMAGE, TroubleKind.MESSAGE_HELD: HELD, TroubleKind.NOT_TOLD: SILENCE}


@dataclass(frozen=True, slots=True)
class _News:
    """One thing that the operator is to hear."""

    key: str  # names it: told at most once in `every`
    every: float  # seconds
    subject: str
    write: Callable[[Mapping[str, str]], str]  # makes the text from the untold names of this key
    lasts: Callable[[], bool]  # whether it is still to be told
    account: str = ""  # in trouble: another one sends the mail
    once: bool = False  # told once, and then no more
    about: tuple[tuple[TroubleKind, str], ...] = ()  # the troubles that it tells of


class Registry(Protocol):
    """Who knows what is wrong."""

    def note_told(self, kind: TroubleKind, name: str, to: str) -> None:
        """Somebody was told of this trouble."""

    def is_told_here(self, kind: TroubleKind, name: str) -> bool:
        """Whether this trouble goes on, and people hear of it from this node."""


class OperatorMail:
    """Writes to the operator what the registry of troubles tells."""

    def __init__(
        self,
        current: Current,
        spool: Spool,
        standing: Standing,
        now: Callable[[], float],
        troubles: Registry,
        explain: Callable[[Trouble], str],
        documents: Documents,
    ) -> None:
        """Args:
        current: who is told, and how.
        spool: where mail to the operator goes.
        standing: which accounts can send.
        now: seconds since the epoch.
        troubles: the registry.
        explain: says what a person can do about a trouble.
        documents: where it is kept what was told.
        """
        self._current = current
        self._spool = spool
        self._standing = standing
        self._now = now
        self._troubles = troubles
        self._explain = explain
        self._documents = documents
        self._told = Told(documents)
        self._tasks: set[asyncio.Task[None]] = set()
        self._telling: set[str] = set()  # keys whose mail is on its way
        self._lasting: dict[tuple[TroubleKind, str], str] = {}  # the key that each trouble is told by
        self._stopping = asyncio.Event()

    def hear(self, trouble: Trouble) -> None:
        """A trouble began, has another reason, or is over."""
        if trouble.kind in _NAMED:
            if trouble.ended is None and not self._was_told_elsewhere(trouble):
                self._told.add(_NAMED[trouble.kind], trouble.name, trouble.reason)
                self._tell_of(_NAMED[trouble.kind])
        elif trouble.ended is not None or not trouble.person:
            self._lasting.pop((trouble.kind, trouble.name), None)
        elif trouble.kind is TroubleKind.ACCOUNT:
            self._tell_account(trouble)
        elif trouble.kind is TroubleKind.GRANT_EXPIRES:
            self._tell_expiry(trouble)
        elif trouble.kind is TroubleKind.NO_ROOM:
            self._tell_no_room(trouble)
        elif trouble.kind is not TroubleKind.WAITING_LONG:  # mail about that would wait behind it
            self._tell_other(trouble)

    def _was_told_elsewhere(self, trouble: Trouble) -> bool:
        """Whether the node that sent before this one has told of it."""
        notify = self._current.config.delivery.notify
        return bool(self._documents.node) and any(to == notify for to, _ in trouble.told)

    def _tell_account(self, trouble: Trouble) -> None:
        name, config, words = trouble.name, self._current.config, self._words()
        account = config.find_account(name)
        subject, text = (
            (words.removed, words.removed_text) if account is None else (words.trouble, words.trouble_text)
        )
        address = account.address if account is not None else ""
        subject = subject.format(hostname=config.hostname, account=name)
        text = text.format(account=name, address=address, reason=trouble.reason, since=self._say_now())
        every = config.delivery.notify_every
        self._tell_lasting(trouble, f"{name}: {trouble.sort}", every, subject, text, once=not every)

    def _tell_expiry(self, trouble: Trouble) -> None:
        config, words, deadline = self._current.config, self._words(), trouble.deadline or 0.0
        account = config.find_account(trouble.name)
        if account is None:
            return
        left = (deadline - self._now()) / _DAY
        days = next((mark for mark in EXPIRY_MARKS if left <= mark), EXPIRY_MARKS[-1])
        date = f"{datetime.fromtimestamp(deadline).astimezone():%Y-%m-%d}"
        subject = words.expiry.format(hostname=config.hostname, account=account.name, days=days)
        text = words.expiry_text.format(account=account.name, address=account.address, date=date)
        key = f"{account.name}: {days} days, {deadline:.0f}"
        self._tell_lasting(trouble, key, FORGET, subject, text, once=True)

    def _tell_no_room(self, trouble: Trouble) -> None:
        words, every = self._words(), self._current.config.delivery.notify_every
        subject = words.no_room.format(hostname=self._find_place(trouble))
        text = words.no_room_text.format(reason=trouble.reason, since=self._say_now())
        key = self._name_key(trouble, trouble.kind.value)
        self._tell_lasting(trouble, key, every, subject, text, once=not every)

    def _find_place(self, trouble: Trouble) -> str:
        """The name, for people, of what is in trouble: the relay, or this node alone."""
        alone = trouble.kind not in SHARED and self._documents.node
        return alone or self._current.config.hostname

    def _name_key(self, trouble: Trouble, key: str) -> str:
        """The key, with this node's name if only this node is in trouble: two full disks are told twice."""
        alone = trouble.kind not in SHARED and self._documents.node
        return f"{alone} {key}" if alone else key

    def _tell_other(self, trouble: Trouble) -> None:
        words, hostname = self._words(), self._find_place(trouble)
        title = words.titles.get(trouble.kind, trouble.kind.value).format(name=trouble.name)
        remedy, since = self._explain(trouble), self._say_now()
        subject = words.other.format(hostname=hostname, title=title)
        text = words.other_text.format(title=title, reason=trouble.reason, remedy=remedy, since=since)
        every = self._current.config.delivery.notify_every
        # Of twenty sources over their limit there is one mail; `relay status` names them all.
        one = trouble.kind is TroubleKind.OVER_LIMIT
        key = trouble.kind.value if one else f"{trouble.kind.value} {trouble.name}: {trouble.sort}"
        key = self._name_key(trouble, key)
        self._tell_lasting(trouble, key, every, subject, text, once=not every)

    def _tell_lasting(
        self, trouble: Trouble, key: str, every: float, subject: str, text: str, *, once: bool
    ) -> None:
        """Tell of one trouble for as long as it lasts."""
        what = (trouble.kind, trouble.name)
        self._lasting[what] = key
        avoid = trouble.name if trouble.kind is TroubleKind.ACCOUNT else ""
        self._tell(
            _News(
                key,
                every,
                subject,
                lambda _: text,
                lambda: self._lasting.get(what) == key and self._troubles.is_told_here(*what),
                avoid,
                once=once,
                about=(what,),
            )
        )

    def resume(self) -> None:
        """Tell what was not told before the last stop."""
        for key in KINDS:
            if self._told.untold(key):
                self._tell_of(key)

    def _tell_of(self, key: str) -> None:
        """Tell all that is untold of this kind, in one mail."""
        words, since = self._words(), self._say_now()
        subject, text = {
            DAMAGE: (words.damage, words.damage_text),
            HELD: (words.hold, words.hold_text),
            SILENCE: (words.silence, words.silence_text),
        }[key]

        def write(names: Mapping[str, str]) -> str:
            listed = list_some([f"{name}: {reason}" for name, reason in names.items()], words)
            name = next(iter(names)) if len(names) == 1 else "QUEUE-ID"
            return text.format(names=listed, name=name, since=since)

        every = self._current.config.delivery.notify_every
        subject = subject.format(hostname=self._current.config.hostname)
        self._tell(_News(key, every, subject, write, lambda: bool(self._told.untold(key))))

    def _say_now(self) -> str:
        return to_local(self._now(), dated=True)

    async def stop(self) -> None:
        """Give mail that is on its way a moment, then end."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        for task in self._tasks:
            task.cancel()

    def _words(self) -> Words:
        language = self._current.config.delivery.notice_language
        return LANGUAGES["en" if language == "auto" else language]

    def _tell(self, news: _News) -> None:
        due_in = self._told.due_in(news.key, self._now(), news.every)
        if news.key in self._telling or (due_in and news.once):
            return
        if not self._current.config.delivery.notify:
            log.warning("no mail about trouble", reason="delivery.notify is empty", trouble=news.key)
            return
        self._telling.add(news.key)
        task = asyncio.create_task(self._insist(news), name="operator")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _insist(self, news: _News) -> None:
        """Tell it when it is due, and again while it lasts; soon again if no way worked."""
        try:
            while await self._lasts_until_due(news):
                told = await self._tell_now(news)
                self._told.release(news.key)
                if (told and news.once) or not (told or await self._lasts(news, _AGAIN)):
                    return
        finally:
            self._told.release(news.key)
            self._telling.discard(news.key)

    async def _lasts_until_due(self, news: _News) -> bool:
        """Wait until this node is to tell it; False: nobody need be told any more."""
        told, key = self._told, news.key
        while news.lasts():
            due_in = told.due_in(key, self._now(), news.every)
            if due_in and news.once:
                return False  # another node has told it
            wait = max(due_in, told.claimed_for(key, self._now()))
            if not wait and await told.claim(key, self._now(), news.every):
                return news.lasts()
            # In short sleeps: the clock may be set meanwhile.
            if wait and not await self._lasts(news, min(wait, _AGAIN)):
                return False
        return False

    async def _lasts(self, news: _News, seconds: float) -> bool:
        """Whether it is still to be told after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return not self._stopping.is_set() and news.lasts()

    async def _tell_now(self, news: _News) -> bool:
        """Tell it; whether it is told, or there was nothing to tell."""
        untold = self._told.untold(news.key)
        # A failure is told before its state is written: the message may still be `sending`.
        states = {State.FAILED, State.SENDING} if news.key == SILENCE else {State.HELD}
        names = {name: reason for name, reason in untold.items() if await self._is(name, states)}
        self._told.remove(news.key, untold.keys() - names.keys())
        if untold and not names:
            return True
        if not await self._deliver(news, news.write(names)):
            return False
        self._told.remove(news.key, names)
        self._told.note(news.key, self._now())
        named = [(kind, name) for kind, key in _NAMED.items() if key == news.key for name in names]
        for kind, name in (*news.about, *named):
            self._troubles.note_told(kind, name, self._current.config.delivery.notify)
        return True

    async def _is(self, name: str, states: Container[State]) -> bool:
        """Whether the message is still in one of these states; else somebody has dealt with it."""
        try:
            return (await self._spool.show(name)).state in states
        except SpoolError:
            return True  # a file without a row, or the database itself

    async def _deliver(self, news: _News, text: str) -> bool:
        for way in (self._by_fallback, self._by_account):
            try:
                if await way(news.subject, text, news.account):
                    metrics.NOTICES.labels("operator").inc()
                    return True
            except (OSError, smtplib.SMTPException, SpoolError, ValueError) as error:
                log.error(
                    "operator not told this way", way=way.__name__.removeprefix("_by_"), reason=str(error)
                )
        metrics.NOTICES.labels("nobody").inc()
        log.error("operator not told by mail", reason="no account can send, and no fallback took it")
        return False

    def _head(self, sender: str) -> Letterhead:
        delivery = self._current.config.delivery
        language = "en" if delivery.notice_language == "auto" else delivery.notice_language
        return Letterhead(self._current.config.hostname, sender, delivery.notify, language, self._now())

    async def _by_fallback(self, subject: str, text: str, _: str) -> bool:
        delivery = self._current.config.delivery
        if not delivery.fallback:
            return False
        # From and to are the operator: the one address that this host certainly knows.
        octets = write_plain(self._head(delivery.notify), subject, text)
        await asyncio.to_thread(_send, split_address(delivery.fallback), delivery.notify, octets)
        log.info("operator told", way="fallback")
        return True

    async def _by_account(self, subject: str, text: str, avoid: str) -> bool:
        account = choose_healthy(self._current.config.account, {avoid, *self._standing.holds})
        if account is None:
            return False
        octets = write_plain(self._head(account.address), subject, text)
        submission = submit(self._spool, octets, self._current.config.delivery.notify, self._now())
        queue_id = await self._spool.put(submission, account.name)
        log.info("operator told", way=account.name, queue_id=queue_id)
        return True


def _send(host: tuple[str, int], to: str, octets: bytes) -> None:
    with smtplib.SMTP(*host, timeout=_FALLBACK_PATIENCE) as client:
        client.sendmail(to, [to], octets)
