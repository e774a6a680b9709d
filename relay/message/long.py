"""A body of many megabytes: its beginning is read as any text, the rest passes in blocks as it lies there.

A job's report or a log can be as large as a message may be. Held as text, as JSON and as octets it would need
several times that; and twenty empty lines of it show what it is as well as twenty million do.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from relay.envelope import Buffer
from relay.mail import Rest
from relay.message.dumping import dump
from relay.message.formats.html import has_body
from relay.message.structure import Part
from relay.message.text import charsets
from relay.message.text.labels import find_codec
from relay.message.text_part import find_label

_LONG = 1024 * 1024  # octets
_HEAD = 64 * 1024  # octets, so much of it is read as text
_GUESS = 16 * 1024  # octets after the first that is not ASCII, by which a charset is guessed
_BLOCK = 128 * 1024
_TYPES = {"text/plain", "text/html"}
# In these a line can be decoded by itself: no character has an octet of a line end, no state goes on.
_BY_LINE = {"us-ascii", "utf-8", "cp932", "euc-jp", "cp949", "gb18030"}
_ONE_OCTET = ("cp125", "iso8859-", "koi8-")
_IDENTITY = {"7bit", "8bit", "binary"}
# NUL is taken out of a text, ESC may begin a charset, and these lines begin a file in it: all are seen in the
# whole only.
_CONTROLS = bytes(octet for octet in range(128) if octet < 32 and octet not in b"\t\n\v\f\r") + b"\x7f"
_HIGH = re.compile(rb"[\x80-\xff]")
_FILE = re.compile(rb"(?:\A|[\r\n])(?:begin|=ybegin)[ \t-]")
# Where html takes additions; they must be in the beginning, if they are anywhere.
_HTML = re.compile(rb"(?i)</head|<body|<html|<!doctype")


def split_rest(content: Buffer, root: Part) -> tuple[Part, Rest | None]:
    """The root with no more than the beginning of its body, and the rest; None if it is no such text."""
    if not _is_long_text(root):
        return root, None
    head = bytes(content[root.start : root.start + _HEAD])
    head = head[: head.rfind(b"\n") + 1 or len(head.rstrip(b"\r"))]
    codec = _find_codec(root, head)
    if not codec or (root.media_type == "text/plain" and _is_special_text(head)):
        return root, None
    cut, length = root.start + len(head), 0
    special = _is_special_html if root.media_type == "text/html" else _is_special_text
    # Markup is ASCII in all these charsets.
    anywhere = root.media_type == "text/html" and has_body(head.decode("latin-1"))
    for block in _blocks(content, cut, root.end):
        escaped = _escape(block, codec)
        if escaped is None or _has_controls(block) or (not anywhere and special(block)):
            return root, None
        length += len(escaped)
    return replace(root, end=cut), Rest(cut, root.end, length, codec)


def _is_long_text(root: Part) -> bool:
    parameters = root.content_type.parameters
    return (
        root.end - root.start > _LONG
        and not root.is_multipart
        and root.media_type in _TYPES
        and root.encoding in _IDENTITY
        and not root.disposition.value
        and "name" not in parameters
        and parameters.get("format", "").lower() != "flowed"
    )


def _find_codec(root: Part, head: bytes) -> str:
    """The codec of the whole, if the beginning shows it; "" if it does not, or the whole is needed."""
    label = find_label(root, head)
    read, named = charsets.decode(head, label), find_codec(label)
    if not head or read.damaged or (named not in {"", "us-ascii", read.codec}):
        return ""
    if read.guessed and (first := _HIGH.search(head)) and first.start() + _GUESS > len(head):
        return ""
    return read.codec if is_codec_of_rest(read.codec) else ""


def is_codec_of_rest(codec: str) -> bool:
    """Whether a rest can be in that codec."""
    return codec in _BY_LINE or codec.startswith(_ONE_OCTET)


def _has_controls(block: bytes) -> bool:
    return len(block.translate(None, _CONTROLS)) < len(block)


def _is_special_text(block: bytes) -> bool:
    # The word is looked for first: twelve million empty lines are as many places for the pattern to begin.
    return b"begin" in block and _FILE.search(block) is not None


def _is_special_html(block: bytes) -> bool:
    return b"<" in block and _HTML.search(block) is not None


def escape_rest(content: Buffer, rest: Rest) -> Iterator[bytes]:
    """The rest as it stands inside a JSON string.

    Raises:
        ValueError: the content is not what the rest was found in.
    """
    for block in _blocks(content, rest.start, rest.end):
        escaped = _escape(block, rest.codec)
        if escaped is None:
            raise ValueError(f"the content is no longer {rest.codec}")
        yield escaped


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


def _escape(block: bytes, codec: str) -> bytes | None:
    text = block.decode("ascii") if block.isascii() else charsets.decode_whole(block, codec)
    return None if text is None else dump(text.replace("\r\n", "\n").replace("\r", "\n"))[1:-1]
