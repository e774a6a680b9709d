"""Which messages cost so little that the event loop may convert them: most mail is a few lines of text."""

_MOST_OCTETS = 32 * 1024
# What makes work, and how much of it at most, in microseconds. Measured with messages that hold nothing else.
_WORK = (
    (b"\n", 3),  # a field, a line of uuencode
    (b"\n--", 100),  # a part
    (b"=?", 25),  # an encoded-word
    (b"@", 12),  # a mailbox
    (b"\x1b", 4),  # an escape sequence
    (b"\x0e", 4),
    (b"\x0f", 4),
    (b"(", 5),  # a comment
    (b":", 1),
    (b"&", 1),
    (b",", 3),
    (b";", 3),  # a parameter
    (b"<", 3),  # a tag, a mailbox
    (b"=", 2),  # an attribute, a reference
)
_PLAIN = bytes(set(range(256)) - {mark[0] for mark, _ in _WORK if len(mark) == 1})
_FIELDS = 0.4  # microseconds for an octet of the message's own fields, whatever it is
# Beside a mail of this much, all that a session does costs more.
_LITTLE = 3000  # microseconds


def costs_little(octets: bytes) -> bool:
    """Whether a message is small, plain and unambiguous; found without reading it.

    Octets that are neither ASCII nor UTF-8 may need guesses at their charset. Those that are encoded may too,
    which is not seen here: let it be converted with a strict budget.
    """
    if len(octets) > _MOST_OCTETS or not _is_utf_8(octets):
        return False
    marks = octets.translate(None, _PLAIN)
    work = sum((octets if len(mark) > 1 else marks).count(mark) * work for mark, work in _WORK)
    fields = octets.find(b"\r\n\r\n")
    return work + _FIELDS * (len(octets) if fields < 0 else fields) <= _LITTLE


def _is_utf_8(octets: bytes) -> bool:
    if octets.isascii():
        return True
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
