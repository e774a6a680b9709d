"""How much work octets may cause, found without reading them: what costs little, the event loop may convert.

Most mail is a few lines of text, or a scan: Base64 that is checked and passed on as it is.
"""

import re

# What makes work, and how much of it at most, in microseconds. Measured with messages that hold nothing else.
_PART, _ENCODED_WORD = 100, 25
_WORK = {
    "\n": 3,  # a field, a line of uuencode
    "@": 12,  # a mailbox
    "\x1b": 4,  # an escape sequence
    "\x0e": 4,
    "\x0f": 4,
    "(": 5,  # a comment
    ":": 1,
    "&": 1,
    ",": 3,
    ";": 3,  # a parameter
    "<": 3,  # a tag, a mailbox
    "=": 2,  # an attribute, a reference
}
_PLAIN = bytes(octet for octet in range(256) if chr(octet) not in _WORK)
_COSTS = bytes(_WORK.get(chr(octet), 0) for octet in range(256))
_FIELDS = 0.4  # microseconds for an octet of the message's own fields, whatever it is
_RAW = 10  # for one beyond ASCII: a domain of them is folded by Python, not by C
_LOW = bytes(range(0x80))
# Lines of Base64, which cost by the octet only: none of them is a field, a part, or a line of words. The text
# that they decode to is judged by `Budget.take_text`.
_BASE64 = re.compile(rb"\n(?:[A-Za-z0-9+/]{60,}+\r?\n)++")
_ENCODED = 0.01  # microseconds for an octet of them
_MOST_ENCODED = 192 * 1024
MOST_OCTETS = 32 * 1024  # without them, and of texts that are encoded
# Beside a mail of this much, all that a session does costs more.
LITTLE = 3000  # microseconds


def costs_little(message: bytes) -> bool:
    """Whether a message is small, plain and unambiguous.

    Octets that are neither ASCII nor UTF-8 may need guesses at their charset. Those that are encoded may too,
    or hold a page of many tags, which is not seen here: let it be converted with a strict budget.
    """
    if len(message) > _MOST_ENCODED or not _is_utf_8(message):
        return False
    rest = _BASE64.sub(b"\n", message)
    if len(rest) > MOST_OCTETS:
        return False
    end = message.find(b"\r\n\r\n")
    fields = message if end < 0 else message[:end]
    work = _FIELDS * len(fields) + _RAW * len(fields.translate(None, _LOW))
    return estimate(rest) + work + _ENCODED * (len(message) - len(rest)) <= LITTLE


def estimate(octets: bytes) -> int:
    """The microseconds that these octets take at most, as fields or as text, in a charset that is known."""
    marks = sum(octets.translate(_COSTS, _PLAIN))
    return marks + _PART * octets.count(b"\n--") + _ENCODED_WORD * octets.count(b"=?")


def _is_utf_8(octets: bytes) -> bool:
    if octets.isascii():
        return True
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
