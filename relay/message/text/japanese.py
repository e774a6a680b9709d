"""ISO-2022-JP and EUC-JP with the characters that their senders mean.

Japanese mail labelled ISO-2022-JP holds NEC's row 13 and IBM's rows (①, ㈱, 髙, 﨑), and half-width katakana;
no codec of Python's takes them all. Both are read here by way of code page 932, whose repertoire is what the
sending programs have (WHATWG Encoding Standard, index jis0208).
"""

import re
import sys
from functools import cache

_ESCAPE = re.compile(rb"\x1b(?:\$\([@BDCOPQ]|\$[@BA]|\([BJIHA]|&@\x1b\$B|\.[AF])|[\x0e\x0f]")
_TWO_OCTETS = {b"\x1b$@", b"\x1b$B", b"\x1b$(@", b"\x1b$(B", b"\x1b&@\x1b$B", b"\x1b$(O", b"\x1b$(Q"}
_PAIRS = re.compile(rb"(?:[\x21-\x7e]{2})+")
_EUC_RUN = re.compile(
    rb"(?P<jis>(?:[\xa1-\xfe]{2})+)|(?P<kana>(?:\x8e[\xa1-\xdf])+)|(?P<sup>(?:\x8f[\xa1-\xfe]{2})+)"
)
HALFWIDTH = re.compile("[\uff61-\uff9f]")
_HIGH = re.compile(rb"[\x80-\xff]+")
_UTF_8_RUN = re.compile(rb"[\xe1-\xef][\x80-\xbf]{2}")
_TO_7BIT = bytes(octet & 0x7F for octet in range(256))
_TO_KANA = bytes(octet | 0x80 if 0x21 <= octet <= 0x5F else octet for octet in range(256))


@cache
def _table() -> dict[int, str]:
    """Each pair of 7-bit octets of JIS X 0208 as one number, and its character."""
    pairs = ((row, cell) for row in range(0x21, 0x7F) for cell in range(0x21, 0x7F))
    # `decode_pairs` casts two octets to a number in the machine's own order.
    return {int.from_bytes((row, cell), sys.byteorder): _character(row, cell) for row, cell in pairs}


def _character(row: int, cell: int) -> str:
    lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
    trail = cell + (0x7E if row % 2 == 0 else 0x1F + (cell >= 0x60))
    return bytes((lead, trail)).decode("cp932", "replace")[:1]


def decode_pairs(octets: bytes) -> str:
    """Decode 7-bit pairs of JIS X 0208; a single octet at the end is damage."""
    odd = len(octets) % 2
    pairs = memoryview(octets[: len(octets) - odd]).cast("H")
    text = "".join(map(_table().__getitem__, pairs))
    return text + "�" * odd


def decode_iso_2022_jp(octets: bytes) -> tuple[str, bool]:
    """Decode; the flag says whether every octet was understood."""
    pieces: list[str] = []
    state = b"\x1b(B"
    before = state
    at = 0
    whole = True
    for found in _ESCAPE.finditer(octets):
        text, good = _decode_segment(octets[at : found.start()], state)
        pieces.append(text)
        whole &= good
        at = found.end()
        if found[0] == b"\x0e":
            before, state = state, b"\x1b(I"
        else:
            state = before if found[0] == b"\x0f" else found[0]
    text, good = _decode_segment(octets[at:], state)
    text = "".join([*pieces, text])
    return text, whole and good and "�" not in text


def _decode_segment(segment: bytes, state: bytes) -> tuple[str, bool]:
    if not segment:
        return "", True
    if state in _TWO_OCTETS:
        return _decode_double(segment), True
    if state == b"\x1b(I":
        return segment.translate(_TO_KANA).decode("cp932", "replace"), True
    if state in {b"\x1b$(D", b"\x1b$A", b"\x1b$(C"}:
        return (state + segment + b"\x1b(B").decode("iso2022_jp_2", "replace"), True
    if segment.isascii():
        return segment.decode("ascii"), True
    return "".join(map(_decode_line, segment.splitlines(keepends=True))), False


def _decode_line(line: bytes) -> str:
    """A line in eight bits beside escapes: a gateway's footer in UTF-8, half-width katakana, Shift_JIS."""
    if _UTF_8_RUN.search(line) and (text := line.decode("utf-8", "ignore")).encode() == line:
        return text
    if has_kana_pairs(line):
        return decode_euc_jp(line)[0]
    return line.decode("cp932", "replace")


def _decode_double(segment: bytes) -> str:
    """Pairs; a line end or a space among them belongs to no pair (senders forget to leave the set)."""
    pieces: list[str] = []
    at = 0
    for found in _PAIRS.finditer(segment):
        pieces += [segment[at : found.start()].decode("ascii", "replace"), decode_pairs(found[0])]
        at = found.end()
    rest = segment[at:]
    is_half = len(rest) == 1 and b" " < rest < b"\x7f"  # of a character that is cut off
    pieces.append("�" if is_half else rest.decode("ascii", "replace"))
    return "".join(pieces)


def has_kana_pairs(octets: bytes) -> bool:
    """Whether all high octets pair up as in EUC-JP, and a pair is kana (rows A4, A5)."""
    runs = _HIGH.findall(octets)
    return all(len(run) % 2 == 0 for run in runs) and any(
        0xA4 <= octet <= 0xA5 for run in runs for octet in run[::2]
    )


def decode_euc_jp(octets: bytes) -> tuple[str, bool]:
    """Decode EUC-JP; the flag says whether every octet was understood."""
    pieces: list[str] = []
    at = 0
    for found in _EUC_RUN.finditer(octets):
        pieces.append(octets[at : found.start()].decode("ascii", "replace"))
        at = found.end()
        if found["jis"]:
            pieces.append(decode_pairs(found[0].translate(_TO_7BIT)))
        elif found["kana"]:
            pieces.append(found[0].replace(b"\x8e", b"").decode("cp932", "replace"))
        else:
            pieces.append(found[0].decode("euc_jp", "replace"))
    pieces.append(octets[at:].decode("ascii", "replace"))
    text = "".join(pieces)
    return text, "�" not in text
