"""Content-transfer-encodings, decoded as mail programs decode them: whatever can be read is read.

Everything works block by block, so that a leaf of any size passes in bounded memory.
"""

import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pybase64

from relay.envelope import Buffer
from relay.mail import Leaf

BLOCK = 64 * 1024 // 4 * 3  # octets; a multiple of three, so that Base64 of blocks can be joined
_READ = 256 * 1024
_TAIL = 1024  # octets at the end of Base64 that are always decoded
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
BLANKS = b"\r\n \t"
_NOT_IN_ALPHABET = bytes(octet for octet in range(256) if octet not in ALPHABET and octet != 0x3D)
_GROUP = re.compile(rb"[^=]+=*|=+")
_PADDING = re.compile(rb"=[=\s]*")
_LOOK = 256  # octets behind padding that show whether more Base64 comes
_QP_LINE_END = re.compile(rb"(?<![ \t])[ \t]+(?=\r?\n)")
_QP_BROKEN = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n|[ \t]*\Z)")


def decode_leaf(content: Buffer, leaf: Leaf, most: int = 0) -> bytes:
    """All octets of a leaf, decoded; or the first ones, when `most` says how many are enough."""
    if most:
        leaf = replace(leaf, end=min(leaf.end, leaf.start + 2 * most))
    return b"".join(decode_blocks(content, leaf))


def decode_blocks(content: Buffer, leaf: Leaf) -> Iterator[bytes]:
    """The octets of a leaf, decoded, in blocks of no fixed size.

    Lines end as they do on the wire, with CRLF (RFC 2046 §4.1.1, RFC 2049 §4): a file keeps every octet.
    """
    raw = read_blocks(content, leaf.start, leaf.end)
    if leaf.encoding == "base64":
        return decode_base64_blocks(raw)
    return _decode_qp_blocks(raw) if leaf.encoding == "quoted-printable" else raw


def read_blocks(content: Buffer, start: int, end: int, size: int = _READ) -> Iterator[bytes]:
    """A range of the content in blocks."""
    for at in range(start, end, size):
        yield bytes(content[at : min(end, at + size)])


def strip_blanks(block: bytes) -> bytes | bytearray:
    """The block without blanks and line ends.

    Base64 comes in lines of one length: then a stride finds every line end, at a quarter of the cost.
    """
    first = block.find(b"\n")
    step = block.find(b"\n", first + 1) - first
    if first < 1 or step < 3 or block[first::step].strip(b"\n") or block[first - 1 :: step].strip(b"\r"):
        return block.translate(None, BLANKS)
    lines = bytearray(block)
    del lines[first::step]
    del lines[first - 1 :: step - 1]
    # What is left has blanks only if they are no line ends, or the stride missed some.
    return lines.translate(None, BLANKS) if any(blank in lines for blank in BLANKS) else lines


def is_alphabet(stripped: bytes | bytearray) -> bool:
    """Whether there is nothing but the alphabet; the decoder is the fastest to tell."""
    whole = len(stripped) // 4 * 4
    if b"=" in stripped or stripped[whole:].translate(None, ALPHABET):
        return False
    try:
        pybase64.b64decode(memoryview(stripped)[:whole], validate=True)
    except binascii.Error:
        return False
    return True


def decode_base64(data: bytes) -> bytes:
    """Base64 with junk, without padding, with padding in the middle, with text behind it."""
    return b"".join(decode_base64_blocks([data]))


def decode_base64_blocks(raw: Iterable[bytes]) -> Iterator[bytes]:
    """Decode Base64 as mail programs do.

    What is not of the alphabet is skipped. Padding ends a quantum, not the data: what follows is read on
    (two files' worth of Base64 run together are sent by real programs), unless the next line is text.
    """
    rest = b""
    padded = False  # whether padding was the last that came
    blanks = b""  # and what came behind it
    for block in raw:
        octets = block
        if padded and not _goes_on(blanks + block):
            return
        if b"=" in block:
            octets, ended = _cut_text(block)
            if ended:
                raw = ()
        clean = rest + octets.translate(None, _NOT_IN_ALPHABET)
        padded = clean.endswith(b"=")
        blanks = octets[octets.rfind(b"=") + 1 :] if padded else b""
        groups = _GROUP.findall(clean)
        rest = b""
        if groups and not padded:
            last = groups.pop()
            keep = len(last) // 4 * 4
            rest = last[keep:]
            groups.append(last[:keep])
        yield b"".join(map(_decode_group, groups))
        if not raw:
            return
    yield _decode_group(rest)


