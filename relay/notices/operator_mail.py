"""Who is told of our own trouble: the operator, by every way that is left, at most once in a while.

The log, the metrics and the console say it anyway. Mail goes to `delivery.notify`: through the fallback host
if there is one, else through an account that can still send. What was told is kept on disk, so
that a relay that is restarted again and again does not write each time; and so is what could not be told
yet, of messages that wait for a person and of damage: the next mail names all of it.
"""

import asyncio
import contextlib
import smtplib
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from relay import metrics
from relay.config.fields import split_address
from relay.config.model import Account, Config
from relay.envelope import Origin
from relay.grants import Grant
from relay.notices.compose import Letterhead, list_some, write_plain
from relay.notices.sender import Choose, submit
from relay.notices.texts import LANGUAGES, Words
from relay.notices.told import DAMAGE, FORGET, HELD, KINDS, SILENCE, Told
from relay.outcome import Action, Outcome
from relay.spool import Entry, Spool, SpoolError, State

log = structlog.get_logger("notices")
_FALLBACK_PATIENCE = 20.0  # seconds
_AGAIN = 300.0  # seconds, when no way led anywhere and there is something to tell still
_MOST_DAMAGED = 100  # remembered for the console; the log has all of them


@dataclass(frozen=True, slots=True)
class _News:
    """One thing that the operator is to hear."""

    key: str  # what it is known by: told at most once in `every`
    every: float  # seconds
    subject: str
    write: Callable[[Mapping[str, str]], str]  # what is untold of this key → the text
    lasts: Callable[[], bool]  # whether there is something to tell still
    account: str = ""  # whose trouble it is: told by another one
    once: bool = False  # when it is told, it is over


