"""Files within plain text: uuencode (POSIX), its Base64 form, and yEnc 1.3.

Old scanners and Unix programs put a file into the text itself. Work is done on octets, before a charset is
thought of.
"""

import binascii
import re
from dataclasses import dataclass

from relay.message.transfer import decode_base64

_BEGIN = re.compile(
    rb"^(?:begin(-base64)?[ \t]+[0-7]{3,4}[ \t]+([^\r\n]{1,1000}?)"
    rb"|=ybegin [^\r\n]{0,500}?name=([^\r\n]{1,1000}?))[ \t]*\r?$",
    re.MULTILINE,
)
_UU_LINE = re.compile(rb"[ -`]{1,90}[ \t]*\r?\n?\Z")
_UU_DIGITS = bytes(octet if 32 <= octet <= 96 else 32 for octet in range(256))
_SIX_BITS = bytes(octet if 0x20 <= octet <= 0x60 else 0x20 for octet in range(256))
_MOST_FILES = 1000
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
        octets, end = _read(text, begin, last)
        if end < 0:
            continue
        files.append(TextFile(begin[2] or begin[3], octets))
        kept.append(text[at : begin.start()])
        at = end
    kept.append(text[at:])
    return b"".join(kept), files


def decode_uuencoded(octets: bytes) -> bytes:
    """A whole body that is uuencoded, with or without its begin line; each line as far as it goes."""
    if (begin := _BEGIN.search(octets)) and not begin[3]:
        found, end = _read(octets, begin, _Ends(octets.rfind(b"\n===="), -1))
        if end >= 0:
            return found
        octets = octets[begin.end() :]
    lines = [line.rstrip(b"\r") for line in octets.split(b"\n")]
    return _decode_lines(lines[: lines.index(b"end")] if b"end" in lines else lines)


def _read(text: bytes, begin: re.Match[bytes], last: _Ends) -> tuple[bytes, int]:
    """The file's octets and the offset behind it; -1 when it is no file."""
    start = text.find(b"\n", begin.end()) + 1
    if not start:
        return b"", -1
    if begin[3]:
        return _read_yenc(text, start) if start <= last.yenc + 1 else (b"", -1)
    if begin[1]:
        if start > last.base64 + 1:
            return b"", -1
        end = text.find(b"\n====", start - 1)
        return decode_base64(text[start : end + 1]), _line_end(text, end + 1)
    return _read_uu(text, start)


def _line_end(text: bytes, at: int) -> int:
    end = text.find(b"\n", at)
    return len(text) if end < 0 else end + 1


def _read_uu(text: bytes, start: int) -> tuple[bytes, int]:
    lines: list[bytes] = []
    at = start
    while at < len(text):
        end = _line_end(text, at)
        line = text[at:end].rstrip(b"\r\n")
        if line.rstrip() == b"end":
            return _decode_lines(lines), end
        if line.strip() and not _is_uu(line):
            break
        lines.append(line)
        at = end
    # Cut off before its end: a file all the same, when there is enough of it to be sure.
    return (_decode_lines(lines), at) if len(lines) > 2 else (b"", -1)


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


def _read_yenc(text: bytes, start: int) -> tuple[bytes, int]:
    end = text.find(b"\n=yend", start - 1)
    data = text[start : end + 1]
    if data.startswith(b"=ypart"):
        data = data[_line_end(data, 0) :]
    return decode_yenc(data), _line_end(text, end + 1)


def decode_yenc(data: bytes) -> bytes:
    """The octets of yEnc lines: each is 42 higher; behind an equals sign another 64."""
    first, *escaped = data.replace(b"\r", b"").replace(b"\n", b"").split(b"=")
    pieces = [first.translate(_DOWN_42)]
    for piece in escaped:
        pieces.append(bytes([(octet - 64 - 42) % 256 for octet in piece[:1]]))
        pieces.append(piece[1:].translate(_DOWN_42))
    return b"".join(pieces)
