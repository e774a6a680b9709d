"""JSON as it stands in a request's body."""

import json
import re

_PIECE = 64 * 1024  # characters
# Lone surrogates, none of which should have got here, and the line ends that JSON leaves as they are: an
# object of `relay explain` is one line, to a reader that goes by Unicode's line ends too.
_UNSAFE = re.compile("[\x85\u2028\u2029\ud800-\udfff]")


def dump(value: dict[str, str | bool] | str) -> bytes:
    """The value in UTF-8, without white space."""
    if isinstance(value, str) and len(value) > _PIECE:
        # In pieces, between which other threads get their turn.
        pieces = (value[at : at + _PIECE] for at in range(0, len(value), _PIECE))
        return b"".join((b'"', *(dump(piece)[1:-1] for piece in pieces), b'"'))
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return (text if text.isascii() else _UNSAFE.sub(_escape, text)).encode()


def _escape(found: re.Match[str]) -> str:
    return "\ufffd" if found[0] >= "\ud800" else f"\\u{ord(found[0]):04x}"
