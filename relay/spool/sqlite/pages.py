"""Reads an SQLite file page by page, so that one bad page costs only what stood on it.

SQLite itself refuses a whole table for a bad page. Every page of a b-tree can be read without the others, as
the `.recover` command of sqlite3 does. Source of all numbers: https://www.sqlite.org/fileformat2.html.
Pure: octets in, records out; nothing here raises because of what the octets are.
"""

import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Value = int | float | str | bytes | None
MAGIC = b"SQLite format 3\0"
USUAL_SIZE = 4096  # of a page, since SQLite 3.12; what our databases have
_HEAD = 100  # octets of the file's header, before the b-tree header of page 1
_INDEX_INTERIOR, _TABLE_INTERIOR, _INDEX_LEAF, _TABLE_LEAF = 2, 5, 10, 13
_INTERIOR = (_INDEX_INTERIOR, _TABLE_INTERIOR)
_KINDS = (*_INTERIOR, _INDEX_LEAF, _TABLE_LEAF)
_LENGTHS = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)  # octets of the serial types 0 to 9
_REAL, _ZERO, _ONE, _BLOB, _TEXT = 7, 8, 9, 12, 13
_LONGEST_VARINT = 9
_MOST_OCTETS = 1 << 30  # of one record: SQLite's own limit is a little less


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    """A cell, or a record, is not what it should be."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row, or an index's entry."""

    rowid: int | None  # None: of an index, or of a table WITHOUT ROWID
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One page of a b-tree."""

    records: list[Record]
    children: list[int]  # page numbers, in the order of their keys
    whole: bool  # whether every cell could be read


class Pages:
    """The pages of one database.

    Args:
        octets: of the database's file.
        newer: pages of its log, by number: they take the place of the file's.
        size: of a page, in octets; 0: as the file's header says.
    """

    def __init__(self, octets: bytes | mmap.mmap, newer: Mapping[int, bytes], size: int = 0) -> None:
        self._octets = octets
        self._newer = newer
        self.size = size or find_page_size(bytes(newer.get(1, octets[:_HEAD])))
        self.count = max(-(-len(octets) // self.size), max(newer, default=0))

    def page(self, number: int) -> bytes:
        """The octets of a page; empty if there is none of this number."""
        newer = self._newer.get(number)
        if newer is not None:
            return newer
        if not 1 <= number <= self.count:
            return b""
        # Of a page that is cut off the rest is still good.
        return bytes(self._octets[(number - 1) * self.size : number * self.size]).ljust(self.size, b"\0")

    def node(self, number: int) -> Node | None:
        """The page of a b-tree; None if the page is none."""
        return self.parse(self.page(number), number)

    def parse(self, data: bytes, number: int) -> Node | None:
        """The page of a b-tree that these octets are; None if they are none."""
        head = _HEAD if number == 1 else 0
        if len(data) < self.size or data[head] not in _KINDS:
            return None
        kind = data[head]
        count = int.from_bytes(data[head + 3 : head + 5])
        begin = head + (12 if kind in _INTERIOR else 8)
        end = begin + 2 * count
        if end > self.size:
            return None
        node = _Builder(self, data, kind)
        for (at,) in struct.iter_unpack(">H", data[begin:end]):
            node.add(at, lowest=end)
        if kind in _INTERIOR:
            node.link(int.from_bytes(data[head + 8 : head + 12]))
        return Node(node.records, node.children, node.whole)

    def walk(self, root: int) -> Iterator[tuple[int, Node | None]]:
        """Every page of a b-tree once, from its root on; None for a page that cannot be read."""
        waiting, seen = [root], {root}
        while waiting:
            number = waiting.pop()
            node = self.node(number)
            yield number, node
            if node is not None:
                fresh = [one for one in reversed(node.children) if one not in seen]
                seen.update(fresh)
                waiting += fresh

    def free(self) -> tuple[set[int], bool]:
        """The pages that are in no use; whether these are all of them."""
        head = self.page(1)
        if not head.startswith(MAGIC):
            return set(), False
        trunk, count = struct.unpack(">II", head[32:40])
        found: set[int] = set()
        while trunk and trunk not in found and (page := self.page(trunk)):
            found.add(trunk)
            after, leaves = struct.unpack(">II", page[:8].ljust(8, b"\0"))
            listed = page[8 : 8 + 4 * min(leaves, self.size // 4 - 2)]
            found.update(one for (one,) in struct.iter_unpack(">I", listed[: len(listed) // 4 * 4]))
            trunk = after
        return found, len(found) == count

    def chain(self, number: int, length: int) -> bytes:
        """So many octets from overflow pages, this one first. Raises _Unreadable."""
        parts = []
        while length > 0:
            page = self.page(number)
            if len(page) < self.size:
                raise _Unreadable("a page of its chain is not there")
            parts.append(page[4 : 4 + length])
            length -= len(parts[-1])
            number = int.from_bytes(page[:4])
        return b"".join(parts)


class _Builder:
    """Takes the cells of one page."""

    def __init__(self, pages: Pages, data: bytes, kind: int) -> None:
        self._pages = pages
        self._data = data
        self._kind = kind
        self.records: list[Record] = []
        self.children: list[int] = []
        self.whole = True

    def link(self, child: int) -> None:
        """Note a child."""
        if 1 < child <= self._pages.count:
            self.children.append(child)
        else:
            self.whole = False

    def add(self, at: int, lowest: int) -> None:
        """Read the cell at this place."""
        if at < lowest:  # within the page's own header
            self.whole = False
            return
        try:
            if self._kind in _INTERIOR:
                self.link(int.from_bytes(self._data[at : at + 4]))
                at += 4
            if self._kind != _TABLE_INTERIOR:
                self.records.append(self._read(at))
        except (_Unreadable, IndexError, struct.error):
            self.whole = False

    def _read(self, at: int) -> Record:
        length, at = _varint(self._data, at)
        rowid = None
        if self._kind == _TABLE_LEAF:
            rowid, at = _varint(self._data, at)
            rowid -= (rowid >> 63) << 64
        if length > _MOST_OCTETS:
            raise _Unreadable("longer than a record may be")
        local = self._local(length)
        payload = self._data[at : at + local]
        if len(payload) < local:
            raise _Unreadable("the cell ends beyond the page")
        if local < length:
            first = int.from_bytes(self._data[at + local : at + local + 4])
            payload += self._pages.chain(first, length - local)
        return Record(rowid, decode(payload))

    def _local(self, length: int) -> int:
        """How much of a payload stands on the page itself."""
        usable = self._pages.size
        most = usable - 35 if self._kind == _TABLE_LEAF else (usable - 12) * 64 // 255 - 23
        if length <= most:
            return length
        least = (usable - 12) * 32 // 255 - 23
        fitting = least + (length - least) % (usable - 4)
        return fitting if fitting <= most else least


def find_page_size(head: bytes) -> int:
    """As a file's header says; the usual one if the header is damaged."""
    said = int.from_bytes(head[16:18]) if head.startswith(MAGIC) else 0
    said = 65536 if said == 1 else said
    return said if said >= 512 and said & (said - 1) == 0 else USUAL_SIZE  # noqa: PLR2004 - the format's least


