"""The end of a session: its last reply, the client heard out, the connection closed, all in bounded time."""

import asyncio
from contextlib import suppress

from relay import reply
from relay.reply import Reply
from relay.smtp.conversation import Conversation, Flooded, Stopping, TimedOut
from relay.smtp.handshake import SHUTDOWN

# Seconds for the last reply to go, and for the client to stop sending.
_LINGER = 2.0
# What the client, the sweep and the stop of the relay may still do to a session that ends anyway.
_ENDS = (OSError, TimedOut, Stopping, Flooded)


async def take_leave(session: Conversation, answer: Reply) -> None:
    """Say why the session ends, and hear the client out."""
    with suppress(*_ENDS):
        session.pace.waits = False
        async with asyncio.timeout(_LINGER):
            await session.say(answer, now=True)
    if answer is not reply.SHUTTING_DOWN:
        await linger(session)


async def linger(session: Conversation) -> None:
    """Read what the client still sends, so that it can read our last reply."""
    with suppress(*_ENDS):
        session.pace.waits = False
        async with asyncio.timeout(2 * _LINGER):
            await session.stream.linger(_LINGER)


async def hang_up(session: Conversation) -> None:
    """Close the connection once what was said is written."""
    stream = session.stream
    stream.discard()
    if stream.transport is None:
        return
    if stream.owes:
        with suppress(*_ENDS):
            async with asyncio.timeout(_LINGER):
                await stream.flush()
    if stream.transport.get_write_buffer_size():
        # Whoever does not take the last reply has no claim on the socket.
        session.loop.call_later(SHUTDOWN, stream.transport.abort)
    stream.transport.close()
