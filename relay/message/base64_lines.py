"""Where the Base64 lies within a body that says it is Base64 (RFC 2045 §6.8), and what else is there.

Gateways put banners before it and footers behind it; a blank line too early leaves fields in front; a filter
puts words in its place. Lines are looked at one by one, and only as far as the decoder cannot tell by itself
that all is well. Time is linear, memory that of a block and a line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from relay.envelope import Buffer
from relay.mail import Leaf
from relay.message.magic import find_magic
from relay.message.transfer import ALPHABET, BLANKS, decode_base64, read_blocks

Range = tuple[int, int]  # offsets of the first octet and behind the last one

_SIGNS = ALPHABET + b"="
_LINE = re.compile(rb"[^\r\n]+")
_JUNK = bytes(octet for octet in range(256) if octet not in _SIGNS)
_FIELD = re.compile(rb"[A-Za-z][A-Za-z-]*:([ \t]|\Z)")
_ASSIGNMENT = re.compile(
    rb"(?:[^=]{4})*[^=]{0,2}=[^=]"
)  # padding fills up a quantum, an equals sign does not
_WITHIN = re.compile(rb"=[^=]")  # an equals sign that ends nothing
_CHECKSUM = re.compile(rb"=[A-Za-z0-9+/]{4}\Z")  # of OpenPGP's armour (RFC 9580 §6.1)
# Controls that no text has; where they are many, a file stands as it is.
_CONTROLS = bytes({*range(0x20)} - {*b"\t\n\v\f\r\x0e\x0f\x1a\x1b"})
_MARKS = bytes(range(0x21, 0x30)) + b":;<=>?@[]_"
_GLANCE = 1024  # octets; as a rule the first line of Base64 is among them
_HEAD = 16 * 1024  # octets within which the first line of Base64 is looked for
_BEGINNING = 64  # characters that hold the first octets of a file
_LONGEST_LINE = 64 * 1024  # a line that is longer is taken in pieces
_MOST_RANGES = 1000
_MOST_WORDS = 3  # that stand amid Base64 or behind it, and leave all of it valid
_MOST_LETTERS = 4  # different ones that octets which repeat come to
_NARROW = 20  # characters; lines of a file with so few are as short as words
_DENSE = 8  # octets for each line; where there are fewer, they are not looked at one by one
_END_OF_FILE = b"\0\x1a"  # DOS programs end files with these


@dataclass(slots=True)
class Found:
    """What a body of Base64 holds."""

    start: int  # where its first line is
    data: list[Range] = field(default_factory=list)  # none: it is no Base64 at all
    before: list[Range] = field(default_factory=list)  # lines in front of it that are text
    between: int = 0  # lines that are no Base64, amid it
    behind: Range | None = None  # what follows the last of it
    lines: int = 0  # of what follows it
    checksum: bytes = b""  # CRC-24 that OpenPGP's armour gave, in Base64
    width: int = 0  # characters of a full line; 0 where there is none


def find_start(content: Buffer, leaf: Leaf) -> Found:
    """Where the Base64 of a leaf begins: behind text, and short lines that longer ones follow."""
    found = _find_start(content, leaf, _GLANCE)
    return found if found.width else _find_start(content, leaf, _HEAD)


def _find_start(content: Buffer, leaf: Leaf, look: int) -> Found:
    found = Found(leaf.start)
    head = bytes(content[leaf.start : min(leaf.end, leaf.start + look)])
    if head.startswith(b"%PDF-") or 16 * (len(head) - len(head.translate(None, _CONTROLS))) > len(head):
        return found
    lines = [(line, _strip(line[0])) for line in _LINE.finditer(head)]
    lines = [(line, text) for line, text in lines if text]
    data = [text for _, text in lines if _is_data(text)]
    # A line that something was put into is longer than the others.
    found.width = max(map(len, [text for text in data if not _count_junk(text)] or data), default=0)
    following = [*(text for _, text in lines[1:]), b""]
    for (line, text), after in zip(lines, following, strict=False):
        if _is_data(text) and not _is_short(text, after):
            found.start = leaf.start + line.start()
            break
        found.before.append((leaf.start + line.start(), leaf.start + line.end()))
    if not found.width and (leaf.end - leaf.start > look or not lines):
        # Who knows: what can be decoded will be.
        found.before, found.data = [], [(leaf.start, leaf.end)]
    return found


def find_base64(content: Buffer, leaf: Leaf, found: Found, clean_end: int) -> None:
    """Look at the lines of a leaf from where its Base64 begins; up to `clean_end` it is known to be some."""
    if not found.width:
        return
    if clean_end > found.start:
        found.data.append((found.start, clean_end))
    scan = _Scan(found)
    scan.run(content, max(found.start, clean_end), leaf.end)
    judged = found.between + found.lines
    is_uneven = judged > scan.words or max(scan.words, scan.short) > _MOST_WORDS
    if not (judged and is_uneven) and not found.before:
        return
    starts = (found.start, leaf.start)
    if begins_format(content, leaf.start) or not (
        begins_format(content, found.start) or _has_name(content, found)
    ):
        starts = (leaf.start, found.start)
    start = next((at for at in starts if is_whole(content, at, leaf.end)), -1)
    if start < 0 or (start == found.start and not (judged and is_uneven)):
        return
    # Lines may end anywhere (RFC 2045 §6.8): a gateway has wrapped it anew.
    found.before = found.before if start == found.start else []
    found.start, found.data, found.between, found.behind, found.lines = start, [(start, leaf.end)], 0, None, 0


def begins_format(content: Buffer, start: int) -> bool:
    """Whether the Base64 there is that of a file whose format can be told."""
    signs = bytes(content[start : start + _BEGINNING]).translate(None, BLANKS)
    return bool(find_magic(decode_base64(signs[: len(signs) // 4 * 4])))


def _has_name(content: Buffer, found: Found) -> bool:
    """Whether a line in front is one word, or the name of something: `image001`."""
    lines = [_strip(bytes(content[start:end])).rstrip(b"0123456789") for start, end in found.before]
    return any(_is_word(line) or (line.isalpha() and line.isupper()) for line in lines)


def is_whole(content: Buffer, start: int, end: int) -> bool:
    """Whether there is nothing but whole quanta of the alphabet, and padding at the end alone."""
    size, padding = 0, b""
    for block in read_blocks(content, start, end):
        signs = block.translate(None, BLANKS)
        bare = signs.rstrip(b"=")
        if bare and (padding or bare.translate(None, ALPHABET)):
            return False
        size += len(signs)
        padding += signs[len(bare) :]
    return size % 4 == 0 and len(padding) < 3


class _Scan:
    """Sorts lines into Base64 and text."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._width = found.width
        self._ended = False  # whether the last line of Base64 may be the last of all
        self._gap: int | None = None  # where text began that nothing has followed yet
        self._text = 0  # lines of it
        self._doubtful: int | None = None  # where a short line began that may be a word
        self._is_word = False  # whether it is one
        self.words = 0  # lines of text that are words, whatever their length
        self.short = 0  # lines of Base64 that are not full

    def run(self, content: Buffer, start: int, end: int) -> None:
        begun = self._found.data[-1][0] if self._found.data else start
        for at, line in _read_lines(content, start, end):
            text = _strip(line)
            if at == start > begun:  # the rest of a line whose beginning is known to be Base64
                before = bytes(content[max(begun, at - self._width) : at])
                text = before.replace(b"\r", b"\n").rpartition(b"\n")[2] + text
            if not text:
                continue
            if len(line) > _LONGEST_LINE:
                self._take(at, at + len(line), text)
            elif _CHECKSUM.match(text) and self._gap is None:
                self._found.checksum = text[1:]
                self._ended = True
            elif self._is_text(text):
                self.words += not _is_data(text) or _is_shouted(text)
                self._gap = at if self._gap is None else self._gap
                self._text += 1
            else:
                self._take(at, at + len(line), text)
        if self._gap is not None:
            self._found.behind, self._found.lines = (self._gap, end), self._text

    def _is_text(self, text: bytes) -> bool:
        if _is_broken(text) or (self._ended and _count_junk(text) * 12 > len(text)):
            return True
        if self._gap is not None:  # what follows text must show that it is data
            is_last = len(text) % 4 == 0 and (text.endswith(b"=") or self._width < _NARROW)
            return len(text) < min(60, self._width) and (not is_last or _is_word(text))
        is_odd = len(text) % 4 > 0 and len(text) < min(60, self._width)
        return self._ended and (_is_word(text) or _is_shouted(text) or is_odd)

    def _take(self, start: int, end: int, text: bytes) -> None:
        data = self._found.data
        is_full = len(text) >= self._width
        if self._doubtful is not None and is_full and self._gap is None:
            # A short line amid full ones is none of them, if it is a word or within a quantum.
            data[-1] = (data[-1][0], self._doubtful)
            self._gap, self._text = self._doubtful, 1
            self.words += self._is_word
        # Encoders that work in chunks end each with a short line of whole quanta.
        self.short += not is_full
        self._is_word = _is_word(text)
        is_odd = len(text) % 4 > 0 or self._is_word
        is_short = not is_full and is_odd and data and not self._ended and b"=" not in text
        self._doubtful = start if is_short else None
        if self._gap is not None:
            self._found.between += self._text
            self._gap, self._text = None, 0
            if len(data) < _MOST_RANGES:
                data.append((start, end))
        elif not data:
            data.append((start, end))
        data[-1] = (data[-1][0], end)
        self._ended = text.endswith(b"=") or not is_full


