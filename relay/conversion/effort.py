"""Which messages cost so little that the event loop may convert them: most mail is a few lines of text."""

_MOST_OCTETS = 32 * 1024
# What makes work, and how much of it at most, in microseconds. Measured with messages that hold nothing else.
_WORK = (
    (b"\n", 3),  # a field, a line of uuencode
    (b"\n--", 100),  # a part
    (b"=?", 25),  # an encoded-word
    (b"@", 12),  # a mailbox
    (b",", 3),
    (b";", 3),  # a parameter
    (b"<", 3),  # a tag, a mailbox
    (b"=", 2),  # an attribute, a reference
    (b"base64", 500),  # a text that may have no charset: it is guessed
)
# Beside a mail of this much, all that a session does costs more.
_LITTLE = 3000  # microseconds


def costs_little(octets: bytes) -> bool:
    """Whether a message is small, plain and unambiguous; found without reading it.

    Octets that are neither ASCII nor UTF-8 may need a guess at their charset, which nothing here can foresee.
    """
    if len(octets) > _MOST_OCTETS or not _is_utf_8(octets):
        return False
    return sum(octets.count(mark) * work for mark, work in _WORK) <= _LITTLE


def _is_utf_8(octets: bytes) -> bool:
    if octets.isascii():
        return True
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
