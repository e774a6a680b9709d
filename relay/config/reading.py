"""Read a TOML file, and say of what is not TOML where it stands and what was probably meant."""

import codecs
import re
import tomllib
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from relay.config.slips import Guess, guess, guess_from_above

_MOST_SLIPS, _MOST_TIMES = 20, 3  # told of one file; of one line
# tomllib says the place in its sentence, and from Python 3.14 on in attributes as well.
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_KEY = re.compile(r"\s*([\w-]+)\s*[=:]")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OTHERS = {"cp932": "Shift_JIS", "cp949": "EUC-KR"}
_LONGEST_LINE = 160


@dataclass(frozen=True, slots=True)
class Slip:
    """Something that is not TOML."""

    text: str
    line: int  # from one; 0: nowhere in particular
    column: int  # in characters, from one
    source: str  # the line as it stands in the file
    write: str = ""  # what to write in its place; it has in it what was found, which may be a secret
    key: str = ""  # whose value it is in


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds."""

    tree: dict[str, Any] | None  # None: it could not be made out
    text: str
    slips: tuple[Slip, ...] = ()


def read(path: Path) -> Document:
    """Read a file. What is not TOML is read as it was probably meant, and told.

    Raises:
        OSError: the file cannot be read.
    """
    octets = path.read_bytes()
    if octets.startswith(_UTF_16) or b"\0" in octets[:2]:  # with its mark, or an ASCII letter without
        said = 'is in UTF-16 ("Unicode" in Notepad): save the file as UTF-8'
        return Document(None, "", (Slip(said, 0, 0, ""),))
    try:
        return _parse(decode(octets))
    except UnicodeDecodeError as error:
        return Document(None, "", (_tell_charset(octets, error),))


def decode(octets: bytes) -> str:
    """The text of a file that should be UTF-8, without the mark that Windows programs put before it.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    text = octets.decode("utf-8-sig")
    # Lines of old Macintosh editors end in CR alone, which TOML does not know.
    return text if "\n" in text else text.replace("\r", "\n")


def _tell_charset(octets: bytes, error: UnicodeDecodeError) -> Slip:
    line = octets.count(b"\n", 0, error.start) + 1
    begin = octets.rfind(b"\n", 0, error.start) + 1
    column = len(octets[begin : error.start].decode("utf-8", "replace")) + 1
    source = octets[begin:].split(b"\n", 1)[0].decode("utf-8", "replace")
    likely = " or ".join(name for codec, name in _OTHERS.items() if _fits(octets, codec))
    said = f" (perhaps {likely})" if likely else ""
    return Slip(f"is not UTF-8{said}: save the file as UTF-8", line, column, source)


def _fits(octets: bytes, codec: str) -> bool:
    try:
        octets.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _parse(text: str) -> Document:
    slips: list[Slip] = []
    lines = text.split("\n")
    times: Counter[int] = Counter()  # that each line was mended
    sure = True
    while len(slips) < _MOST_SLIPS:
        try:
            tree = tomllib.loads("\n".join(lines))
        except tomllib.TOMLDecodeError as error:
            slip, mended = _look(error, lines)
            at = slip.line - 1
            if times[at] and not lines[at]:  # nothing stands there any more: it is another line's fault
                sure = False
                break
            times[at] += 1
            slips.append(slip)
            mended = mended if times[at] < _MOST_TIMES else None
            sure = sure and mended is not None
            lines[at] = mended or ""
            if mended is None and (slip.source.lstrip().startswith("[") or _is_at_end(error)):
                sure = False
                break  # what follows would be told of as if it stood in another table, and twice
        else:
            return Document(tree if sure else None, "\n".join(lines), tuple(slips))
    return Document(None, text, tuple(slips))


def _is_at_end(error: tomllib.TOMLDecodeError) -> bool:
    found = _PLACE.search(str(error))
    return found is not None and found[1] is None


def _look(error: tomllib.TOMLDecodeError, lines: list[str]) -> tuple[Slip, str | None]:
    """What is wrong first, and the line as it was meant."""
    said = str(error)
    found = _PLACE.search(said)
    line = int(found[1]) if found and found[1] else len(lines)
    column = int(found[2]) if found and found[2] else 1
    while line > 1 and column <= 1 and not lines[line - 1].strip(" \t\r"):
        line -= 1  # what is missing is missing at the end of the line before
        column = len(lines[line - 1]) + 1
    best = _find_best(lines, line - 1) or Guess(f"is not TOML: {_PLACE.sub('', said)}")
    line = line if best.line is None else best.line + 1
    key = next((x[1] for one in reversed(lines[:line]) if (x := _KEY.match(one))), "")
    slip = Slip(best.text, line, best.column or column, lines[line - 1], best.write, key)
    return slip, best.mended


def _find_best(lines: list[str], number: int) -> Guess | None:
    """The likeliest guess about this line or, if nothing is wrong with it by itself, about the one before."""
    found = guess_from_above(lines, number) or guess(lines[number])
    if found is None and number:  # a quote that is not closed is noticed in the next line
        found = guess(lines[number - 1])
        found = replace(found, line=number - 1) if found else None
    return found


def excerpt(source: str, column: int) -> str:
    """The line with a mark under this column, both indented."""
    cut = max(0, column - _LONGEST_LINE)
    shown = source[cut : cut + _LONGEST_LINE].rstrip()
    before = shown[: max(column - 1 - cut, 0)]
    # A kanji takes two columns on a terminal; a tab is followed by a tab.
    blanks = "".join(
        c if c == "\t" else " " * (1 + (unicodedata.east_asian_width(c) in "WF")) for c in before
    )
    return f"    {shown}\n    {blanks}^"
