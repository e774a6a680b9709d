"""What people write in relay.toml that is not TOML, and what they meant: guesses about one line.

Each guess is a sentence and, where it is plain what was meant, the line as it should be: then reading goes on
with that, so that all problems are told at once.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# What an editor, a chat program or an input method puts in place of ASCII, outside of quotes.
_QUOTES = {ord(c): '"' for c in "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\u300c\u300d\uff02"}
_QUOTES |= {ord(c): "'" for c in "\u2018\u2019\u201a\u201b\u2032\uff07"}
_BLANKS = dict.fromkeys([0x3000, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3164], " ")
# Among them the marks of direction and the ends of lines and paragraphs that come from pages and PDF.
_UNSEEN = dict.fromkeys(
    [
        0x00,
        0x1A,
        0xAD,
        0x180E,
        *range(0x200B, 0x2010),
        *range(0x2028, 0x202F),
        *range(0x2060, 0x2070),
        0xFEFF,
    ],
    "",
)
_WIDE = {code + 0xFEE0: chr(code) for code in range(0x21, 0x7F) if code + 0xFEE0 not in _QUOTES}
_NAMES = {0x3000: "a full-width space (U+3000)", 0xA0: "a no-break space (U+00A0)"}
_PIECES = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*'|\#.*)""")
_PAIR = re.compile(r"^(\s*[\w.\"'-]+\s*=[ \t]*)(.*?)([ \t]*(?:\#.*)?)$")
_COLON = re.compile(r"^(\s*)[\"']?([\w-]+)[\"']?\s*:\s*(?=\S)(.*?),?\s*$")
_HEADER = re.compile(r"^\s*(\[*)\s*([\w.-]+)\s*(\]*)\s*(?:\#.*)?$")
_COMMENT = re.compile(r"^(\s*)(//+|;+|--+|/\*)")
_FLAGS = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}
_SEVERAL = ("account", "listener", "user", "device", "console_user")  # tables that there may be several of
_NUMBER = re.compile(r"[+-]?\d[\d_]*(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Guess:
    """What is wrong with a line, and what to write."""

    text: str
    mended: str | None = None  # the line as it was meant; None: nobody knows
    column: int = 0  # where, from one; 0: where the reader stopped
    write: str = ""  # what to write; it has what was found in it, which may be a secret
    line: int | None = None  # which line is meant, from zero; None: the one where the reader stopped


def guess(line: str) -> Guess | None:
    """What is wrong with this line by itself; None if it is not one of the usual slips."""
    return next((found for one in _GUESSES if (found := one(line)) is not None), None)


def guess_from_above(lines: Sequence[str], number: int) -> Guess | None:
    """What is wrong with this line because of those before it.

    Args:
        lines: of the whole file.
        number: of the line, from zero.
    """
    return _find_repeated(lines, number) or _find_open(lines, number)


def _odd_characters(line: str) -> Guess | None:
    pieces = _PIECES.split(line)
    at = 0
    found = None
    for number, piece in enumerate(pieces):
        if number % 2 == 0:  # between texts in quotes
            odd = next((i for i, c in enumerate(piece) if ord(c) in _ODD), None)
            if found is None and odd is not None:
                found = at + odd
            pieces[number] = piece.translate(_ODD)
        at += len(piece)
    if found is None:
        return None
    return Guess(_tell_odd(ord(line[found])), "".join(pieces), found + 1)


def _tell_odd(code: int) -> str:
    if code in _QUOTES:
        return f"a curly quote (U+{code:04X}): write the straight one, {_QUOTES[code]}"
    if code in _BLANKS:
        return f"{_NAMES.get(code, f'an odd space (U+{code:04X})')}: write an ordinary space"
    if code in _UNSEEN:
        return f"a character that cannot be seen (U+{code:04X}): remove it"
    return f"a full-width {chr(code)} (U+{code:04X}): write {_WIDE[code]}"


_ODD = _QUOTES | _BLANKS | _UNSEEN | _WIDE


def _comment(line: str) -> Guess | None:
    found = _COMMENT.match(line)
    if found is None:
        return None
    return Guess(f"a comment begins with #, not with {found[2]}", f"{found[1]}#{line[found.end() :]}")


def _header(line: str) -> Guess | None:
    found = _HEADER.match(line)
    if found is None or not (found[1] or found[3]) or len(found[1]) == len(found[3]):
        return None
    count = min(max(len(found[1]), len(found[3])), 2)
    meant = "[" * count + found[2] + "]" * count
    return Guess("the brackets do not match", meant, write=meant)


def _colon(line: str) -> Guess | None:
    found = _COLON.match(line)
    if found is None or "=" in line[: found.start(3)]:
        return None
    meant = f"{found[1]}{found[2]} = {found[3]}"
    inner = guess(meant)  # as in `key: value`, where the quotes are missing too
    meant = inner.mended if inner and inner.mended else meant
    return Guess("a key and its value have = between them", meant, write=meant.strip())


def _value(line: str) -> Guess | None:
    found = _PAIR.match(line)
    if found is None:
        return None
    begin, value, rest = found.groups()
    said = next((x for one in _VALUES if (x := one(value)) is not None), None)
    if said is None:
        return None
    text, meant = said
    return Guess(text, None if meant is None else begin + meant + rest, len(begin) + 1, meant or "")


_Said = tuple[str, str | None] | None  # what is wrong with a value, and what was meant


def _no_value(value: str) -> _Said:
    return None if value else ('there is no value after =; "" is an empty text', None)


def _ended(value: str) -> _Said:
    if not value.endswith((",", ";")) or value[-2:-1] in ("", ","):
        return None
    return f"nothing stands behind the value, so take out the {value[-1]}", value[:-1].rstrip()


def _flag(value: str) -> _Said:
    meant = _FLAGS.get(value.lower())
    return (
        None
        if meant is None or meant == value
        else ("a flag is true or false, small and without quotes", meant)
    )


def _number(value: str) -> _Said:
    if re.fullmatch(r"\d{1,3}(,\d{3})+", value):
        meant = value.replace(",", "")
        return "a number has no commas", meant
    if re.fullmatch(r"0+\d+", value):
        return "a number does not begin with 0", str(int(value))
    return None


def _open_quote(value: str) -> _Said:
    quote = value[0]
    if quote not in "\"'" or value.startswith(quote * 3) or (value.endswith(quote) and len(value) > 1):
        return None
    return None if quote in value[1:] else ("the quote is not closed", value + quote)


def _backslash(value: str) -> _Said:
    if not (value[0] == value[-1] == '"' and len(value) > 1 and "\\" in value and "'" not in value):
        return None
    meant = f"'{value[1:-1]}'"
    return "between double quotes a backslash has a meaning; use single ones", meant


def _list(value: str) -> _Said:
    if not (value.startswith("[") and value.endswith("]")):
        return None
    items = [item.strip() for item in _split_list(value[1:-1])]
    meant = "[" + ", ".join(item if _is_value(item) else f'"{item}"' for item in items if item) + "]"
    return "each text of a list is in quotes, with commas between", meant


def _split_list(inner: str) -> list[str]:
    # Items of a list where the commas may be missing: what is in quotes stays whole.
    return [found[0] for found in re.finditer(r"\"[^\"]*\"|'[^']*'|[^\s,\"']+", inner)]


def _unquoted(value: str) -> _Said:
    if _is_value(value) or any(c in value for c in "\"'\\[]{}=\n"):
        return None
    return "a text is in quotes", f'"{value}"'


def _is_value(word: str) -> bool:
    in_quotes = len(word) > 1 and word[0] == word[-1] and word[0] in "\"'" and word[0] not in word[1:-1]
    return in_quotes or word in ("true", "false") or bool(_NUMBER.fullmatch(word))


def _no_equals(line: str) -> Guess | None:
    bare = line.split("#", maxsplit=1)[0].strip()
    if not bare or "=" in bare or bare[0] in "[]{}\"',":
        return None
    return Guess("a line is KEY = VALUE, a [table] or a # comment")


_VALUES: tuple[Callable[[str], _Said], ...] = (
    _no_value,
    _flag,
    _number,
    _ended,
    _open_quote,
    _backslash,
    _list,
    _unquoted,
)
_GUESSES: tuple[Callable[[str], Guess | None], ...] = (
    _odd_characters,
    _comment,
    _header,
    _colon,
    _value,
    _no_equals,
)


def _find_repeated(lines: Sequence[str], number: int) -> Guess | None:
    """A key that its table has already, or a table that is there twice."""
    header = _HEADER.match(lines[number])
    if header and header[1] == "[":
        return _find_same_table(lines[:number], header[2])
    key = _key_of(lines[number])
    if not key:
        return None
    for above in range(number - 1, -1, -1):
        if (found := _HEADER.match(lines[above])) and found[1]:
            break
        if _key_of(lines[above]) == key:
            indented = len(lines[number]) - len(lines[number].lstrip())
            return Guess(f"{key} stands in line {above + 1} already", column=indented + 1)
    return None


def _find_same_table(lines: Sequence[str], name: str) -> Guess | None:
    found = [i for i, one in enumerate(lines) if (x := _HEADER.match(one)) and x[1] and x[2] == name]
    if not found:
        return None
    several = f"; for several write [[{name}]] each time" if name in _SEVERAL else ""
    return Guess(f"[{name}] begins in line {found[-1] + 1} already{several}", column=1)


def _key_of(line: str) -> str:
    pair = _PAIR.match(line)
    return pair[1].split("=")[0].strip() if pair else ""


def _find_open(lines: Sequence[str], number: int) -> Guess | None:
    """A list or a long text, begun above, that nothing ends; or a wrong item of such a list."""
    begin = next((i for i in range(number - 1, -1, -1) if _PAIR.match(lines[i])), None)
    pair = None if begin is None else _PAIR.match(lines[begin])
    if begin is None or pair is None:
        return None
    if pair[2][:3] in ('"""', "'''"):
        return Guess(f"the text that begins in line {begin + 1} is not closed by {pair[2][:3]}")
    bare = "".join(_PIECES.sub("", one) for one in (pair[2], *lines[begin + 1 : number]))
    if bare.count("[") <= bare.count("]"):
        return None
    return _look_at_item(lines, number, begin)


def _look_at_item(lines: Sequence[str], number: int, begin: int) -> Guess | None:
    """What is wrong with this line, which is in the list that begins at another."""
    line, last = lines[number].strip(), max(i for i in range(number) if lines[i].strip())
    before = lines[last].rstrip()
    if not line or _PAIR.match(line) or _HEADER.match(line):
        text = f"the list that begins in line {begin + 1} is not closed by ]"
        return Guess(text, f"{before}]", len(before) + 1, line=last)
    if line[0] in "\"'" and not before.endswith((",", "[")):
        return Guess("a comma is missing between two items", f"{before},", len(before) + 1, line=last)
    item = line.rstrip(",")
    if _is_value(item) or any(c in item for c in "\"'[]#"):
        return None
    meant = f'"{item}"'
    return Guess("a text is in quotes", lines[number].replace(item, meant), write=meant)
