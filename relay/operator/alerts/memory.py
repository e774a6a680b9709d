"""What was told by each way, over restarts and on all nodes: the document `alerts.json`.

Where several nodes find the same trouble, the one that *claims* the telling tells: it writes down that it is
about to, if it is still due by what all have written. Then it tells, and writes that down in place of the
claim. If it dies in between, its claim runs out and another one tells: at worst twice, never not at all.
While the database does not answer each node tells by what it knows.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from relay.host.documents import ALERTS, CLAIM, DocumentError, Documents
from relay.host.shared_value import Codec, SharedValue
from relay.operator.alerts.planning import NEVER, Key, Said

_MOST = 2000  # of one way
Ways = dict[str, dict[Key, Said]]


class Memory:
    """What was told.

    Args:
        documents: where that is kept.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._ways = SharedValue(documents, ALERTS, Codec(_read, _write))

    def said(self, way: str) -> Mapping[Key, Said]:
        """What was told this way, by kind and name of the trouble."""
        return self._ways.value.get(way, {})

    async def claim(self, way: str, key: Key, now: float, is_due: Callable[[], bool]) -> bool:
        """Whether this node is to tell it now, and no other meanwhile.

        Args:
            way: how.
            key: of the trouble.
            now: seconds since the epoch.
            is_due: whether it is to be told, by what `said` gives at that moment.
        """
        if not self._documents.node:
            return True

        def edit(ways: Ways) -> bool:
            if not is_due():
                return False
            rows = ways.setdefault(way, {})
            rows[key] = replace(rows.get(key, NEVER), claimed=now + CLAIM)
            return True

        try:
            return await self._ways.decide(edit)
        except DocumentError:
            return True

    def release(self, way: str, key: Key) -> None:
        """This node tells it no longer, whether it has told it or not."""
        if self.said(way).get(key, NEVER).claimed:
            self._ways.change(lambda ways: _release(ways.setdefault(way, {}), key))

    async def note(self, way: str, key: Key, said: Said) -> None:
        """It was told now. At worst, on a disk that will not, it is told twice."""
        self._ways.change(lambda ways: _note(ways.setdefault(way, {}), key, said))
        await self._ways.settle()


def _release(rows: dict[Key, Said], key: Key) -> None:
    was = replace(rows.pop(key, NEVER), claimed=0.0)
    if was != NEVER:
        rows[key] = was


def _note(rows: dict[Key, Said], key: Key, said: Said) -> None:
    rows.pop(key, None)
    rows[key] = said
    # What is over and old says nothing any more.
    for other in [one for one, was in rows.items() if was.is_forgotten(said.at)]:
        del rows[other]
    while len(rows) > _MOST:
        del rows[next(iter(rows))]


def _read(text: str) -> Ways:
    ways: Ways = {}
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        for way, rows in json.loads(text).items():
            ways[str(way)] = {
                (str(row["kind"]), str(row["name"])): Said(
                    float(row["at"]), row.get("sort"), bool(row["over"]), float(row.get("claimed", 0.0))
                )
                for row in rows
            }
    return ways


def _write(ways: Ways) -> str:
    tree = {way: [_to_row(key, said) for key, said in rows.items()] for way, rows in ways.items()}
    return json.dumps(tree, ensure_ascii=False, indent=1)


def _to_row(key: Key, said: Said) -> dict[str, Any]:
    kind, name = key
    row = {"kind": kind, "name": name, "at": said.at, "sort": said.sort, "over": said.over}
    return row | ({"claimed": said.claimed} if said.claimed else {})
