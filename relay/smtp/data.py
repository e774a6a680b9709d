"""What follows DATA, undone by the block: the end found, dots unstuffed, line ends made CRLF.

Only CRLF.CRLF ends the data (RFC 5321 §4.1.1.4); a bare LF or CR never does, which is what makes
smuggling a second message impossible. Bare ones are then normalised to CRLF, for the parser; CR CR LF is one
line end, written by programs that turned their LF into CRLF twice.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

_BLOCK = 256 * 1024  # octets of a file that are read at once
_END = b"\r\n.\r\n"
_DOT = b"\r\n."  # at the beginning of a line
_ENDS = re.compile(rb"\r?\r\n|\r|\n")
# So much before and behind lines of one length is looked at by itself: fields, a closing boundary.
_EDGE = 2048
_MARKS = tuple(_END[:length] for length in range(len(_END) - 1, 0, -1))


class DataDecoder:
    """Feed it blocks as they come; it gives content back, and says when the end was seen."""

    def __init__(self) -> None:
        # The line before the first one ended with DATA's own CRLF: a lone dot may come at once.
        self._carry = b"\r\n"
        self._first = True
        self.done = False
        self.rest = b""  # what came after the end: pipelined commands

    def feed(self, block: bytes) -> bytes:
        """The content that this block completes."""
        data = self._carry + block
        # Base64 has no dots, and looking for one octet costs next to nothing.
        dot = data.find(_DOT, 0, data.rfind(b".") + 1)
        end = data.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            self.done = True
            body, self.rest = data[: end + 2], data[end + len(_END) :]
        else:
            body = data[: len(data) - _undecided(data)]
            self._carry = data[len(body) :]
        if 0 <= dot <= len(body) - len(_DOT):
            body = body.replace(_DOT, b"\r\n")
        body = normalise(body)
        if self._first and body:
            self._first = False
            return body[2:]
        return body


class ChunkDecoder:
    """What follows BDAT (RFC 3030): counted octets, whose line ends alone need care."""

    def __init__(self) -> None:
        self._carry = b""

    def feed(self, block: bytes, *, last: bool = False) -> bytes:
        """The content that this block completes; a CR at its end waits for its LF."""
        data = self._carry + block
        # Two, where the LF of CR CR LF may come yet.
        carry = next((end for end in (b"\r\r", b"\r") if data.endswith(end)), b"")
        self._carry = b"" if last else carry
        return normalise(data[: len(data) - len(self._carry)])


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """A file in blocks, as a session would give it: lines end with CRLF (RFC 5321 §2.3.8).

    Raises:
        OSError: it cannot be read.
    """
    lines = ChunkDecoder()
    while block := file.read(_BLOCK):
        yield lines.feed(block)
    yield lines.feed(b"", last=True)


def _undecided(data: bytes) -> int:
    # The longest end of the data that may be the beginning of the mark, and a CR before it.
    held = next((len(mark) for mark in _MARKS if data.endswith(mark)), 0)
    return held + (held > 0 and data[: len(data) - held].endswith(b"\r"))


def normalise(body: bytes) -> bytes:
    """Every CR LF, CR CR LF, bare CR and bare LF as CR LF."""
    if _in_pairs(body):
        return body
    if b"\r\r\n" in body:
        return _ENDS.sub(b"\r\n", body)
    return body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def _in_pairs(body: bytes) -> bool:
    if _lines_are_even(body):
        return True
    first = body.find(b"\n", _EDGE) + 1
    last = body.rfind(b"\n", first, max(first, len(body) - _EDGE)) + 1
    if last > first and _lines_are_even(body[first:last]):
        return _count_pairs(body[:first]) and _count_pairs(body[last:])
    return _count_pairs(body)


def _count_pairs(body: bytes) -> bool:
    count = body.count(b"\n")
    return count == body.count(b"\r") and count == body.count(b"\r\n")


def _lines_are_even(body: bytes) -> bool:
    # Base64 comes in lines of one length: then a stride finds every line end, at a sixth of the cost.
    first = body.find(b"\n")
    step = body.find(b"\n", first + 1) - first
    if first < 1 or step < 2:  # noqa: PLR2004 - a line end has two octets
        return False
    feeds, returns = body[first::step], body[first - 1 :: step]
    if len(feeds) != len(returns) or feeds.strip(b"\n") or returns.strip(b"\r"):
        return False
    lines = bytearray(body)
    del lines[first::step]
    del lines[first - 1 :: step - 1]
    return b"\n" not in lines and b"\r" not in lines
