"""Who is told of a message that failed after its 250: its sender, if we may write there; else the operator.

Nobody is ever told about a message with the null reverse-path, which all notices have.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from relay import metrics
from relay.config.current import Current
from relay.config.model import Account
from relay.courier.settling import FailedMessage
from relay.courier.standing import Standing
from relay.envelope import Buffer, Content, Envelope, Origin, Submission
from relay.host.content import ContentWriter
from relay.mail import Unconvertible
from relay.message import originator
from relay.message.notes import find_language
from relay.message.parse import parse
from relay.notices.compose import Facts, Letterhead, write_failure
from relay.outcome import Outcome
from relay.spool import Entry, Notice, Spool, SpoolError

log = structlog.get_logger("notices")
_DAY = 86400
# An address of this form can be written to, in a field and in the API's `to`.
_PLAIN = re.compile(r"[A-Za-z0-9.!#$&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")
OnSilence = Callable[[Entry, Outcome], None]


def submit(spool: Spool, octets: bytes, to: str, now: float) -> Submission:
    """A message of our own, with the null reverse-path.

    Raises:
        OSError: the content cannot be written.
    """
    writer: ContentWriter = spool.writer()
    try:
        writer.write(octets)
        return Submission(
            Envelope("", (to,), datetime.fromtimestamp(now, UTC), origin=Origin.NOTICE), writer.finish()
        )
    finally:
        writer.discard()


@dataclass(frozen=True, slots=True)
class Senders:
    """Writes notices about failures; the courier puts them into the spool."""

    _current: Current
    _spool: Spool
    _standing: Standing  # which accounts can send
    _now: Callable[[], float]  # seconds since the epoch
    _on_silence: OnSilence  # told of a failure that its sender is not told of

    async def write(self, failure: FailedMessage) -> Notice | None:
        """The notice for whoever may be told.

        Never raises: a notice that cannot be made must not keep the failure open. Without the original it
        needs no file, so it is possible with a full disk too, and where no file can be opened. Of a copy for
        the archive the sender knows nothing: the operator hears of it.
        """
        entry = failure.claim.entry
        if not failure.refused:
            log.error("the archive has no copy", queue_id=entry.queue_id, reason=failure.outcome.reason)
            self._give_up(failure)
            return None
        if not entry.envelope.reverse_path:
            log.error(
                "failed, and nobody may be told", queue_id=entry.queue_id, reason=failure.outcome.reason
            )
            metrics.NOTICES.labels("nobody").inc()
            return None
        for bare in (False, True):
            try:
                return await self._compose(failure, bare=bare)
            except (SpoolError, OSError, ValueError) as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 - see above; its text may hold what the message says
                reason = type(error).__name__
            log.error("no notice could be written", queue_id=entry.queue_id, bare=bare, reason=reason)
        self._give_up(failure)
        return None

    def _give_up(self, failure: FailedMessage) -> None:
        metrics.NOTICES.labels("nobody").inc()
        self._on_silence(failure.claim.entry, failure.outcome)

    async def _compose(self, failure: FailedMessage, *, bare: bool) -> Notice | None:
        queue_id, account = failure.claim.entry.queue_id, self._choose(failure.claim.entry.account)
        to, octets = ("", b"")
        if account is not None:
            to, octets = await asyncio.to_thread(self._draft, failure, account, bare=bare)
        if not to or account is None:
            log.error("failed, and nobody could be told", queue_id=queue_id, remedy="set delivery.notify")
            self._give_up(failure)
            return None
        return Notice(submit(self._spool, octets, to, self._now()), account.name, to)

    def _choose(self, name: str) -> Account | None:
        """The failed message's account; another one if it is in trouble and another one is not."""
        config, ill = self._current.config, self._standing.holds
        own = config.find_account(name)
        return own if own is not None and name not in ill else choose_healthy(config.account, ill) or own

    def announce(self, queue_id: str, notice: Notice, notice_id: str) -> None:
        """A notice was put, in the same commit as the failure."""
        metrics.NOTICES.labels(
            "operator" if notice.to == self._current.config.delivery.notify else "sender"
        ).inc()
        log.info("notice put", queue_id=queue_id, notice=notice_id)

    def _draft(self, failure: FailedMessage, account: Account, *, bare: bool) -> tuple[str, bytes]:
        delivery, entry = self._current.config.delivery, failure.claim.entry
        with _look_into(failure.claim.content, bare=bare) as content:
            author = originator(content)
            to = self._find_reader(author.addr_spec if author else "", entry.envelope.reverse_path)
            if not to:
                return "", b""
            subject, language = _understand(content)
            head = Letterhead(
                self._current.config.hostname,
                account.address,
                to,
                language if delivery.notice_language == "auto" else delivery.notice_language,
                self._now(),
            )
            facts = Facts(
                entry,
                failure.outcome,
                failure.refused,
                failure.unknown,
                subject or delivery.no_subject,
                int(self._current.config.spool.keep_failed // _DAY),
                delivery.notice_original,
                bare,
            )
            return to, write_failure(head, facts, content)

    def _find_reader(self, author: str, reverse_path: str) -> str:
        """The header From or the reverse-path, if it is ours to write to; else the operator; "" is nobody."""
        domains = [one.lower() for one in self._current.config.delivery.notice_domains]
        domains = domains or [_domain(account.address) for account in self._current.config.account]
        ours = [one for one in (author, reverse_path) if _domain(one) in domains and _PLAIN.fullmatch(one)]
        return next(iter(ours), self._current.config.delivery.notify)


def choose_healthy(accounts: Iterable[Account], in_trouble: Container[str]) -> Account | None:
    """The first account that can send."""
    return next((account for account in accounts if account.name not in in_trouble), None)


@contextlib.contextmanager
def _look_into(content: Content, *, bare: bool) -> Iterator[Buffer]:
    """The original; nothing of it, where it can be done without and cannot be opened."""
    with contextlib.ExitStack() as stack:
        try:
            octets = stack.enter_context(content.map())
        except OSError:
            if not bare:
                raise
            octets = b""
        yield octets


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def _understand(content: Buffer) -> tuple[str, str]:
    """The message's subject and language, as far as it can be read."""
    try:
        understood = parse(content)
    except Unconvertible:
        return "", "en"
    except Exception:  # noqa: BLE001 - a message that breaks the parser is one that a notice is about
        return "", "en"
    return understood.mail.subject, find_language(understood.mail, understood.codecs)
