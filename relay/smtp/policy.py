"""Who may connect, log in, and send as whom."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from ipaddress import IPv6Address, ip_address

from relay import reply
from relay.config import Config, Listener, User
from relay.passwords import verify_password
from relay.reply import Rejected

# A guess costs 19 MiB and a core for some 20 ms: two at a time, the others wait in line.
_HASHING = ThreadPoolExecutor(2, thread_name_prefix="password")


def may_connect(listener: Listener, peer: str) -> bool:
    """Whether this address is in the listener's networks; IPv4 in IPv6's clothes is IPv4."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in listener.networks)


async def login(config: Config, name: str, password: str) -> User | None:
    """The user of that name, if the password is right; hashing runs in a thread."""
    user = next((u for u in config.user if u.name == name), None)
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
    if not any(fnmatchcase(address.lower(), pattern.lower()) for pattern in user.may_send_as):
        raise Rejected(reply.SENDER_NOT_ALLOWED)
