"""Which users have logged in from which addresses, over restarts and on all nodes: `logins.json`.

A pair that is known is judged by its own failures, so that strangers lock no device out. A device that sends
once a day must be known after a restart too, and on the node that it comes to next.
"""

import contextlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable

import structlog

from relay.host.documents import LOGINS, Documents
from relay.host.shared_value import Codec, SharedValue

log = structlog.get_logger("smtp")
_MOST_PAIRS = 10_000
_DAY = 86400.0  # seconds
_FORGET = 400 * _DAY  # what logs in once a year is known
# A login is written down again after this: its time is only for forgetting what is old.
_NOTE_EVERY = _DAY
Pair = tuple[str, str]  # address (or site, for IPv6) and user
Times = OrderedDict[Pair, float]  # of the last login; the latest last


class KnownLogins:
    """The pairs of address and user that have logged in, and when last.

    Args:
        documents: where they are kept; None: they are forgotten at the end.
        now: the clock, in seconds since the epoch.
    """

    def __init__(self, documents: Documents | None = None, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._shared = SharedValue(documents, LOGINS, Codec(self._read, _write))

    def __contains__(self, pair: Pair) -> bool:
        return pair in self._shared.value

    def add(self, address: str, user: str) -> None:
        """This user has logged in from this address."""
        pair, now = (address, user), self._now()
        before = self._shared.value.get(pair)
        if before is None or not 0 <= now - before < _NOTE_EVERY:
            self._shared.change(lambda times: self._note(times, pair, now))

    def _note(self, times: Times, pair: Pair, at: float) -> None:
        times[pair] = at
        times.move_to_end(pair)
        self._forget(times)

    def _forget(self, times: Times) -> None:
        oldest = self._now() - _FORGET
        while times and (len(times) > _MOST_PAIRS or next(iter(times.values())) < oldest):
            times.popitem(last=False)

    def _read(self, text: str) -> Times:
        times: Times = OrderedDict()
        if not text:
            return times
        try:
            rows = json.loads(text)["logins"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            log.warning("known logins not read", reason=type(error).__name__)
            return times
        with contextlib.suppress(TypeError, ValueError):  # what is no row ends the list
            for address, user, when in rows:
                # A time in the future was a wrong clock.
                times[str(address), str(user)] = min(float(when), self._now())
        self._forget(times)
        return times


def _write(times: Times) -> str:
    return json.dumps({"logins": [[*pair, round(when)] for pair, when in times.items()]})