def _read_lines(content: Buffer, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Lines that are not empty, without their ends, each with its offset."""
    rest = b""
    at = start
    for block in read_blocks(content, start, end):
        octets = rest + block
        if len(octets) > _LONGEST_LINE and octets.count(b"\n") * _DENSE > len(octets):
            yield at, octets
            at, rest = at + len(octets), b""
            continue
        cut = octets.rfind(b"\n") + 1
        if not cut and len(octets) > _LONGEST_LINE:
            cut = len(octets)
        for line in _LINE.finditer(octets, 0, cut):
            yield at + line.start(), line[0]
        at, rest = at + cut, octets[cut:]
    if rest:
        yield at, rest


def _strip(line: bytes) -> bytes:
    return line.strip(BLANKS + _END_OF_FILE)


def _count_junk(text: bytes) -> int:
    return len(text.translate(None, _SIGNS))


def _is_data(text: bytes) -> bool:
    """Whether a line may be Base64 wherever it stands."""
    return not _is_broken(text) and not _is_word(text)


def _is_short(text: bytes, after: bytes) -> bool:
    """Whether a line is shorter than the next, as no encoder makes the first one."""
    longer = len(after) > len(text) and (b"=" not in text or _WITHIN.search(text)) and _is_data(after)
    return bool(longer) and (len(text) % 4 > 0 or len(after) > max(40, 2 * len(text)))


def _is_broken(text: bytes) -> bool:
    """Whether a line is none of Base64, not even a damaged one."""
    junk = _count_junk(text)
    if junk * 4 > len(text) or b"://" in text or _has_words(text) or _ASSIGNMENT.match(text):
        return True
    return junk > 0 and _is_word(text.translate(None, _JUNK))


def _has_words(text: bytes) -> bool:
    """Whether it is a field, or blanks part words; Base64 may have blanks in it, but no words."""
    if _FIELD.match(text):
        return True
    words = [word for word in text.split() if word.strip(_MARKS)]  # what quotes a line is none
    return len(words) > 1 and 2 * sum(map(_is_plain_word, words)) >= len(words)


def _is_plain_word(word: bytes) -> bool:
    bare = word.strip(_MARKS)
    if bare.isdigit():
        return True
    return bare.isalpha() and (bare[1:].islower() or len(bare) == 1 or bare.isupper())


def _is_word(text: bytes) -> bool:
    """Whether a line is one word as it is written: Base64 mixes cases and digits."""
    return 2 < len(text) < 40 and text.isalpha() and (text.islower() or text.istitle())


def _is_shouted(text: bytes) -> bool:
    """Whether a line is one word in capitals: `DISCLAIMER`."""
    # Octets that are all one, as padding is, are capitals too.
    return 4 < len(text) < 40 and text.isalpha() and text.isupper() and len(set(text)) > _MOST_LETTERS
