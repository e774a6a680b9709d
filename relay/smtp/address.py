"""The grammar of reverse-paths and forward-paths: what is checked is exactly what the API is given.

Stricter than RFC 5321 where the API would misread an address (it splits on semicolons), and laxer
where real mailboxes need it (repeated and trailing dots of older Japanese mobile addresses). A local part in
quotes is unquoted first and then held to the same grammar: it is the same mailbox (RFC 5321 §4.1.2).
"""

import re
import unicodedata

from relay import reply
from relay.devices.recorder import BLANKS
from relay.message.addresses import unquote
from relay.reply import Rejected, Reply

# RFC 5322 atext, and UTF-8 (RFC 6531 §3.3), with dots anywhere.
# Said by what is not in it: a range up to U+10FFFF takes the compiler of patterns ten times as long.
_LOCAL_PART = re.compile(r"[^\x00- \"(),:;<>@\[\\\]\x7f]+")
_LETTER, _INNER = r"[^\x00-/:-@\[-`{-\x7f]", r"[^\x00-,./:-@\[-^`{-\x7f]"
_LABEL = rf"{_LETTER}(?:{_INNER}*{_LETTER})?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LITERAL = re.compile(r"\[(?:IPv6:)?[0-9A-Fa-f:.]+\]", re.IGNORECASE)  # RFC 5321 §4.1.3
_LONGEST_LOCAL_PART, _LONGEST_PATH = 64, 254  # RFC 5321 §4.5.3.1.1, §4.5.3.1.3 less the brackets
# A display name may stand before the brackets: devices send what their address book shows.
_PATH = re.compile(r"([^<>]*)<([^<>]*)>(.*)", re.DOTALL)
_QUOTED = re.compile(r'"[^"]*"')
_BARE = re.compile(rf"([^{BLANKS}]+)[{BLANKS}]*(.*)", re.DOTALL)


def split_path(argument: str, several: Reply) -> tuple[str, str]:
    """The path and the parameters of what follows FROM: or TO:; `several` says that there is but one.

    Raises:
        Rejected: there is no path, or more than one.
    """
    argument = argument.strip(BLANKS)
    found = _PATH.fullmatch(argument)
    if found is not None and "@" not in found[1]:
        # `<a@b>;<c@d>` comes from address books of devices.
        if any(mark in _QUOTED.sub("", found[1]) + found[3][:1] for mark in ";,<"):
            raise Rejected(several)
        return found[2].strip(BLANKS), found[3].strip(BLANKS)
    found = _BARE.fullmatch(argument)
    if found is None or "<" in found[1] or ">" in found[1]:
        raise Rejected(reply.BAD_PATH_SYNTAX)
    return found[1], found[2]


def check_reverse_path(path: str, hostname: str, *, utf8: bool = True) -> str:
    """The reverse-path, unquoted, and qualified with `hostname` if it has no domain; "" is the null one.

    Raises:
        Rejected: 553 5.1.7, or 5.6.7 where SMTPUTF8 was needed and not said.
    """
    if path and "@" not in path:
        path = f"{path}@{hostname}"
    path = unquote(path)
    if path and not _is_address(path, literal=True):
        raise Rejected(reply.BAD_REVERSE_PATH)
    if not utf8 and not path.isascii():
        raise Rejected(reply.SMTPUTF8_NEEDED)
    return path


def check_forward_path(path: str, *, utf8: bool = True) -> str:
    """The forward-path, unquoted.

    Raises:
        Rejected: 501 or 553 5.1.3, with the reason; 5.6.7 where SMTPUTF8 was needed and not said.
    """
    path = unquote(path)
    if ";" in path or "," in path:
        raise Rejected(reply.ONE_ADDRESS)
    if path and "@" not in path:
        raise Rejected(reply.NO_DOMAIN)
    # The API refuses a message whole for one recipient without a domain name.
    if not _is_address(path, literal=False):
        raise Rejected(reply.BAD_FORWARD_PATH)
    if not utf8 and not path.isascii():
        raise Rejected(reply.SMTPUTF8_NEEDED)
    return path


def _is_address(path: str, *, literal: bool) -> bool:
    if "=?" in path or not path.isprintable() or not _fits(path):
        return False
    if path.isascii():
        return _has_form(path) or (literal and _has_literal(path))
    # Whoever folds compatibility characters must read the same: a wide ；is a semicolon to them, and
    # 。a dot (RFC 3490 §3.1).
    folded = unicodedata.normalize("NFKC", path)
    return _has_form(path) and _has_form(folded) and _has_letters(folded.rpartition("@")[2])


def _has_letters(domain: str) -> bool:
    # Letters, marks and digits are what labels are made of (RFC 5892 §2.1).
    return all(c.isascii() or unicodedata.category(c)[0] in "LMN" for c in domain)


def _fits(path: str) -> bool:
    try:
        octets = path.encode()
    except UnicodeEncodeError:  # not UTF-8 on the wire
        return False
    return len(octets) <= _LONGEST_PATH and len(octets.rpartition(b"@")[0]) <= _LONGEST_LOCAL_PART


def _has_form(path: str) -> bool:
    local, _, domain = path.rpartition("@")
    return _LOCAL_PART.fullmatch(local) is not None and _DOMAIN.fullmatch(domain) is not None


def _has_literal(path: str) -> bool:
    local, _, domain = path.rpartition("@")
    return _LOCAL_PART.fullmatch(local) is not None and _LITERAL.fullmatch(domain) is not None
