"""AUTH PLAIN and LOGIN (RFC 4954, RFC 4616), as old devices hold them."""

import base64
import binascii
from collections.abc import Awaitable, Callable

from relay import reply
from relay.devices.recorder import split_command
from relay.reply import Rejected

# Sends a challenge, gives the client's line.
Ask = Callable[[bytes], Awaitable[bytes]]
Credentials = tuple[str, str]
MECHANISMS = ("PLAIN", "LOGIN")


async def credentials(argument: str, ask: Ask) -> Credentials:
    """User name and password, by the mechanism that the client chose.

    Raises:
        Rejected: another mechanism, given up, or not in Base64.
    """
    mechanism, initial = split_command(argument)
    # Mechanism names are case-insensitive (RFC 4954 §3 by way of RFC 4422): .NET says "login".
    if mechanism == "PLAIN":
        return await _plain(initial, ask)
    if mechanism == "LOGIN":
        return await _login(initial, ask)
    raise Rejected(reply.UNKNOWN_MECHANISM)


async def _plain(initial: str, ask: Ask) -> Credentials:
    line = initial.encode("ascii", "replace") if initial else await ask(b"")
    parts = _decode(line).split(b"\0")
    if len(parts) != len(("authzid", "user", "password")):
        raise Rejected(reply.AUTH_BAD_BASE64)
    authzid, user, password = map(_text, parts)
    if authzid not in ("", user):  # nobody acts for somebody else here (RFC 4616 §2)
        raise Rejected(reply.AUTH_OTHER_IDENTITY)
    return user, password


async def _login(initial: str, ask: Ask) -> Credentials:
    # The challenges are "Username:" and "Password:": other texts make printers quit.
    name = _decode(initial.encode("ascii", "replace") if initial else await ask(b"Username:"))
    password = _decode(await ask(b"Password:"))
    return _text(name), _text(password)


def _decode(line: bytes) -> bytes:
    if line.strip() == b"*":
        raise Rejected(reply.AUTH_ABORTED)
    if line.strip() == b"=":  # an empty initial response (RFC 4954 §4)
        return b""
    try:
        return base64.b64decode(line.strip(), validate=True)
    except binascii.Error:
        raise Rejected(reply.AUTH_BAD_BASE64) from None


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")
