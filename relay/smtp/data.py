"""What follows DATA, undone by the block: the end found, dots unstuffed, line ends made CRLF.

Only CRLF.CRLF ends the data (RFC 5321 §4.1.1.4); a bare LF or CR never does, which is what makes
smuggling a second message impossible. Bare ones are then normalised to CRLF, for the parser.
"""

import re

_END = b"\r\n.\r\n"
_ANY_LINE_END = re.compile(rb"\r\n|\r|\n")


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
        end = data.find(_END)
        if end >= 0:
            self.done = True
            body, self.rest = data[: end + 2], data[end + len(_END) :]
        else:
            body = data[: len(data) - _undecided(data)]
            self._carry = data[len(body) :]
        body = _normalise(body.replace(b"\r\n.", b"\r\n"))
        if self._first and body:
            self._first = False
            return body[2:]
        return body


def _undecided(data: bytes) -> int:
    # The longest end of the data that may be the beginning of the mark.
    return next((n for n in range(len(_END) - 1, 0, -1) if data.endswith(_END[:n])), 0)


def _normalise(body: bytes) -> bytes:
    pairs = body.count(b"\r\n")
    if body.count(b"\n") == pairs == body.count(b"\r"):
        return body
    return _ANY_LINE_END.sub(b"\r\n", body)
