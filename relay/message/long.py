"""A body of many megabytes: its beginning is read as any text, the rest passes in blocks as it lies there.

A job's report or a log can be as large as a message may be. Held as text, as JSON and as octets it would need
several times that; and twenty empty lines of it show what it is as well as twenty million do.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from relay.envelope import Buffer
from relay.mail import Rest
from relay.message.structure import Part

_LONG = 1024 * 1024  # octets
_HEAD = 64 * 1024  # octets, so much of it is read as text
_BLOCK = 128 * 1024
# In these, octets of ASCII are what they are anywhere; and no state of a charset begins before the rest.
_CHARSETS = {"", "us-ascii", "ascii", "utf-8", "utf8", "iso-8859-1", "windows-1252"}
_IDENTITY = {"7bit", "8bit", "binary"}
# Controls are cleaned away in a text, and these lines begin a file in it: both are seen in the whole only.
_CONTROLS = bytes(octet for octet in range(128) if octet < 32 and octet not in b"\t\n\v\f\r") + b"\x7f"
_FILE = re.compile(rb"(?:\A|[\r\n])(?:begin|=ybegin)[ -]")


def split_rest(content: Buffer, root: Part) -> tuple[Part, Rest | None]:
    """The root with no more than the beginning of its body, and the rest; None if it is no such text."""
    if not _is_long_text(root):
        return root, None
    head = bytes(content[root.start : root.start + _HEAD])
    cut = root.start + head.rfind(b"\n") + 1
    if cut == root.start:
        return root, None
    length = 0
    for block in _blocks(content, cut, root.end):
        if _is_special(block):
            return root, None
        length += len(_escape(block))
    return replace(root, end=cut), Rest(cut, root.end, length)


def _is_special(block: bytes) -> bool:
    if not block.isascii() or len(block.translate(None, _CONTROLS)) < len(block):
        return True
    # The word is looked for first: twelve million empty lines are as many places for the pattern to begin.
    return b"begin" in block and _FILE.search(block) is not None


def _is_long_text(root: Part) -> bool:
    parameters = root.content_type.parameters
    return (
        root.end - root.start > _LONG
        and not root.is_multipart
        and root.media_type == "text/plain"
        and root.encoding in _IDENTITY
        and not root.disposition.value
        and "name" not in parameters
        and parameters.get("format", "").lower() != "flowed"
        and parameters.get("charset", "").lower() in _CHARSETS
    )


def escape_rest(content: Buffer, rest: Rest) -> Iterator[bytes]:
    """The rest as it stands inside a JSON string."""
    return map(_escape, _blocks(content, rest.start, rest.end))


def _blocks(content: Buffer, start: int, end: int) -> Iterator[bytes]:
    """The range in blocks that end with a line wherever lines are no longer than a block."""
    while start < end:
        block = bytes(content[start : min(end, start + _BLOCK)])
        if start + len(block) < end:
            # Neither a CR LF nor the mark of a file is cut in two.
            cut = block.rfind(b"\n") + 1 or len(block.rstrip(b"\r")) or len(block)
            block = block[:cut]
        start += len(block)
        yield block


def _escape(block: bytes) -> bytes:
    text = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n").decode("ascii")
    return json.dumps(text)[1:-1].encode("ascii")