def decode(payload: bytes) -> tuple[Value, ...]:
    """The values of a record. Raises _Unreadable."""
    end, at = _varint(payload, 0)
    values, place = [], end
    if end > len(payload):
        raise _Unreadable("a header longer than the record")
    while at < end:
        serial, at = _varint(payload, at)
        length = (serial - _BLOB) // 2 if serial >= _BLOB else 0
        if serial < _BLOB:
            if serial >= len(_LENGTHS):
                raise _Unreadable("a type that is reserved")
            length = _LENGTHS[serial]
        octets = payload[place : place + length]
        if len(octets) < length:
            raise _Unreadable("a value that ends beyond the record")
        values.append(_value(serial, octets))
        place += length
    return tuple(values)


def _value(serial: int, octets: bytes) -> Value:
    if serial >= _BLOB:
        return octets.decode("utf-8", "replace") if serial % 2 else octets
    if serial == 0:
        return None
    if serial == _REAL:
        real: float = struct.unpack(">d", octets)[0]
        return real
    if serial in (_ZERO, _ONE):
        return serial - _ZERO
    return int.from_bytes(octets, signed=True)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A big-endian number of 7 bits an octet, its ninth with 8; and where the next thing begins."""
    first = data[at]
    if first < 0x80:  # noqa: PLR2004 - the commonest case
        return first, at + 1
    number = 0
    for place in range(at, at + _LONGEST_VARINT - 1):
        octet = data[place]
        number = number << 7 | octet & 0x7F
        if octet < 0x80:  # noqa: PLR2004
            return number, place + 1
    return number << 8 | data[at + _LONGEST_VARINT - 1], at + _LONGEST_VARINT
