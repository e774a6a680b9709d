"""Where each key of a TOML text stands: tomllib gives values, and no lines.

The text has been read by tomllib before, so that it is TOML. Source of the grammar: TOML 1.0.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\]|\\.)*"'),
    re.compile(r"'[^']*'"),
)
# Numbers, dates and flags; a date may have a space in it.
_PLAIN = re.compile(r"[^,\]}#\n]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key and its value begin: offsets in characters. A table's value is its header."""

    key: int
    value: int


def locate(text: str) -> dict[Path, Place]:
    """The place of each table, key and item of a list.

    Args:
        text: that is TOML; of another text the answer has no meaning.
    """
    return dict(_Scanner(text).scan())


class _Scanner:
    """Walks through the text once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._rows: dict[Path, int] = {}  # of each array of tables, how many were begun

    def scan(self) -> Iterator[tuple[Path, Place]]:
        table: Path = ()
        while self._skip_blank():
            if self._text[self._at] == "[":
                begin = self._at
                table = self._header()
                yield table, Place(begin, begin)
            else:
                yield from self._pair(table)

    def _skip_blank(self) -> bool:
        """Go to what comes next; whether there is anything."""
        self._take(_BLANK)
        return self._at < len(self._text)

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            # The text is no TOML after all: go on, for it must end.
            self._at += 1
            return ""
        self._at = found.end()
        return found[0]

    def _header(self) -> Path:
        double = self._text.startswith("[[", self._at)
        self._at += 2 if double else 1
        self._skip_blank()
        *above, last = self._key()
        path: Path = ()
        for step in above:
            path = self._latest((*path, step))
        path = (*path, last)
        if double:
            self._rows[path] = self._rows.get(path, 0) + 1
        self._skip_blank()
        self._at += 2 if double else 1
        return self._latest(path)

    def _latest(self, path: Path) -> Path:
        """The table that a header means: of an array its latest."""
        return (*path, self._rows[path] - 1) if path in self._rows else path

    def _key(self) -> Path:
        steps = [self._step()]
        while _DOT.match(self._text, self._at):
            self._take(_DOT)
            steps.append(self._step())
        return tuple(steps)

    def _step(self) -> str:
        if self._text[self._at : self._at + 1] in ('"', "'"):
            return self._string()[1:-1]
        return self._take(_BARE_KEY)

    def _string(self) -> str:
        matching = (one for one in _STRINGS if one.match(self._text, self._at))
        return self._take(next(matching, _PLAIN))

    def _pair(self, table: Path) -> Iterator[tuple[Path, Place]]:
        begin = self._at
        path = table + self._key()
        self._skip_blank()
        self._at += 1  # the sign between
        self._skip_blank()
        yield path, Place(begin, self._at)
        yield from self._value(path)

    def _value(self, path: Path) -> Iterator[tuple[Path, Place]]:
        match self._text[self._at : self._at + 1]:
            case "[":
                yield from self._items(path)
            case "{":
                yield from self._inline_table(path)
            case '"' | "'":
                self._string()
            case _:
                self._take(_PLAIN)

    def _items(self, path: Path) -> Iterator[tuple[Path, Place]]:
        self._at += 1
        number = 0
        while self._goes_on("]"):
            yield (*path, number), Place(self._at, self._at)
            yield from self._value((*path, number))
            number += 1

    def _inline_table(self, path: Path) -> Iterator[tuple[Path, Place]]:
        self._at += 1
        while self._goes_on("}"):
            yield from self._pair(path)

    def _goes_on(self, end: str) -> bool:
        """Step over a comma; whether another item follows. If not, step over the bracket that ends it."""
        self._skip_blank()
        if self._text[self._at : self._at + 1] == ",":
            self._at += 1
            self._skip_blank()
        if self._text[self._at : self._at + 1] in (end, ""):
            self._at += 1
            return False
        return True
