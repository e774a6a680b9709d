"""When listeners' certificates expire. Their library is loaded only where there is one to read."""

import asyncio
import os
from collections.abc import Iterable


class Certificates:
    """Reads them, each again when its file is another one."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, int, int], float]] = {}

    async def read(self, files: Iterable[str]) -> dict[str, float]:
        """When these expire, in seconds since the epoch; one that cannot be read is left out."""
        names = sorted({name for name in files if name})
        return await asyncio.to_thread(self._read_all, names) if names else {}

    def _read_all(self, names: list[str]) -> dict[str, float]:
        found = {}
        for name in names:
            try:
                status = os.stat(name)  # noqa: PTH116 - also called every few seconds
                stamp = status.st_mtime_ns, status.st_size, status.st_ino
                if self._known.get(name, (None,))[0] != stamp:
                    self._known[name] = stamp, _read(name)
                found[name] = self._known[name][1]
            except (OSError, ValueError):
                self._known.pop(name, None)
        return found


def _read(name: str) -> float:
    from relay.host.certificate import read_expiry

    return read_expiry(name).timestamp()
