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
_SIX_BITS = bytes(octet if 0x20 <= octet <= 0x60 else 0x20 for octet in range(256))
_MOST_FILES = 1000
_MOST_BAD = 3  # lines in a row that may be broken
_BASE64_LINES = re.compile(rb"[A-Za-z0-9+/]{60,}[ \t]*\r?\n(?:[A-Za-z0-9+/]{4,}={0,2}[ \t]*\r?(?:\n|\Z))*+")
_NO_END = "its end is missing"
_LOOK = 256  # octets that show whether yEnc follows its first line
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


def decode_uuencoded(octets: bytes) -> TextFile:
    """A whole body that is uuencoded, with or without its begin line, and what is wrong with it."""
    begin = _BEGIN.search(octets)
    if begin and not begin[3]:
        read = _read(octets, begin, _Ends(octets.rfind(b"\n===="), -1))
        if read is not None:
            return _take_whole(octets, begin, read)
        octets = octets[begin.end() :]
    lines = [line.rstrip(b"\r") for line in octets.split(b"\n")]
    kept = lines[: lines.index(b"end")] if b"end" in lines else lines
    bad = sum(1 for line in kept if line.strip() and not _is_uu(line))
    return TextFile(b"", _decode_lines(kept), _say_lines(bad, is_ended=b"end" in lines or begin is None))


def decode_yencoded(octets: bytes) -> TextFile:
    """A whole body that is yEnc, with or without its begin line, and what is wrong with it."""
    begin = _BEGIN.search(octets)
    if begin and begin[3] and (read := _read(octets, begin, _Ends(-1, octets.rfind(b"\n=yend")))):
        return _take_whole(octets, begin, read)
    return TextFile(b"", decode_yenc(octets))


def _take_whole(body: bytes, begin: re.Match[bytes], read: _Read) -> TextFile:
    """The file that a whole body should be; a gateway's banner or footer beside it is named."""
    beside = len((body[: begin.start()].strip() + b"\n" + body[read.end :].strip()).split(b"\n"))
    has_text = bool(body[: begin.start()].strip() or body[read.end :].strip())
    said = (read.damage, f"{beside} lines of text beside it" if has_text else "")
    return TextFile(b"", read.octets, "; ".join(filter(None, said)), read.fragment)


def _read(text: bytes, begin: re.Match[bytes], last: _Ends) -> _Read | None:
    """The file that begins there; None when it is no file."""
    start = text.find(b"\n", begin.end()) + 1
    if not start:
        return None
    if begin[3]:
        return _read_yenc(text, begin[0], start, is_ended=start <= last.yenc + 1)
    if begin[1]:
        return _read_base64(text, start, is_ended=start <= last.base64 + 1)
    return _read_uu(text, start)


def _read_base64(text: bytes, start: int, *, is_ended: bool) -> _Read | None:
    if is_ended:
        stop = text.find(b"\n====", start - 1) + 1
        end = _line_end(text, stop)
    else:
        lines = _BASE64_LINES.match(text, start)
        if lines is None:
            return None
        stop = end = lines.end()
    damage = Damage()
    octets = decode_base64(text[start:stop], damage)
    return _Read(octets, end, "; ".join(filter(None, (str(damage), "" if is_ended else _NO_END))))


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
            return _Read(_decode_lines(lines), end, _say_lines(bad + _count_short(lines), is_ended=True))
        if line.strip() and not _is_uu(line):
            following = _find_full(text, end)
            if not following or (not lines and following == b"end"):
                break
            bad += 1
            line = _mend(line, lines[-1] if lines else following)
        lines.append(line)
        at = end
    # Cut off before its end: a file all the same, when there is enough of it to be sure.
    damage = _say_lines(bad + _count_short(lines), is_ended=False)
    return _Read(_decode_lines(lines), at, damage) if len(lines) > 2 else None


def _mend(line: bytes, like: bytes) -> bytes:
    """What a broken line has place for, so that nothing moves; "" if it stands between two lines."""
    return like[:1] + line[1:] if line[:1] == like[:1] or len(line) == len(like) else b""


def _find_full(text: bytes, at: int) -> bytes:
    """The first of the next lines that is plainly of a file: full, or its end; "" for none."""
    for _ in range(_MOST_BAD):
        end = _line_end(text, at)
        line = text[at:end].rstrip()
        needed = ((line[0] - 32 & 63) + 2) // 3 * 4 if line else 0
        if line == b"end" or (needed and _is_uu(line) and len(line) > needed):
            return line
        at = end
    return b""


def _count_short(lines: list[bytes]) -> int:
    """How many lines have fewer characters than they say; none where blanks, which are zeros, may have been
    taken from their ends.
    """
    if not any(b"`" in line[1:] or line.endswith(b" ") for line in lines):
        return 0
    return sum(len(line) - 1 < ((line[0] - 32 & 63) * 4 + 2) // 3 for line in lines if line.strip())


def _say_lines(bad: int, *, is_ended: bool) -> str:
    said = (f"{bad} lines are no uuencode" if bad else "", "" if is_ended else _NO_END)
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


def _read_yenc(text: bytes, header: bytes, start: int, *, is_ended: bool) -> _Read | None:
    """The file behind a `=ybegin` line; without its end only what is no text is one."""
    if not is_ended and text[start : start + _LOOK].isascii():
        return None
    end = text.find(b"\n=yend", start - 1) if is_ended else len(text)
    behind = _line_end(text, end + 1) if is_ended else end
    data, part = text[start : end + 1], b""
    if data.startswith(b"=ypart"):
        begin = _line_end(data, 0)
        data, part = data[begin:], data[:begin]
    octets = decode_yenc(data)
    before, parts, after = (
        dict(_YENC_VALUE.findall(line))
        for line in (header.partition(b"name=")[0], part, text[end + 1 : behind])
    )
    said = {b"pcrc32": b""} | before | parts | after
    number, total = said.get(b"part", b""), said.get(b"total", b"?")
    is_fragment = bool(number) and total != b"1"
    fragment = f"{number.decode()} of {total.decode()}" if is_fragment else ""
    sizes = [after.get(b"size", b""), b"" if is_fragment else before.get(b"size", b"")]
    said_wrong = (_check_yenc(octets, said, sizes, is_fragment=is_fragment), "" if is_ended else _NO_END)
    return _Read(octets, behind, "; ".join(filter(None, said_wrong)), fragment)


def _check_yenc(octets: bytes, said: dict[bytes, bytes], sizes: list[bytes], *, is_fragment: bool) -> str:
    """What is wrong by the sizes and the CRC-32 that the lines around the data give (yEnc 1.3)."""
    if is_fragment and said.get(b"begin", b"").isdigit() and said.get(b"end", b"").isdigit():
        sizes = [b"%d" % (int(said[b"end"]) - int(said[b"begin"]) + 1), *sizes]
    size = next((one for one in sizes if one.isdigit() and int(one) != len(octets)), b"")
    crc = said[b"pcrc32"] or (b"" if is_fragment else said.get(b"crc32", b""))
    # Some write a negative number, in 64 bits.
    is_other = bool(crc) and int(crc[-8:], 16) != zlib.crc32(octets)
    wrong = (
        f"it has {len(octets)} octets, {size.decode()} were announced" if size else "",
        "its CRC is that of other octets" if is_other else "",
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
