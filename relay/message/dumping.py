"""JSON as it stands in a request's body."""

import json
import re
from contextlib import suppress

_PIECE = 64 * 1024  # characters
# Line ends that JSON leaves as they are: an object of `relay explain` is one line, to a reader that goes by
# Unicode's line ends too. And lone surrogates, none of which should have got here.
_LINE_ENDS = "\x85\u2028\u2029"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps makes one anew
_UNSAFE = re.compile(f"[{_LINE_ENDS}\ud800-\udfff]")


def dump(value: dict[str, str | bool] | str) -> bytes:
    """The value in UTF-8, without white space."""
    if isinstance(value, str) and len(value) > _PIECE:
        # In pieces, between which other threads get their turn.
        pieces = (value[at : at + _PIECE] for at in range(0, len(value), _PIECE))
        return b"".join((b'"', *(dump(piece)[1:-1] for piece in pieces), b'"'))
    text = _encode(value)
    if not any(end in text for end in _LINE_ENDS):
        with suppress(UnicodeEncodeError):  # of a surrogate
            return text.encode()
    return _UNSAFE.sub(_escape, text).encode()


def _escape(found: re.Match[str]) -> str:
    return "\ufffd" if found[0] >= "\ud800" else f"\\u{ord(found[0]):04x}"