class Operator:
    """Writes to the operator."""

    def __init__(self, config: Config, spool: Spool, choose: Choose, now: Callable[[], float]) -> None:
        """As Senders; `choose` gives an account that can send, preferably not this one."""
        self.config = config
        self._spool = spool
        self._choose = choose
        self._now = now
        self._told = Told(config.state_dir / "told.json")
        self._tasks: set[asyncio.Task[None]] = set()
        self._telling: set[str] = set()  # what is on its way
        self._troubles: dict[str, str] = {}  # the key of what is wrong now, by account
        self._stopping = asyncio.Event()
        self.damaged: dict[str, str] = {}  # what was set aside since the start, and why

    def report(self, name: str, outcome: Outcome | None) -> None:
        """An account's trouble began, became another, or is over (None)."""
        if outcome is None or outcome.action is not Action.HELD:
            self._troubles.pop(name, None)
            return
        words, account = self._words(), self.config.find_account(name)
        subject, text = (
            (words.removed, words.removed_text) if account is None else (words.trouble, words.trouble_text)
        )
        address = account.address if account is not None else ""
        subject = subject.format(hostname=self.config.hostname, account=name)
        text = text.format(account=name, address=address, reason=outcome.reason, since=self._say_now())
        self._troubles[name] = key = f"{name}: {outcome.reason}"
        every = self.config.delivery.notify_every
        news = _News(
            key, every, subject, lambda _: text, lambda: self._troubles.get(name) == key, name, once=not every
        )
        self._tell(news)

    def report_damage(self, name: str, reason: str) -> None:
        """The spool set something aside.

        Args:
            name: the queue id of the message, or of the file.
            reason: what is wrong with it.
        """
        metrics.DAMAGED.inc()
        while len(self.damaged) >= _MOST_DAMAGED:
            self.damaged.pop(next(iter(self.damaged)))
        self.damaged[name] = reason
        self._told.add(DAMAGE, name, reason)
        self._tell_of(DAMAGE)

    def report_hold(self, entry: Entry, outcome: Outcome) -> None:
        """A message waits for a person: the relay sends it no more by itself.

        It had its 250: it may wait, but not unseen.
        """
        if entry.envelope.origin is Origin.NOTICE:
            return  # nothing is said about what we say
        self._told.add(HELD, entry.queue_id, outcome.reason)
        self._tell_of(HELD)

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

        every = self.config.delivery.notify_every
        subject = subject.format(hostname=self.config.hostname)
        self._tell(_News(key, every, subject, write, lambda: bool(self._told.untold(key))))

    def report_silence(self, entry: Entry, outcome: Outcome) -> None:
        """A message failed after its 250, and no notice to its sender could be made."""
        self._told.add(SILENCE, entry.queue_id, outcome.reason)
        self._tell_of(SILENCE)

    def _say_now(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%d %H:%M UTC")

    def warn(self, name: str, days: int, grant: Grant, lasts: Callable[[], bool]) -> None:
        """A grant that does not renew itself dies in at most so many days.

        Args:
            name: the account's.
            days: 30, 14, 7 or 1.
            grant: which one.
            lasts: whether it is this grant still, and this many days.
        """
        account = self.config.find_account(name)
        if account is None:
            return
        words = self._words()
        date = datetime.fromtimestamp(grant.refresh_expires_at, UTC).strftime("%Y-%m-%d")
        subject = words.expiry.format(hostname=self.config.hostname, account=name, days=days)
        text = words.expiry_text.format(account=name, address=account.address, date=date)
        key = f"{name}: {days} days, {grant.consented_at:.0f}"
        self._tell(_News(key, FORGET, subject, lambda _: text, lasts, once=True))

    async def stop(self) -> None:
        """Let what is being told be told, for a moment."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        for task in self._tasks:
            task.cancel()

    def _words(self) -> Words:
        language = self.config.delivery.notice_language
        return LANGUAGES["en" if language == "auto" else language]

    def _tell(self, news: _News) -> None:
        due_in = self._told.due_in(news.key, self._now(), news.every)
        if news.key in self._telling or (due_in and news.once):
            return
        if not self.config.delivery.notify:
            log.warning("no mail about trouble", reason="delivery.notify is empty", trouble=news.key)
            return
        self._telling.add(news.key)
        task = asyncio.create_task(self._insist(news), name="operator")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _insist(self, news: _News) -> None:
        """Tell it when it is due, again while it lasts, soon if no way led anywhere."""
        try:
            while await self._lasts_until_due(news):
                told = await self._tell_now(news)
                if (told and news.once) or not (told or await self._lasts(news, _AGAIN)):
                    return
        finally:
            self._telling.discard(news.key)

    async def _lasts_until_due(self, news: _News) -> bool:
        """Wait until it is to be told; False: there is nothing to tell any more."""
        while due_in := self._told.due_in(news.key, self._now(), news.every):
            # In short sleeps: the clock may be set meanwhile.
            if not await self._lasts(news, min(due_in, _AGAIN)):
                return False
        return news.lasts()

    async def _lasts(self, news: _News, seconds: float) -> bool:
        """Whether there is something to tell still, after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return not self._stopping.is_set() and news.lasts()

    async def _tell_now(self, news: _News) -> bool:
        """Tell it; whether it is told, or there was nothing to tell."""
        untold = self._told.untold(news.key)
        # What fails is told of before that is written down.
        states = {State.FAILED, State.SENDING} if news.key == SILENCE else {State.HELD}
        names = {name: reason for name, reason in untold.items() if await self._is(name, states)}
        self._told.remove(news.key, untold.keys() - names.keys())
        if untold and not names:
            return True
        if not await self._deliver(news, news.write(names)):
            return False
        self._told.remove(news.key, names)
        self._told.note(news.key, self._now())
        return True

    async def _is(self, name: str, states: Container[State]) -> bool:
        """Whether it is in one of these states still; nobody need hear of what was dealt with."""
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
        delivery = self.config.delivery
        language = "en" if delivery.notice_language == "auto" else delivery.notice_language
        return Letterhead(self.config.hostname, sender, delivery.notify, language, self._now())

    async def _by_fallback(self, subject: str, text: str, _: str) -> bool:
        delivery = self.config.delivery
        if not delivery.fallback:
            return False
        # From and to are the operator: the one address that this host certainly knows.
        octets = write_plain(self._head(delivery.notify), subject, text)
        await asyncio.to_thread(_send, split_address(delivery.fallback), delivery.notify, octets)
        log.info("operator told", way="fallback")
        return True

    async def _by_account(self, subject: str, text: str, avoid: str) -> bool:
        account = self._choose(avoid)
        if account is None:
            return False
        octets = write_plain(self._head(account.address), subject, text)
        submission = submit(self._spool, octets, self.config.delivery.notify, self._now())
        queue_id = await self._spool.put(submission, account.name)
        log.info("operator told", way=account.name, queue_id=queue_id)
        return True


def _send(host: tuple[str, int], to: str, octets: bytes) -> None:
    with smtplib.SMTP(*host, timeout=_FALLBACK_PATIENCE) as client:
        client.sendmail(to, [to], octets)


def choose_healthy(accounts: Iterable[Account], in_trouble: Iterable[str]) -> Account | None:
    """The first account that can send."""
    ill = set(in_trouble)
    return next((account for account in accounts if account.name not in ill), None)
