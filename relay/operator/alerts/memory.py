"""What was told by each way, on disk: a relay that is restarted again and again tells nothing twice."""

import asyncio
import contextlib
import json
from dataclasses import asdict
from pathlib import Path

from relay.host.safeio import write_file
from relay.operator.alerts.planning import QUIET, Key, Said

_MOST = 2000  # of one way


class Memory:
    """`state_dir/alerts.json`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said: dict[str, dict[Key, Said]] = {}
        self._writing = asyncio.Lock()
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            for way, rows in json.loads(path.read_bytes()).items():
                self._said[str(way)] = {
                    (str(row["kind"]), str(row["name"])): Said(
                        float(row["at"]), row.get("sort"), bool(row["over"])
                    )
                    for row in rows
                }

    def said(self, way: str) -> dict[Key, Said]:
        """What was told this way, by kind and name of the trouble."""
        return self._said.get(way, {})

    async def note(self, way: str, key: Key, said: Said) -> None:
        """It was told now. At worst, on a disk that will not, it is told twice."""
        rows = self._said.setdefault(way, {})
        rows.pop(key, None)
        rows[key] = said
        # What is over and old says nothing any more.
        for other in [one for one, was in rows.items() if was.over and not 0 <= said.at - was.at < QUIET]:
            del rows[other]
        while len(rows) > _MOST:
            del rows[next(iter(rows))]
        async with self._writing:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(write_file, self._path, self._encode())

    def _encode(self) -> bytes:
        tree = {
            way: [{"kind": kind, "name": name, **asdict(said)} for (kind, name), said in rows.items()]
            for way, rows in self._said.items()
        }
        return json.dumps(tree, ensure_ascii=False, indent=1).encode()
