"""A submission's way in: the account is chosen, the spool keeps it, the outcome is waited for a little."""

import asyncio
import time

import structlog

from relay import metrics, reply
from relay.config import Account, Config, User
from relay.courier import Courier
from relay.envelope import ContentWriter, Submission
from relay.message import originator
from relay.outcome import Action, Outcome
from relay.reply import Reply
from relay.spool import Spool, SpoolError, SpoolFull

log = structlog.get_logger("intake")


class Intake:
    """Takes submissions from the door and from commands."""

    def __init__(self, config: Config, spool: Spool, courier: Courier) -> None:
        self._config = config
        self._spool = spool
        self._courier = courier

    def writer(self) -> ContentWriter:
        """Where content flows, on the spool's own file system."""
        return self._spool.writer()

    def check_recipient(self, user: User | None, reverse_path: str) -> Reply | None:
        """Refuse at RCPT what no header field can save: there is no account at all."""
        del user, reverse_path
        return None if self._config.account else reply.NO_ACCOUNT

    async def accept(self, submission: Submission, user: User | None) -> Reply:
        """Keep the message, wait a little for its outcome, and say what became of it."""
        began = time.monotonic()
        answer = await self._accept(submission, user)
        relayed = answer.text.startswith("relayed")
        metrics.count_reply(answer.code, relayed=relayed, seconds=time.monotonic() - began)
        return answer

    async def _accept(self, submission: Submission, user: User | None) -> Reply:
        account = await asyncio.to_thread(self._choose, submission, user)
        if account is None:
            submission.content.discard()
            return reply.NO_ACCOUNT
        try:
            queue_id = await self._spool.put(submission, account.name)
        except SpoolError as error:
            submission.content.discard()
            log.error("message not kept", session=submission.envelope.session, reason=str(error))
            return reply.SPOOL_FULL if isinstance(error, SpoolFull) else reply.SPOOL_UNAVAILABLE
        envelope = submission.envelope
        log.info(
            "message kept",
            queue_id=queue_id,
            session=envelope.session,
            account=account.name,
            recipients=len(envelope.forward_paths),
            size=submission.content.size,
        )
        outcome = await self._courier.expect(
            queue_id, account.name, self._config.delivery.wait, envelope.line
        )
        return _reply(queue_id, outcome)

    def _choose(self, submission: Submission, user: User | None) -> Account | None:
        config = self._config
        if user is not None and user.account:
            return config.find_account(user.account)
        with submission.content.map() as content:
            author = originator(content)
        for address in (author.addr_spec if author else "", submission.envelope.reverse_path):
            found = next((a for a in config.account if a.address.lower() == address.lower()), None)
            if found is not None:
                return found
        return next((a for a in config.account if a.default), None)


def _reply(queue_id: str, outcome: Outcome | None) -> Reply:
    if outcome is None:
        return reply.queued(queue_id)
    if outcome.action is Action.RELAYED:
        return reply.relayed(queue_id)
    return reply.refused(outcome.status, f"{outcome.reason} (id={queue_id})")
