"""DATA and BDAT as the session holds them: content taken, checked, and handed over.

From the moment of handing over, the message's fate is not the session's: who hangs up changes nothing.
"""

import asyncio
from datetime import UTC, datetime

from relay import reply
from relay.envelope import Envelope, Submission
from relay.outcome import Hold
from relay.reply import Rejected, Reply
from relay.smtp import policy
from relay.smtp.acknowledgement import has_left
from relay.smtp.conversation import Conversation
from relay.smtp.receive import Overrun, Receiver, skip
from relay.smtp.transaction import Transaction

# The kernel knows that the client has left; the event loop hears of it after so many turns at most.
_TURNS = 10


async def take_data(session: Conversation, transaction: Transaction) -> Reply:
    """Take what follows DATA (RFC 5321 §4.1.1.4).

    Raises:
        Rejected: it is not taken.
        Overrun: there is no end in sight.
    """
    receiver = await transaction.begin(session.stream, session.pace, session.client.spender)
    await session.say(reply.START_DATA, now=True)
    await receiver.read_data()
    return await _hand_over(session, transaction, receiver)


async def take_chunk(
    session: Conversation, transaction: Transaction | None, size: int, *, last: bool
) -> Reply:
    """Take what follows BDAT (RFC 3030 §2).

    Raises:
        Rejected: it is not taken; its octets were, as they are no commands.
        Overrun: it is larger than anything that could be taken.
    """
    limit = session.door.limit
    if limit and size > 2 * limit:
        raise Overrun
    try:
        receiver = await _open(session, transaction)
    except Rejected:
        await skip(session.stream, session.pace, size)
        await session.abandon()
        raise
    assert transaction is not None  # noqa: S101 - it has a receiver
    await receiver.read_chunk(size, last=last)
    if receiver.refusal is not None:
        await session.abandon()
        return receiver.refusal
    return await _hand_over(session, transaction, receiver) if last else reply.CHUNK_TAKEN


async def _open(session: Conversation, transaction: Transaction | None) -> Receiver:
    if transaction is None:
        raise Rejected(reply.NO_TRANSACTION)
    return transaction.receiver or await transaction.begin(
        session.stream, session.pace, session.client.spender
    )


async def _hand_over(session: Conversation, transaction: Transaction, receiver: Receiver) -> Reply:
    try:
        content = await receiver.finish()
        with session.pace.working():
            try:
                held = Hold.DEVICE if session.client.is_learned else Hold.NONE
                envelope = _make_envelope(session, transaction)
                submission = Submission(envelope, content, held, since=session.answered)
                await policy.check_originators(transaction.rules, content)
                await _look_up(session, transaction)
                await transaction.let_pass()
            except BaseException:
                content.discard()
                raise
            accepting = session.door.hand_over(submission)
            transaction.arrived()
            if session.stream.ended:  # already; to be told when `accept` has begun
                session.loop.call_soon(session.door.intake.hung_up, session.id)
            answer = await asyncio.shield(accepting)
        session.record.took(content.size, answer)
        if held and answer.accepted:
            door = session.door
            door.learning.held(
                door.listener, session.client.peer, session.client.helo, transaction.reverse_path
            )
        return answer
    finally:
        await session.abandon()


def _make_envelope(session: Conversation, transaction: Transaction) -> Envelope:
    """What is known of the transaction and its session."""
    user, tls, listener = session.client.user, session.ssl_object(), session.door.listener
    return Envelope(
        reverse_path=transaction.reverse_path,
        forward_paths=tuple(transaction.forward_paths),
        arrival_date=datetime.now(UTC),
        client_address=session.client.peer,
        helo=session.client.helo,
        user=user.name if user else None,
        listener=listener.address,
        tls=f"{tls.version()} {tls.cipher()[0]}" if tls else "",
        session=session.id,
        delivery_options=transaction.delivery_options,
        priority=(user.priority if user else "") or listener.priority,
    )


async def _look_up(session: Conversation, transaction: Transaction) -> None:
    """Notice whether the client has left: all its content is there, so nothing else is read."""
    stream = session.stream
    if not stream.paused and transaction.is_alone:
        return  # the event loop will hear of it in time
    stream.resume_reading()
    for _ in range(_TURNS):
        if stream.ended or not has_left(stream.transport):
            return
        await asyncio.sleep(0)
