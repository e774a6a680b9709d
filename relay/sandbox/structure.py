"""Reads the structure of a JSON body that may be 30 MB long without holding it.

The long string literals (attachments' data, above all) are cut out and become ranges of the body;
what is left is small and goes through the standard JSON parser.
"""

import json
import mmap
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Buffer = bytes | mmap.mmap

# A literal longer than this becomes a range, octets.
LONG = 8192
# What is left without the long literals is bounded, octets.
SKELETON = 4 * 1024 * 1024
# A multiple of 4, so that a block of Base64 stands alone; octets.
_BLOCK = 256 * 1024


class NotJson(ValueError):  # noqa: N818 - a property of the body
    """The body is not JSON, or nothing that this API could mean."""


@dataclass(frozen=True, slots=True)
class Range:
    """A string literal of the body, without its quotes and with its escapes."""

    start: int
    end: int

    def text(self, body: Buffer) -> str:
        """The string.

        Raises:
            NotJson: the literal is malformed.
        """
        try:
            return str(json.loads(b'"' + body[self.start : self.end] + b'"'))
        except ValueError as error:
            raise NotJson("a string is malformed") from error

    def blocks(self, body: Buffer, size: int = _BLOCK) -> Iterator[bytes]:
        r"""The string's octets in blocks of a multiple of four, for a string of Base64.

        The one escape that occurs in Base64 is `\/` (PHP writes it); any other stays and is no Base64.
        """
        rest = b""
        for start in range(self.start, self.end, size):
            block = rest + body[start : min(start + size, self.end)]
            if b"\\" in block:
                block = block.replace(b"\\/", b"/")
            whole = len(block) // 4 * 4
            # An escape must not be torn: with a backslash at the end its second half is still to come.
            if block[whole - 1 : whole] == b"\\":
                whole -= 4
            block, rest = block[:whole], block[whole:]
            yield block
        if rest:
            yield rest


def read_structure(body: Buffer, long: int = LONG) -> Any:
    """The JSON value of `body`, its strings of more than `long` octets as `Range`.

    Raises:
        NotJson: with the reason.
    """
    mark = secrets.token_hex(16)
    pieces: list[bytes] = []
    size = copied = 0
    for start, end in _literals(body):
        if end - start <= long:
            continue
        placeholder = f"{mark}:{start}:{end}".encode()
        pieces += (body[copied:start], placeholder)
        size += start - copied + len(placeholder)
        copied = end
        if size > SKELETON:
            break
    if size + len(body) - copied > SKELETON:
        raise NotJson("too much structure")
    pieces.append(body[copied : len(body)])
    try:
        value = json.loads(b"".join(pieces).decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise NotJson("the body is not JSON") from error
    return _restore(value, mark)


def read_strings(value: dict[str, Any], body: Buffer, *, but: frozenset[str]) -> dict[str, Any]:
    """Turn ranges of moderate length into strings, one level deep, except those called `but`.

    Raises:
        NotJson: a string is malformed.
    """
    return {
        name: item.text(body)
        if isinstance(item, Range) and name not in but and item.end - item.start <= SKELETON
        else item
        for name, item in value.items()
    }


def _literals(body: Buffer) -> Iterator[tuple[int, int]]:
    """Where the string literals lie, without their quotes; memchr's speed, not Python's."""
    end = -1
    while (start := body.find(b'"', end + 1) + 1) > 0:
        end = body.find(b'"', start)
        while end >= 0 and _backslashes(body, end) % 2:
            end = body.find(b'"', end + 1)
        if end < 0:
            raise NotJson("a string does not end")
        yield start, end


def _backslashes(body: Buffer, end: int) -> int:
    count = 0
    while count < end and body[end - count - 1] == ord("\\"):
        count += 1
    return count


def _refuse_constant(name: str) -> None:
    raise NotJson(f"{name} is not JSON")


def _restore(value: Any, mark: str) -> Any:
    """Put ranges where their placeholders stand; the skeleton's depth bounds the recursion."""
    if isinstance(value, str):
        if not value.startswith(mark):
            return value
        _, start, end = value.split(":")
        return Range(int(start), int(end))
    if isinstance(value, list):
        return [_restore(item, mark) for item in value]
    if isinstance(value, dict):
        return {name: _restore(item, mark) for name, item in value.items()}
    return value
