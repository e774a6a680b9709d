"""MAPI properties as a TNEF stream encodes them ([MS-OXTNEF] §2.1.3.4)."""

import struct
from dataclasses import dataclass, field

from relay.message.text import charsets
from relay.message.text.charsets import Decoded
from relay.message.text.readings import REPLACEMENT

_FIXED = {0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_LONG, _OBJECT, _STRING8, _UNICODE, _BINARY = 0x03, 0x0D, 0x1E, 0x1F, 0x102
_VARIABLE = {_OBJECT, _STRING8, _UNICODE, _BINARY}
_SEVERAL = 0x1000  # the flag of a type with several values
_NAMED = 0x8000  # the first tag that a name goes with
_INTERFACE = 16  # octets that say what an object is, before its own
_MOST_PROPERTIES = 10_000
_NOTHING = Decoded("", "us-ascii")


@dataclass(slots=True)
class Properties:
    """What properties say, by their tags; those with several values, and dates, are not read."""

    texts: dict[int, Decoded] = field(default_factory=dict)
    octets: dict[int, bytes] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    is_broken: bool = False  # whether they end before they should

    def find_text(self, *tags: int) -> Decoded:
        """The first of those texts that is not empty; an empty one without any."""
        return next((one for one in map(self.texts.get, tags) if one is not None and one.text), _NOTHING)


def read_properties(data: bytes, codepage: str) -> Properties:
    """Read as many properties as there are; never raises.

    Args:
        data: an attribute's octets.
        codepage: the codec of strings that are not Unicode.
    """
    return _Reader(data, codepage).read()


def read_table(data: bytes, codepage: str) -> list[Properties]:
    """The rows of a table, each with properties of its own; never raises."""
    reader = _Reader(data, codepage)
    rows: list[Properties] = []
    number = struct.unpack_from("<I", data)[0] if len(data) >= 4 else 0
    reader.at = 4
    while len(rows) < min(number, _MOST_PROPERTIES) and not (rows and rows[-1].is_broken):
        rows.append(reader.read())
    return rows


def read_string(data: bytes, codepage: str) -> Decoded:
    """A string in a code page, as far as its NUL."""
    return charsets.decode(data.split(b"\0")[0], codepage)


class _Reader:
    """Reads one property after the other; `at` is the offset of the next octet."""

    def __init__(self, data: bytes, codepage: str) -> None:
        self._data = data
        self._codepage = codepage
        self.at = 0

    def read(self) -> Properties:
        found = Properties()
        try:
            number = self._take_number()
            for _ in range(min(number, _MOST_PROPERTIES)):
                self._take_property(found)
            found.is_broken = number > _MOST_PROPERTIES
        except (struct.error, KeyError):
            found.is_broken = True
        return found

    def _take_number(self) -> int:
        number: int = struct.unpack_from("<I", self._data, self.at)[0]
        self.at += 4
        return number

    def _take_property(self, found: Properties) -> None:
        kind, tag = struct.unpack_from("<HH", self._data, self.at)
        self.at += 4
        if tag >= _NAMED:
            self._skip_name()
        several, kind = kind & _SEVERAL, kind & ~_SEVERAL
        if kind in _VARIABLE:
            for number in range(self._take_number()):
                value, is_cut = self._take_value()
                if not several and not number:
                    self._keep(found, kind, tag, value)
                if is_cut:
                    raise KeyError(tag)
            return
        if kind == _LONG and not several:
            found.numbers[tag] = struct.unpack_from("<I", self._data, self.at)[0]
        self.at += (self._take_number() if several else 1) * _FIXED[kind]

    def _skip_name(self) -> None:
        """Past the name of a named property: a GUID, then a number or a string."""
        kind, length = struct.unpack_from("<II", self._data, self.at + 16)
        self.at += 24 + ((length + 3) // 4 * 4 if kind == 1 else 0)

    def _take_value(self) -> tuple[bytes, bool]:
        """A value of any length, and whether it is cut off."""
        length = self._take_number()
        value = self._data[self.at : self.at + length]
        self.at += (length + 3) // 4 * 4
        return value, len(value) < length

    def _keep(self, found: Properties, kind: int, tag: int, value: bytes) -> None:
        if kind == _UNICODE:
            text = value.decode("utf-16-le", "replace").split("\0")[0]
            found.texts[tag] = Decoded(text, "utf-16-le", damaged=REPLACEMENT in text)
        elif kind == _STRING8:
            found.texts[tag] = read_string(value, self._codepage)
        else:
            found.octets[tag] = value[_INTERFACE:] if kind == _OBJECT else value
