"""TLS begun on a connection that spoke plain text before (RFC 3207)."""

import asyncio
import ssl

from relay.devices.recorder import DeviceFault
from relay.smtp.conversation import Conversation
from relay.smtp.peek import peek
from relay.smtp.tls import name_reason

HANDSHAKE = 30.0  # seconds; a printer's processor takes five
SHUTDOWN = 3.0


async def start_tls(
    session: Conversation, transport: asyncio.Transport, context: ssl.SSLContext
) -> asyncio.Transport | None:
    """The transport that speaks TLS; what the client offered goes to its record.

    Raises:
        OSError, EOFError: the handshake came to nothing.
    """
    record = session.record
    record.hello(await peek(transport.get_extra_info("socket").fileno(), HANDSHAKE))
    try:
        return await session.loop.start_tls(
            transport,
            session,
            context,
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE,
            ssl_shutdown_timeout=SHUTDOWN,
        )
    except (OSError, EOFError) as error:
        record.note(DeviceFault.TLS_FAILED, name_reason(error))
        raise
