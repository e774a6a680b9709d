"""Finds the tables of a damaged database: by its schema, or where that is damaged by the shape of their rows.

A table's own rows are those that are reached from its root. What stands on other pages is a *stray*: a page
that lost its parent, or one that was given up and still holds what was deleted or moved.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from relay.spool import State
from relay.spool.sqlite.pages import Node, Pages, Record, Value

_NUMBER = (int, float)
_STATES = frozenset(State)
_MESSAGE, _REQUEST = 16, 8  # columns at least: each version of the tables has had more


class Place(Enum):
    """Where a row was found."""

    REACHED = auto()  # on a page that the root leads to
    ORPHANED = auto()  # on a page that is in use, and whose parent is lost
    UNSURE = auto()  # on a page that may have been given up: the row may be deleted, or have changed since


@dataclass(frozen=True, slots=True)
class Found:
    """A row of one of the spool's tables."""

    table: str
    record: Record
    place: Place


def find_shape(record: Record) -> str:
    """The table, or the index, that a record belongs to; empty if it is none of those that are needed."""
    values, count = record.values, len(record.values)
    if record.rowid is None:
        return _find_index_shape(values)
    if count == 2 and _are(values, str, bytes):  # noqa: PLR2004
        return "content"
    if count >= _REQUEST and values[0] is None and _are(values[1:6], str, int, int, str, _NUMBER):
        return "request"
    if count == 5 and values[0] is None and _are(values[1:], str, _NUMBER, str, str):  # noqa: PLR2004
        return "event"
    return ""


def _find_index_shape(values: tuple[Value, ...]) -> str:
    if len(values) >= _MESSAGE and _are(values[:5], str, str, str, str, _NUMBER):
        return "message"
    if len(values) == 3 and _are(values, str, _NUMBER, str) and values[0] in _STATES:  # noqa: PLR2004
        return "message_state"
    return "unheard" if len(values) == 3 and _are(values, str, str, _NUMBER) else ""  # noqa: PLR2004


def _are(values: tuple[Value, ...], *types: type | tuple[type, ...]) -> bool:
    return len(values) >= len(types) and all(map(isinstance, values, types))


class Forest:
    """The b-trees of one damaged database.

    Args:
        pages: its pages.
        stale: whether older octets may stand for some of them.
    """

    def __init__(self, pages: Pages, *, stale: bool = False) -> None:
        self._pages = pages
        self._stale = stale
        self._seen = bytearray(pages.count + 2)  # by number; page 1 is looked for in an empty file too
        free, self._knows_free = pages.free()
        self._free = free if self._knows_free else set()  # a bad page of the list names pages that are in use
        self.roots: dict[str, int] = {}  # of tables and indexes, by name
        self._guessed: set[str] = set()
        self._read_schema()
        self.whole: dict[str, bool] = {}  # of the tables that were read: whether every row was

    def _read_schema(self) -> None:
        for number, node in self._pages.walk(1):
            self._seen[number] = 1
            for record in node.records if node else ():
                name, root = record.values[1:2], record.values[3:4]
                if _are((*name, *root), str, int) and 1 < root[0] <= self._pages.count:  # type: ignore[operator]
                    self.roots[name[0]] = root[0]  # type: ignore[index, assignment]

    def guess_roots(self, names: tuple[str, ...]) -> None:
        """Find the trees whose roots the schema does not name any more: the largest of their shape."""
        if all(name in self.roots for name in names):
            return
        tops: dict[str, list[tuple[int, int]]] = {name: [] for name in names if name not in self.roots}
        for number in self._find_tops():
            walked = [node for _, node in self._pages.walk(number)]
            first = next((node.records[0] for node in walked if node and node.records), None)
            if first is not None and (name := find_shape(first)) in tops:
                tops[name].append((len(walked), number))
        for name, found in tops.items():
            size, root = max(found, default=(0, 0))
            if Counter(one for one, _ in found)[size] == 1:
                self.roots[name] = root
                # One tree with leaves, and no other: a lost root would have left several.
                if size == 1 or sum(1 for one, _ in found if one > 1) > 1:
                    self._guessed.add(name)

    def _find_tops(self) -> list[int]:
        """The pages of b-trees that no other page leads to."""
        children: set[int] = set()
        nodes: list[int] = []
        known = set(self.roots.values())
        for number in range(2, self._pages.count + 1):
            if number not in self._free and (node := self._pages.node(number)) is not None:
                children.update(node.children)
                nodes.append(number)
        return [one for one in nodes if one not in children and one not in known and not self._seen[one]]

    def rows(self, name: str) -> Iterator[Found]:
        """The rows that are reached from the root, in the order of their keys."""
        root = self.roots.get(name)
        self.whole[name] = root is not None and name not in self._guessed
        for number, node in self._pages.walk(root) if root else ():
            # A page that is free has a parent that is older than what became of it.
            there = node is not None and number not in self._free
            if node is None or not there or not node.whole:
                self.whole[name] = False
            if node is not None and there:
                self._seen[number] = 1
                yield from (Found(name, record, Place.REACHED) for record in node.records)

    def strays(self) -> Iterator[Found]:
        """The rows of all other pages, by their shape. To be read when the tables have been."""
        for number in range(2, self._pages.count + 1):
            if self._seen[number] or (node := self._pages.node(number)) is None:
                continue
            in_use = self._knows_free and not self._stale and number not in self._free
            yield from _sort(node, Place.ORPHANED if in_use else Place.UNSURE)


def _sort(node: Node, place: Place) -> Iterator[Found]:
    for record in node.records:
        if name := find_shape(record):
            yield Found(name, record, place)
