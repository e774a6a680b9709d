"""The parameters of MAIL and RCPT: what is obeyed, what is taken and does nothing, what is refused."""

import re
from dataclasses import dataclass

from relay import reply
from relay.devices.recorder import BLANKS
from relay.reply import Rejected

# esmtp-param of RFC 5321 §4.1.2; values are laxer, because AUTH=<> and ORCPT's xtext come as they come.
_BLANKS = re.compile(f"[{BLANKS}]+")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9\-]*)(?:=(\S*))?")
# A size of more digits is no size (RFC 1870 §6 allows 20).
_SIZE = re.compile(r"[0-9]{1,20}")
_MAIL = frozenset({"SIZE", "BODY", "SMTPUTF8", "AUTH", "RET", "ENVID"})
_RCPT = frozenset({"NOTIFY", "ORCPT"})
# RFC 3461: asked for with or without DSN being offered; nothing here can honour them.
_DELIVERY_OPTIONS = frozenset({"RET", "ENVID", "NOTIFY", "ORCPT"})


@dataclass(frozen=True, slots=True)
class Parameters:
    """What MAIL or RCPT said beside the path."""

    size: int = 0  # octets that the client announced (RFC 1870); 0: it did not
    utf8: bool = False  # RFC 6531
    delivery_options: bool = False  # RFC 3461


def read_mail_parameters(text: str) -> Parameters:
    """The parameters of MAIL.

    Raises:
        Rejected: 501 for a value that cannot be, 555 for a parameter that is not implemented.
    """
    given = _read(text, _MAIL)
    size = given.get("SIZE", "") or "0"
    if not _SIZE.fullmatch(size) or given.get("BODY", "7BIT").upper() not in ("7BIT", "8BITMIME"):
        raise Rejected(reply.BAD_ARGUMENT)
    return Parameters(int(size), "SMTPUTF8" in given, not _DELIVERY_OPTIONS.isdisjoint(given))


def read_rcpt_parameters(text: str) -> Parameters:
    """The parameters of RCPT.

    Raises:
        Rejected: as for MAIL.
    """
    return Parameters(delivery_options=not _DELIVERY_OPTIONS.isdisjoint(_read(text, _RCPT)))


def _read(text: str, known: frozenset[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for word in filter(None, _BLANKS.split(text)):
        found = _PARAMETER.fullmatch(word)
        if found is None:
            raise Rejected(reply.BAD_ARGUMENT)
        if found[1].upper() not in known:
            raise Rejected(reply.UNKNOWN_PARAMETER)
        given[found[1].upper()] = found[2] or ""
    return given
