"""How a submission comes in: an account is chosen, the spool keeps it, its outcome is waited for briefly.

A submission that repeats one whose reply was never written (RFC 1047) is not kept a second time: its
client gets the reply of the first one. For that the session says when a reply was written, and when it
ends.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from relay import metrics, reply
from relay.config.current import Current
from relay.config.model import Account
from relay.config.rules import choose_account, find_rules
from relay.courier import Courier
from relay.envelope import Content, Envelope, Submission
from relay.host.clock import time_since_boot
from relay.host.content import ContentWriter
from relay.mail import Unconvertible
from relay.message import are_fields_plain, check_options, originator_address
from relay.reply import Reply, Unanswered, Verdict
from relay.spool import (
    KEPT_TWICE,
    Entry,
    Settlement,
    Spool,
    SpoolError,
    SpoolFull,
    SpoolInDoubt,
    State,
    TakenElsewhere,
)

log = structlog.get_logger("intake")
_AGAIN = 0.05  # seconds until a message is put again of which another node has kept an equal one

# Told of a message that is kept: its queue id, its envelope, its octets.
OnKept = Callable[[str, Envelope, bytes], None]


class Intake:
    """Takes submissions from the door and from commands."""

    def __init__(
        self, current: Current, spool: Spool, courier: Courier, on_kept: OnKept | None = None
    ) -> None:
        """Args:
        current: the configuration of the moment.
        spool: which keeps the messages.
        courier: whose verdicts are waited for.
        on_kept: told of each message that is kept, with its octets; for a relay to play with.
        """
        self._on_kept = on_kept
        self._current = current
        self._spool = spool
        self._courier = courier
        self._verdicts = courier.verdicts
        # By session: the queue id of the message that has no reply yet; "" on its way to the spool.
        self._unanswered: dict[str, str] = {}
        self._hung_up: set[str] = set()  # sessions of these whose client sends no more
        # Messages whose reply is being written to such a client; the result is whether the client took it.
        self._settling: dict[str, asyncio.Future[bool]] = {}
        # What is on its way to the spool. Equal submissions have one key; the future ends with the way.
        self._arriving: dict[_Same, tuple[str, asyncio.Future[None]]] = {}

    def writer(self) -> ContentWriter:
        """Where content flows, on the spool's own file system."""
        return self._spool.writer()

    def check_recipient(self) -> Reply | None:
        """The refusal of every recipient where there is no account at all, or no room; None: go on."""
        room = self._spool.room()
        if not room.accepting:
            return reply.SPOOL_UNAVAILABLE if room.trouble else reply.SPOOL_FULL
        return None if self._current.config.account else reply.NO_ACCOUNT

    def replied(self, session: str, answer: Reply) -> None:
        """This reply to the session's last message was written to its socket."""
        self._hung_up.discard(session)
        if queue_id := self._unanswered.pop(session, ""):
            self._spool.replied(queue_id, answer)
            self._decide(queue_id, taken=True)

    def hung_up(self, session: str) -> None:
        """The session's client sends no more, and most likely listens no more: it may submit again."""
        if session in self._unanswered and session not in self._hung_up:
            self._hung_up.add(session)
            if queue_id := self._unanswered[session]:
                self._spool.unheard(queue_id)

    def ended(self, session: str) -> None:
        """The session is over; a message that it had no reply to may be submitted again."""
        self.hung_up(session)
        self._hung_up.discard(session)
        if queue_id := self._unanswered.pop(session, ""):
            self._decide(queue_id, taken=False)

    def _decide(self, queue_id: str, *, taken: bool) -> None:
        settling = self._settling.pop(queue_id, None)
        if settling is not None:
            settling.set_result(taken)

    async def accept(self, submission: Submission) -> Reply:
        """Keep the message, wait a little for its outcome, and say what became of it.

        Raises:
            Unanswered: nobody knows whether it is kept, or how it ended.
        """
        began = time.monotonic()
        try:
            answer = await self._accept(submission)
        except SpoolInDoubt as error:
            log.error("no reply would be true", session=submission.envelope.session, queue_id=error.queue_id)
            raise Unanswered(str(error)) from error
        session = submission.envelope.session
        if session in self._hung_up and (queue_id := self._unanswered.get(session)):
            self._settling.setdefault(queue_id, asyncio.get_running_loop().create_future())
        relayed = answer.verdict is Verdict.RELAYED
        metrics.count_reply(answer.code, relayed=relayed, seconds=time.monotonic() - began)
        return answer

    async def _accept(self, submission: Submission) -> Reply:
        session, same = submission.envelope.session, _same(submission)
        self._unanswered[session] = ""
        earlier = self._arriving.get(same)
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arriving[same] = (session, arrived)
        try:
            if earlier is not None and earlier[0] in self._hung_up:
                await asyncio.wait({earlier[1]})
            return await self._find_or_keep(submission, arrived)
        finally:
            self._arrive(same, arrived)

    async def _find_or_keep(self, submission: Submission, arrived: asyncio.Future[None]) -> Reply:
        kept_twice, session = False, submission.envelope.session
        while True:
            try:
                known = await self._spool.recall(submission)
            except SpoolError as error:
                return self._refuse(submission, error)
            if known is not None and not await self._was_taken(known.queue_id):
                return await self._repeat(submission, known, arrived)
            asked = time_since_boot()
            try:
                return await self._keep(submission, arrived, kept_twice=kept_twice)
            except TakenElsewhere:
                await asyncio.sleep(_AGAIN)  # the network may just be telling us that the client has left
                if self._has_left(session):
                    submission.content.discard()
                    log.info("not kept again for a client that has left", session=session)
                    return reply.SPOOL_UNAVAILABLE  # which nobody hears
                # The client is there, so what another node has kept by now is no later try of it.
                submission, kept_twice = replace(submission, since=asked), True
                log.info("an equal message came to another node meanwhile", session=session)

    def _arrive(self, same: "_Same", arrived: asyncio.Future[None]) -> None:
        if not arrived.done():
            arrived.set_result(None)
        if self._arriving.get(same, ("", None))[1] is arrived:
            del self._arriving[same]

    async def _keep(
        self, submission: Submission, arrived: asyncio.Future[None], *, kept_twice: bool
    ) -> Reply:
        envelope = submission.envelope
        content = submission.content
        # A file is mapped and read, and a hostile field takes its time: not in the event loop.
        inline = content.data is not None and are_fields_plain(content.data)
        look = self._look
        account = look(submission) if inline else await asyncio.to_thread(look, submission)
        if isinstance(account, Reply):
            submission.content.discard()
            return account
        try:
            wait = 0.0 if submission.hold else self._patience(envelope, account.name)
            octets = _copy(content) if self._on_kept else b""
            with self._courier.expecting(account.name):
                queue_id = await self._spool.put(submission, account.name, waits=wait > 0)
        except SpoolInDoubt:
            submission.content.discard()
            raise
        except TakenElsewhere:
            raise
        except SpoolError as error:
            return self._refuse(submission, error)
        self._answer_for(envelope.session, queue_id)
        arrived.set_result(None)
        if kept_twice:
            metrics.KEPT_TWICE.inc()
            self._spool.note(queue_id, KEPT_TWICE)
        if self._on_kept:
            self._on_kept(queue_id, envelope, octets)
        log.info(
            "message kept",
            queue_id=queue_id,
            session=envelope.session,
            account=account.name,
            recipients=len(envelope.forward_paths),
            size=submission.content.size,
            held=submission.hold.value or None,
        )
        if submission.hold:
            return reply.held(queue_id)
        if not wait:
            return reply.queued(queue_id)
        return _reply(queue_id, await self._verdicts.wait_for_verdict(queue_id, account.name, wait))

    def _refuse(self, submission: Submission, error: SpoolError) -> Reply:
        """The reply to a submission that could not be kept; its content is discarded."""
        submission.content.discard()
        log.error("message not kept", session=submission.envelope.session, reason=str(error))
        return reply.SPOOL_FULL if isinstance(error, SpoolFull) else reply.SPOOL_UNAVAILABLE

    def _patience(self, envelope: Envelope, account: str) -> float:
        """Seconds that the session waits for the outcome. 0: it should not wait, or would wait in vain."""
        config = self._current.config
        own = find_rules(config, envelope).wait
        wait = config.delivery.wait if own is None else own
        return wait if wait >= self._courier.forecast(account, envelope.line) else 0.0

    def _answer_for(self, session: str, queue_id: str) -> None:
        if session in self._unanswered:
            self._unanswered[session] = queue_id
        if self._has_left(session):
            # The client left while the message was on its way to the spool.
            self._spool.unheard(queue_id)

    def _has_left(self, session: str) -> bool:
        """Whether the client sends no more, and most likely listens no more."""
        return session in self._hung_up or session not in self._unanswered

    async def _was_taken(self, queue_id: str) -> bool:
        """Whether a client that had stopped sending took its reply after all; waits until that is known."""
        settling = self._settling.get(queue_id)
        return settling is not None and await asyncio.shield(settling)

    async def _repeat(self, submission: Submission, known: Entry, arrived: asyncio.Future[None]) -> Reply:
        """The reply that the first submission got, or would have got."""
        submission.content.discard()
        queue_id, session = known.queue_id, submission.envelope.session
        self._answer_for(session, queue_id)
        arrived.set_result(None)
        log.info("message submitted again", queue_id=queue_id, session=session, state=known.state.value)
        wait = self._patience(submission.envelope, known.account)
        try:
            settled = await self._verdicts.wait_for_verdict(queue_id, known.account, wait, again=True)
            if settled is not None:
                return _reply(queue_id, settled)
            known = await self._spool.show(queue_id)
        except SpoolInDoubt:
            raise
        except SpoolError as error:
            log.warning("how it stands cannot be looked up", queue_id=queue_id, reason=str(error))
        if known.state is State.RELAYED:
            return reply.relayed(queue_id)
        taken = bool(known.relayed or known.unknowns)  # by some: a notice tells of the others
        if known.state is State.REFUSED or (known.state is State.FAILED and not taken):
            return reply.refused(known.status, known.reason, queue_id)
        return reply.queued(queue_id)

    def _look(self, submission: Submission) -> Account | Reply:
        """The account that sends the message, or the reply that refuses it."""
        envelope = submission.envelope
        rules = find_rules(self._current.config, envelope)
        with submission.content.map() as content:
            account = choose_account(
                self._current.config, rules, lambda: originator_address(content), envelope.reverse_path
            )
            if rules.options_by_field:
                try:
                    check_options(content)
                except Unconvertible as error:
                    return reply.refused(error.status, error.reason)
        return account or reply.NO_ACCOUNT


_Same = tuple[str, str | None, str, tuple[str, ...], str]


def _same(submission: Submission) -> _Same:
    envelope = submission.envelope
    return (
        envelope.client_address,
        envelope.user,
        envelope.reverse_path,
        envelope.forward_paths,
        submission.content.sha256,
    )


def _reply(queue_id: str, settled: Settlement | None) -> Reply:
    if settled is not None and settled.state is State.RELAYED:
        return reply.relayed(queue_id)
    if settled is not None and settled.state is State.REFUSED:
        return reply.refused(settled.outcome.status, settled.outcome.reason, queue_id)
    return reply.queued(queue_id)


def _copy(content: Content) -> bytes:
    with content.map() as octets:
        return bytes(octets)
