"""Content-transfer-encodings, decoded as mail programs decode them: whatever can be read is read.

Everything works block by block, so that a leaf of any size passes in bounded memory.
"""

import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pybase64

from relay.envelope import Buffer
from relay.mail import Leaf

BLOCK = 64 * 1024 // 4 * 3  # octets; a multiple of three, so that Base64 of blocks can be joined
_READ = 256 * 1024
_TAIL = 1024  # octets at the end of Base64 that are always decoded
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
BLANKS = b"\r\n \t"
_NOT_IN_ALPHABET = bytes(octet for octet in range(256) if octet not in ALPHABET and octet != 0x3D)
_NOT_DAMAGE = ALPHABET + b"=" + BLANKS
_GROUP = re.compile(rb"[^=]+=*|=+")
_PADDING = re.compile(rb"=[=\s]*")
_LOOK = 256  # octets behind padding that show whether more Base64 comes
_QP_LINE_END = re.compile(rb"(?<![ \t])[ \t]+(?=\r?\n)")
_QP_BROKEN = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n|[ \t]*\Z)")


@dataclass(slots=True)
class Damage:
    """What was met that the encoding does not have."""

    skipped: int = 0  # octets outside the alphabet
    left: bool = False  # whether what stands behind padding was left out
    cut: bool = False  # whether Base64 ends within a quantum: padding is evidence of the end (RFC 2045 §6.8)
    broken: int = 0  # equals signs that begin no escape of quoted-printable

    def __str__(self) -> str:
        said = [
            f"{self.skipped} octets that Base64 does not have were skipped" if self.skipped else "",
            "what stood behind its padding was left out" if self.left else "",
            "Base64 ends without its padding" if self.cut else "",
            f"{self.broken} equals signs of quoted-printable begin no escape" if self.broken else "",
        ]
        return "; ".join(filter(None, said))


def decode_blocks(content: Buffer, leaf: Leaf, damage: Damage | None = None) -> Iterator[bytes]:
    """The octets of a leaf, decoded, in blocks of no fixed size; what is wrong with them goes to `damage`.

    Lines end as they do on the wire, with CRLF (RFC 2046 §4.1.1, RFC 2049 §4): a file keeps every octet.
    """
    raw = read_blocks(content, leaf.start, leaf.end)
    if leaf.encoding == "base64":
        return decode_base64_blocks(raw, damage)
    return _decode_qp_blocks(raw, damage) if leaf.encoding == "quoted-printable" else raw


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


def _is_even(block: bytes) -> bool:
    """Whether all lines have one length, so that none of them can be another's."""
    first = block.find(b"\n")
    step = block.find(b"\n", first + 1) - first
    return first < 0 or step < 1 - first or not block[first::step].strip(b"\n")


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


def decode_base64(data: bytes, damage: Damage | None = None) -> bytes:
    """Base64 with junk, without padding, with padding in the middle, with text behind it."""
    return b"".join(decode_base64_blocks([data], damage))


def decode_base64_blocks(raw: Iterable[bytes], damage: Damage | None = None) -> Iterator[bytes]:
    """Decode Base64 as mail programs do.

    What is not of the alphabet is skipped. Padding ends a quantum, not the data: what follows is read on
    (two files' worth of Base64 run together are sent by real programs), unless the next line is text.
    """
    damage = damage or Damage()
    rest = b""
    padded = False  # whether padding was the last that came
    blanks = b""  # and what came behind it
    for block in raw:
        octets = block
        if padded and not _goes_on(blanks + block):
            damage.left = True
            return
        if b"=" in block:
            octets, ended = _cut_text(block)
            if ended:
                damage.left = True
                raw = ()
        clean = rest + octets.translate(None, _NOT_IN_ALPHABET)
        if len(clean) - len(rest) < len(octets):
            damage.skipped += len(octets.translate(None, _NOT_DAMAGE))
        padded = clean.endswith(b"=")
        blanks = octets[octets.rfind(b"=") + 1 :] if padded else b""
        groups = _GROUP.findall(clean)
        rest = b""
        if groups and not padded:
            last = groups.pop()
            keep = len(last) // 4 * 4
            rest = last[keep:]
            groups.append(last[:keep])
        damage.cut |= any(len(group.rstrip(b"=")) % 4 == 1 for group in groups)
        yield b"".join(map(_decode_group, groups))
        if not raw:
            return
    damage.cut |= bool(rest)
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


def _decode_qp_blocks(raw: Iterable[bytes], damage: Damage | None) -> Iterator[bytes]:
    """Decode quoted-printable, line by line as far as blocks are concerned."""
    damage = damage or Damage()
    rest = b""
    for block in raw:
        rest += block
        cut = rest.rfind(b"\n") + 1
        if not cut and len(rest) > 4 * _READ:
            # One endless line: cut it where no escape is cut.
            cut = rest.rfind(b"=", 0, -2)
            cut = cut if cut > 0 else len(rest) - 2
        if cut:
            yield _decode_qp(rest[:cut], damage)
            rest = rest[cut:]
    if rest:
        yield _decode_qp(rest, damage)


def _decode_qp(data: bytes, damage: Damage) -> bytes:
    feeds = data.replace(b"\r", b"")
    if b" \n" in feeds or b"\t\n" in feeds:  # found in a third of the time
        data = _QP_LINE_END.sub(b"", data)
    whole, broken = _QP_BROKEN.subn(b"=3D", data)
    damage.broken += broken
    return binascii.a2b_qp(whole)


def decode_quoted_printable(data: bytes) -> bytes:
    """Quoted-printable; an equals sign that begins no escape stands for itself (RFC 2045 §6.7)."""
    return binascii.a2b_qp(_QP_BROKEN.sub(b"=3D", data))


def find_clean(content: Buffer, leaf: Leaf) -> tuple[int, int]:
    """The offset up to which there is nothing but the alphabet and blanks, and how many characters of the
    alphabet.

    The last octets stay outside: padding is decoded and encoded anew, so that its spare bits are zero.
    """
    at, characters = leaf.start, 0
    end = leaf.end - _TAIL
    while at < end:
        block = bytes(content[at : min(end, at + _READ)])
        # A blank within a line is one between words, as far as is known.
        stripped = strip_blanks(block) if b" " not in block else b"-"
        if not is_alphabet(stripped) or not _is_even(block):
            break
        characters += len(stripped)
        at += len(block)
    for _ in range(characters % 4):
        characters -= 1
        at -= 1
        while content[at] in BLANKS:
            at -= 1
    return at, characters