def _cut_text(block: bytes) -> tuple[bytes, bool]:
    """The block without what follows padding and is plainly no Base64; and whether there was such."""
    for found in _PADDING.finditer(block):
        signs = found.start() + len(found[0].rstrip())
        if not _goes_on(block[signs : found.end() + _LOOK]):
            return block[: found.end()], True
    return block, False


def _goes_on(octets: bytes) -> bool:
    """Whether what follows padding is Base64, or there is nothing yet."""
    ahead = octets.lstrip(BLANKS)
    blanks = octets[: len(octets) - len(ahead)]
    line = ahead[:_LOOK].replace(b"\r", b"\n").split(b"\n", 1)[0].rstrip()
    word = len(line) > 4 and (line.islower() or line.istitle()) and line.isalpha()
    if word and (b"\n" in blanks or b"\r" in blanks):
        return False  # right behind the sign, Base64 may look like one; on a line of its own it is one
    return not line.translate(None, ALPHABET + b"=") and (len(line) % 4 == 0 or len(line) >= 60)


def _decode_group(group: bytes) -> bytes:
    """Decode a run of the alphabet with the padding behind it, if there is any."""
    data = group.rstrip(b"=")
    if len(data) % 4 == 1:
        data = data[:-1]  # six bits make no octet
    return pybase64.b64decode(data + b"=" * (-len(data) % 4))


def _decode_qp_blocks(raw: Iterable[bytes]) -> Iterator[bytes]:
    """Decode quoted-printable, line by line as far as blocks are concerned."""
    rest = b""
    for block in raw:
        rest += block
        cut = rest.rfind(b"\n") + 1
        if not cut and len(rest) > 4 * _READ:
            # One endless line: cut it where no escape is cut.
            cut = rest.rfind(b"=", 0, -2)
            cut = cut if cut > 0 else len(rest) - 2
        if cut:
            yield decode_quoted_printable(rest[:cut])
            rest = rest[cut:]
    if rest:
        yield decode_quoted_printable(rest)


def decode_quoted_printable(data: bytes, *, in_field: bool = False) -> bytes:
    """Quoted-printable; an equals sign that begins no escape stands for itself (RFC 2045 §6.7)."""
    if not in_field:
        data = _QP_LINE_END.sub(b"", data)
    data = _QP_BROKEN.sub(b"=3D", data)
    return binascii.a2b_qp(data)


def measure(content: Buffer, leaf: Leaf) -> tuple[Leaf, int]:
    """The leaf with what is known of its Base64, and its size in decoded octets.

    One pass, block by block. Base64 that is strictly valid as far as the block goes needs no decoding at all.
    """
    if leaf.encoding == "quoted-printable":
        return leaf, sum(map(len, decode_blocks(content, leaf)))
    if leaf.encoding != "base64":
        return leaf, leaf.end - leaf.start
    clean_end, characters = _find_clean(content, leaf)
    rest = decode_base64_blocks(read_blocks(content, clean_end, leaf.end))
    measured = Leaf(leaf.start, leaf.end, leaf.encoding, clean_end)
    return measured, characters // 4 * 3 + sum(map(len, rest))


def _find_clean(content: Buffer, leaf: Leaf) -> tuple[int, int]:
    """The offset up to which there is nothing but the alphabet and blanks, and how many characters of the
    alphabet.

    The last octets stay outside: padding is decoded and encoded anew, so that its spare bits are zero.
    """
    at, characters = leaf.start, 0
    end = leaf.end - _TAIL
    while at < end:
        block = bytes(content[at : min(end, at + _READ)])
        stripped = strip_blanks(block)
        if not is_alphabet(stripped):
            break
        characters += len(stripped)
        at += len(block)
    for _ in range(characters % 4):
        characters -= 1
        at -= 1
        while content[at] in BLANKS:
            at -= 1
    return at, characters
