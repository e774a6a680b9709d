"""Files within plain text: uuencode (POSIX), its Base64 form, and yEnc 1.3.

Old scanners and Unix programs put a file into the text itself. Work is done on octets, before a charset is
thought of.
"""

import binascii
import re
import zlib
from dataclasses import dataclass

from relay.message.transfer import Damage, decode_base64

_BEGIN = re.compile(
    rb"^(?:begin(-base64)?[ \t]+[0-7]{3,4}[ \t]+([^\r\n]{1,1000}?)"
    rb"|=ybegin [^\r\n]{0,500}?name=([^\r\n]{1,1000}?))[ \t]*\r?$",
    re.MULTILINE,
)
_UU_LINE = re.compile(rb"[ -`]{1,90}[ \t]*\r?\n?\Z")
_UU_DIGITS = bytes(octet if 32 <= octet <= 96 else 32 for octet in range(256))
_SIX_BITS = bytes(octet if 0x20 <= octet <= 0x60 else 0x20 for octet in range(256))
_MOST_FILES = 1000
_MOST_BAD = 3  # lines in a row that may be broken
_YENC_VALUE = re.compile(rb"(?<![^ ])([a-z0-9]{1,10})=([0-9A-Fa-f]{1,20})(?![^\s])")
_DOWN_42 = bytes((octet - 42) % 256 for octet in range(256))


