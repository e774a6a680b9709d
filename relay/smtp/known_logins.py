"""Which users have logged in from which addresses, over restarts: `state_dir/logins.json`.

A pair that is known is judged by its own failures, so that strangers lock no device out. A device that sends
once a day must be known after a restart too.
"""

import asyncio
import contextlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import structlog

from relay.host import safeio

log = structlog.get_logger("smtp")
_MOST_PAIRS = 10_000
_DAY = 86400.0  # seconds
_FORGET = 400 * _DAY  # what logs in once a year is known
# A login is written down again after this: the file is for restarts, and its times only for what is old.
_NOTE_EVERY = _DAY
Pair = tuple[str, str]  # address (or site, for IPv6) and user


class KnownLogins:
    """The pairs of address and user that have logged in, and when last.

    Args:
        path: the file; None: they are forgotten at the end.
        now: the clock, in seconds since the epoch.
    """

    def __init__(self, path: Path | None = None, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._when: OrderedDict[Pair, float] = OrderedDict()  # the latest login last
        self._writing: asyncio.Task[None] | None = None
        self._is_stale = False  # something is to be written
        if path is not None:
            self._read(path)

    def __contains__(self, pair: Pair) -> bool:
        return pair in self._when

    def add(self, address: str, user: str) -> None:
        """This user has logged in from this address."""
        pair, now = (address, user), self._now()
        before = self._when.get(pair)
        if before is not None and 0 <= now - before < _NOTE_EVERY:
            return
        self._when[pair] = now
        self._when.move_to_end(pair)
        self._forget()
        self._is_stale = True
        if self._path is not None and self._writing is None:
            self._writing = asyncio.create_task(self._write(self._path), name="known logins")

    async def settle(self) -> None:
        """Wait until everything is written."""
        if self._writing is not None:
            await self._writing

    def _forget(self) -> None:
        oldest = self._now() - _FORGET
        while self._when and (len(self._when) > _MOST_PAIRS or next(iter(self._when.values())) < oldest):
            self._when.popitem(last=False)

    async def _write(self, path: Path) -> None:
        # Logins that come meanwhile go into the next round.
        try:
            while self._is_stale:
                self._is_stale = False
                rows = [[address, user, round(when)] for (address, user), when in self._when.items()]
                await asyncio.to_thread(safeio.write_file, path, json.dumps({"logins": rows}).encode())
        except OSError as error:
            # At worst a device counts as a stranger after the next restart.
            log.warning("known logins not written", file=str(path), reason=error.strerror)
        finally:
            self._writing = None

    def _read(self, path: Path) -> None:
        try:
            rows = json.loads(path.read_bytes())["logins"]
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.warning("known logins not read", file=str(path), reason=type(error).__name__)
            return
        with contextlib.suppress(TypeError, ValueError):  # what is no row ends the list
            for address, user, when in rows:
                # A time in the future was a wrong clock.
                self._when[str(address), str(user)] = min(float(when), self._now())
        self._forget()
