"""What a person looks for, held against the envelope as it is stored."""

from relay.spool import Criteria, State
from relay.spool.rows.codecs import dump_json

# What waits for its account is held for whoever looks, and queued or delayed for the engine.
WAITS = (State.QUEUED, State.DELAYED)


def fits(envelope: str, criteria: Criteria) -> bool:
    """Whether the words that stand somewhere in an envelope stand where they are looked for."""
    if criteria.source:
        source = dump_json(criteria.source)[:-1]
        if source not in (_cut(envelope, "client_address"), _cut(envelope, "user")):
            return False
    return all(
        _as_searched(words) in _cut(envelope, key).lower()
        for key, words in (("reverse_path", criteria.sender), ("forward_paths", criteria.recipient))
        if words
    )


def _cut(envelope: str, key: str) -> str:
    """The JSON of one text or list of an envelope, without its last sign; "" where it is null or missing.

    Cut out and not read: that takes a tenth of the time, and SQLite's own functions for JSON are missing in
    libraries of long-lived systems. Neither mark can stand within a text, where quotes are escaped.
    """
    mark = f'"{key}": '
    begin = envelope.find(mark) + len(mark)
    if begin < len(mark) or envelope[begin : begin + 1] not in ('"', "["):
        return ""
    end = envelope.find('], "' if envelope[begin] == "[" else '", "', begin)
    return envelope[begin : end if end >= 0 else len(envelope) - 2]


def _as_searched(words: str) -> str:
    """Words as JSON has them, in small letters."""
    return dump_json(words)[1:-1].lower()


def lower(text: str) -> str:
    """Small letters for the ASCII ones: as SQLite itself does it, and PostgreSQL in the C locale."""
    return "".join(char.lower() if char.isascii() else char for char in text)