@dataclass(frozen=True, slots=True)
class _Ends:
    base64: int  # offset of the last end of begin-base64, -1 for none
    yenc: int  # of the last =yend


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file that stood in a text."""

    name: bytes
    octets: bytes
    damage: str = ""  # what is wrong with it, in one line; "" for nothing
    fragment: str = ""  # "2 of 3" for a part of a larger file


@dataclass(frozen=True, slots=True)
class _Read:
    octets: bytes
    end: int  # offset behind the file
    damage: str = ""
    fragment: str = ""


def extract_files(text: bytes) -> tuple[bytes, list[TextFile]]:
    """The text without the files that stood in it, and the files."""
    if b"begin" not in text:
        return text, []
    kept: list[bytes] = []
    files: list[TextFile] = []
    at = 0
    # Where the last ends are: behind them no search through the rest of the text is needed.
    last = _Ends(text.rfind(b"\n===="), text.rfind(b"\n=yend"))
    for begin in _BEGIN.finditer(text):
        if begin.start() < at or len(files) >= _MOST_FILES:
            continue
        read = _read(text, begin, last)
        if read is None:
            continue
        files.append(TextFile(begin[2] or begin[3], read.octets, read.damage, read.fragment))
        kept.append(text[at : begin.start()])
        at = read.end
    kept.append(text[at:])
    return b"".join(kept), files


def decode_uuencoded(octets: bytes) -> tuple[bytes, str]:
    """A whole body that is uuencoded, with or without its begin line, and what is wrong with it."""
    begin = _BEGIN.search(octets)
    if begin and not begin[3]:
        read = _read(octets, begin, _Ends(octets.rfind(b"\n===="), -1))
        if read is not None:
            return read.octets, read.damage
        octets = octets[begin.end() :]
    lines = [line.rstrip(b"\r") for line in octets.split(b"\n")]
    kept = lines[: lines.index(b"end")] if b"end" in lines else lines
    bad = sum(1 for line in kept if line.strip() and not _is_uu(line))
    return _decode_lines(kept), _say_lines(bad, is_ended=b"end" in lines or begin is None)


def decode_yencoded(octets: bytes) -> tuple[bytes, str]:
    """A whole body that is yEnc, with or without its begin line, and what is wrong with it."""
    begin = _BEGIN.search(octets)
    if begin and begin[3] and (read := _read(octets, begin, _Ends(-1, octets.rfind(b"\n=yend")))):
        return read.octets, read.damage
    return decode_yenc(octets), ""


def _read(text: bytes, begin: re.Match[bytes], last: _Ends) -> _Read | None:
    """The file that begins there; None when it is no file."""
    start = text.find(b"\n", begin.end()) + 1
    if not start:
        return None
    if begin[3]:
        return _read_yenc(text, begin[0], start) if start <= last.yenc + 1 else None
    if begin[1]:
        if start > last.base64 + 1:
            return None
        end = text.find(b"\n====", start - 1)
        damage = Damage()
        octets = decode_base64(text[start : end + 1], damage)
        return _Read(octets, _line_end(text, end + 1), str(damage))
    return _read_uu(text, start)


def _line_end(text: bytes, at: int) -> int:
    end = text.find(b"\n", at)
    return len(text) if end < 0 else end + 1


def _read_uu(text: bytes, start: int) -> _Read | None:
    lines: list[bytes] = []
    bad = 0
    at = start
    while at < len(text):
        end = _line_end(text, at)
        line = text[at:end].rstrip(b"\r\n")
        if line.rstrip() == b"end":
            return _Read(_decode_lines(lines), end, _say_lines(bad, is_ended=True))
        if line.strip() and not _is_uu(line):
            if not lines or not _goes_on(text, end):
                break
            bad += 1
            line = lines[-1][:1] + line[1:]  # what it has place for; nothing behind it moves
        lines.append(line)
        at = end
    # Cut off before its end: a file all the same, when there is enough of it to be sure.
    return _Read(_decode_lines(lines), at, _say_lines(bad, is_ended=False)) if len(lines) > 2 else None


def _goes_on(text: bytes, at: int) -> bool:
    """Whether one of the next lines is plainly of a file: full, or its end."""
    for _ in range(_MOST_BAD):
        end = _line_end(text, at)
        line = text[at:end].rstrip()
        needed = ((line[0] - 32 & 63) + 2) // 3 * 4 if line else 0
        if line == b"end" or (needed and _is_uu(line) and len(line) > needed):
            return True
        at = end
    return False


def _say_lines(bad: int, *, is_ended: bool) -> str:
    said = (f"{bad} lines are no uuencode" if bad else "", "" if is_ended else "its end is missing")
    return "; ".join(filter(None, said))


def _is_uu(line: bytes) -> bool:
    if _UU_LINE.match(line) is None:
        return False
    length = (line[0] - 32) & 63
    # Some encoders leave trailing spaces away, some put a checksum behind.
    return len(line.rstrip()) - 1 <= (length + 2) // 3 * 4 + 2 and (length == 0 or len(line) > 1)


def _decode_lines(lines: list[bytes]) -> bytes:
    return b"".join(_decode_line(line) for line in lines if line.strip())


def _decode_line(line: bytes) -> bytes:
    """The octets of one line, as far as they go: the last quantum is filled up with rubbish by some encoders,
    trailing spaces are lost on the way.
    """
    length = (line[0] - 32) & 63
    needed = (length + 2) // 3 * 4
    whole = bytes((32 + needed // 4 * 3,))  # the decoder takes rubbish only where it is counted as data
    return binascii.a2b_uu(whole + line[1 : 1 + needed].translate(_SIX_BITS).ljust(needed))[:length]


def _read_yenc(text: bytes, header: bytes, start: int) -> _Read:
    end = text.find(b"\n=yend", start - 1)
    behind = _line_end(text, end + 1)
    data, part = text[start : end + 1], b""
    if data.startswith(b"=ypart"):
        begin = _line_end(data, 0)
        data, part = data[begin:], data[:begin]
    octets = decode_yenc(data)
    said = dict(_YENC_VALUE.findall(header.partition(b"name=")[0]))
    said |= (
        {b"pcrc32": b""} | dict(_YENC_VALUE.findall(part)) | dict(_YENC_VALUE.findall(text[end + 1 : behind]))
    )
    number, total = said.get(b"part", b""), said.get(b"total", b"?")
    is_fragment = bool(number) and total != b"1"
    fragment = f"{number.decode()} of {total.decode()}" if is_fragment else ""
    return _Read(octets, behind, _check_yenc(octets, said, is_fragment=is_fragment), fragment)


def _check_yenc(octets: bytes, said: dict[bytes, bytes], *, is_fragment: bool) -> str:
    """What is wrong by the size and the CRC-32 that the lines around the data give (yEnc 1.3)."""
    size = said.get(b"size", b"")
    if is_fragment and said.get(b"begin", b"").isdigit() and said.get(b"end", b"").isdigit():
        size = b"%d" % (int(said[b"end"]) - int(said[b"begin"]) + 1)
    crc = said[b"pcrc32"] or (b"" if is_fragment else said.get(b"crc32", b""))
    is_other = bool(crc) and crc.lower().lstrip(b"0") != b"%x" % zlib.crc32(octets)
    wrong = (
        f"it has {len(octets)} octets, {size.decode()} were announced"
        if size.isdigit() and int(size) != len(octets)
        else "",
        "its CRC is that of other octets" if is_other and crc.strip(b"0") else "",
    )
    return "; ".join(filter(None, wrong))


def decode_yenc(data: bytes) -> bytes:
    """The octets of yEnc lines: each is 42 higher; behind an equals sign another 64."""
    first, *escaped = data.replace(b"\r", b"").replace(b"\n", b"").split(b"=")
    pieces = [first.translate(_DOWN_42)]
    for piece in escaped:
        pieces.append(bytes([(octet - 64 - 42) % 256 for octet in piece[:1]]))
        pieces.append(piece[1:].translate(_DOWN_42))
    return b"".join(pieces)
