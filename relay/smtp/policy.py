"""Who may connect, log in, and send as whom to whom.

Patterns are compared without case; one that begins with "!" refuses, and refusals come before
permissions. Domains are compared in both their forms (RFC 5890), so that none is a way round.
"""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network

from relay import reply
from relay.config import Config, Listener, User
from relay.envelope import Content
from relay.message import originators
from relay.passwords import verify_password
from relay.reply import Rejected
from relay.smtp.limits import read_address

# A guess costs 19 MiB and a core for some 20 ms: two at a time, the others wait in line.
_HASHING = ThreadPoolExecutor(2, thread_name_prefix="password")


def is_within(networks: Iterable[IPv4Network | IPv6Network], peer: str) -> bool:
    """Whether this address is in one of the networks; IPv4 in IPv6's clothes is IPv4."""
    address = read_address(peer)
    return address is not None and any(address in network for network in networks)


def may_connect(listener: Listener, peer: str) -> bool:
    """Whether this address may speak to the listener."""
    return is_within(listener.networks, peer)


async def login(config: Config, name: str, password: str) -> User | None:
    """The user of that name, if the password is right; hashing runs in a thread."""
    user = next((u for u in config.user if u.name == name and u.password_hash), None)
    password_hash = user.password_hash if user else None
    loop = asyncio.get_running_loop()
    right = await loop.run_in_executor(_HASHING, verify_password, password_hash, password)
    return user if right else None


def check_sender(user: User | None, address: str) -> None:
    """Whether the user may send as this address; the null reverse-path is nobody's.

    Raises:
        Rejected: 550 5.7.1.
    """
    if user is None or user.may_send_as is None or not address:
        return
    if not _is_allowed(user.may_send_as, _spell_address(address)):
        raise Rejected(reply.SENDER_NOT_ALLOWED)


async def check_originators(user: User | None, content: Content) -> None:
    """Whether the user may send as everybody whom From and Sender name (RFC 5322 §3.6.2).

    Raises:
        Rejected: 550 5.7.1.
        OSError: the content cannot be read.
    """
    if user is None or user.may_send_as is None:
        return
    for address in await asyncio.to_thread(_read_originators, content):
        if not _is_allowed(user.may_send_as, _spell_address(address)):
            raise Rejected(reply.ORIGINATOR_NOT_ALLOWED)


def _read_originators(content: Content) -> list[str]:
    with content.map() as octets:
        return [mailbox.addr_spec for mailbox in originators(octets)]


def check_recipient(listener: Listener, user: User | None, address: str) -> None:
    """Whether the listener and the user may send to this address's domain.

    Raises:
        Rejected: 550 5.7.1.
    """
    domain = _spell_domain(address.rpartition("@")[2])
    for allowed in (listener.recipient_domains, user.recipient_domains if user else None):
        if allowed is not None and not _is_allowed(allowed, domain):
            raise Rejected(reply.RECIPIENT_NOT_ALLOWED)


def _is_allowed(patterns: Iterable[str], text: str) -> bool:
    allowed = False
    for pattern in patterns:
        spelled = _spell_pattern(pattern.removeprefix("!"))
        if fnmatchcase(text, spelled):
            if pattern.startswith("!"):
                return False
            allowed = True
    return allowed


def _spell_address(address: str) -> str:
    local, at, domain = address.rpartition("@")
    return f"{local.casefold()}{at}{_spell_domain(domain)}"


def _spell_domain(domain: str) -> str:
    try:
        return domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return domain.casefold()


def _spell_pattern(pattern: str) -> str:
    # Brackets would be a class of characters to fnmatch; in an address they are themselves.
    return _spell_address(pattern).replace("[", "[[]")
