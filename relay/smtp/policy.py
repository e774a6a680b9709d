"""Who may connect, log in, and send as whom to whom.

Patterns are compared without case; one that begins with "!" refuses, and refusals come before
permissions. Domains are compared in both their forms (RFC 5890), so that none is a way round.
"""

import asyncio
import os
import re
import sys
import threading
import unicodedata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network

from relay import reply
from relay.config.model import Config, Listener, User
from relay.config.networks import read_address
from relay.config.rules import Rules
from relay.envelope import Content
from relay.host.passwords import verify_password
from relay.message import originators
from relay.reply import Rejected

_OWN_LETTERS = frozenset("ßς")
_QUOTED, _QUOTED_PAIR = re.compile(r'".*"', re.DOTALL), re.compile(r"\\(.)", re.DOTALL)
# RFC 1035 §2.3.4. A longer one is no label, and Python's codecs take quadratic time: seconds for 30 KB.
_LONGEST_LABEL = 63
# So many logins wait in line, some five seconds of them; whoever comes then is asked to come again.
_MOST_WAITING = 200
# Not the lowest: a login must not wait for a whole machine that is busy with something else.
_NICE = 10


class Hashing(ThreadPoolExecutor):
    """Passwords hashed one at a time, in a thread that gives way to the event loop's.

    A guess costs 19 MiB and a core for some 20 ms. Two at once on two cores let the loop wait for one; a
    thread of lower priority is put off as soon as the loop has something to do.
    """

    def __init__(self, most_waiting: int = _MOST_WAITING) -> None:
        super().__init__(1, thread_name_prefix="password", initializer=_give_way)
        self._most = most_waiting
        self._waiting = 0

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is right; see `verify_password`.

        Raises:
            Rejected: 454 4.7.0, too many wait already.
        """
        if self._waiting >= self._most:
            raise Rejected(reply.LOGIN_UNAVAILABLE)
        self._waiting += 1
        done = asyncio.get_running_loop().run_in_executor(self, verify_password, password_hash, password)
        done.add_done_callback(self._end)  # also when its client is gone: the thread works on
        return await asyncio.shield(done)

    def _end(self, _: "asyncio.Future[bool]") -> None:
        self._waiting -= 1


def _give_way() -> None:
    # Linux knows a priority for each thread; elsewhere this would be the whole process's.
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


_HASHING = Hashing()


def is_within(networks: Iterable[IPv4Network | IPv6Network], peer: str) -> bool:
    """Whether this address is in one of the networks; IPv4 in IPv6's clothes is IPv4."""
    address = read_address(peer)
    return address is not None and any(address in network for network in networks)


def may_connect(listener: Listener, peer: str) -> bool:
    """Whether this address may speak to the listener."""
    return is_within(listener.networks, peer)


async def login(config: Config, name: str, password: str) -> User | None:
    """The user of that name, if the password is right; hashing runs in a thread.

    Raises:
        Rejected: 454 4.7.0, it cannot be looked at now.
    """
    user = next((u for u in config.user if u.name == name and u.password_hash), None)
    return user if await _HASHING.verify(user.password_hash if user else None, password) else None


def check_sender(rules: Rules, address: str) -> None:
    """Whether all of the rules allow to send as this address; the null reverse-path is nobody's.

    Raises:
        Rejected: 550 5.7.1.
    """
    for patterns in rules.may_send_as:
        if not address and not all(pattern.startswith("!") for pattern in patterns):
            continue  # who may send as nobody at all may not send with it either
        if not _is_allowed(patterns, _spell_address(address)):
            raise Rejected(reply.SENDER_NOT_ALLOWED)


async def check_originators(rules: Rules, content: Content) -> None:
    """Whether all of the rules allow to send as everybody whom From and Sender name (RFC 5322 §3.6.2).

    Raises:
        Rejected: 550 5.7.1.
        OSError: the content cannot be read.
    """
    if not rules.may_send_as:
        return
    for address in await asyncio.to_thread(_read_originators, content):
        spelled = _spell_address(address)
        if not all(_is_allowed(patterns, spelled) for patterns in rules.may_send_as):
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
    if _QUOTED.fullmatch(local):
        # "c\eo"@example.com is ceo@example.com (RFC 5321 §4.1.2).
        local = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    # Whoever folds compatibility characters reads ｃｅｏ as ceo.
    return f"{unicodedata.normalize('NFKC', local).casefold()}{at}{_spell_domain(domain)}"


def _spell_domain(domain: str) -> str:
    labels = domain.split(".")
    if any(len(label) > _LONGEST_LABEL for label in labels):
        return domain.casefold()
    labels = [_spell_label(label) for label in labels]
    try:
        return ".".join(labels).encode("idna").decode("ascii").lower()
    except UnicodeError:
        return domain.casefold()


def _spell_label(label: str) -> str:
    # Python's codec is of 2003 and makes straße strasse, which is another domain today (RFC 5894 §7.2).
    lowered = unicodedata.normalize("NFKC", label.lower())
    if _OWN_LETTERS.isdisjoint(lowered):
        return label
    return f"xn--{lowered.encode('punycode').decode('ascii')}"


def _spell_pattern(pattern: str) -> str:
    # Brackets would be a class of characters to fnmatch; in an address they are themselves.
    return _spell_address(pattern).replace("[", "[[]")
