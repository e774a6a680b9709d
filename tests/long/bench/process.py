"""What a process and all below it use, as Linux counts it (proc(5))."""

import os
import threading
import time
from pathlib import Path
from typing import Self

_TICK = os.sysconf("SC_CLK_TCK")
_PAUSE = 0.01  # seconds between two looks


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found, pending = [], [pid]
    while pending:
        one = pending.pop()
        found.append(one)
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                pending += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def cpu(pid: int) -> float:
    """Seconds of CPU that the tree has used, ended children included."""
    total = 0
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / _TICK


def memory(pid: int) -> tuple[int, int]:
    """Octets that the tree has to itself (RssAnon + RssShmem), and RSS.

    Pages of mapped spool files are the kernel's cache: they are in the second only.
    """
    own = resident = 0
    for one in tree(pid):
        try:
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
        except OSError:
            continue
        values = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
        own += values.get("RssAnon", 0) + values.get("RssShmem", 0)
        resident += values.get("VmRSS", 0)
    return own * 1024, resident * 1024


class Peak:
    """The largest memory of the tree while the context lasts."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.own = self.resident = 0  # octets

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            own, resident = memory(self._pid)
            self.own, self.resident = max(self.own, own), max(self.resident, resident)
            if self._over.wait(_PAUSE):
                return


def until_idle(pid: int, patience: float = 10.0) -> None:
    """Wait until the tree uses no more CPU than a look at the clock does."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before = cpu(pid)
        time.sleep(0.2)
        if cpu(pid) - before <= 1 / _TICK:
            return
