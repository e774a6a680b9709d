"""Submissions whose reply was never written: if the client sends one again, it is the same message.

RFC 1047: a client that does not hear the reply to its final dot must send again, and without this the
recipient gets two. A message is unheard from its `put` until its reply is written to the socket. While the
session that put it lives, an equal submission is new mail; when that session has ended, or the relay has
been started anew, it is a repetition.
"""

import sqlite3
from collections import OrderedDict

from relay.spool.rows.codecs import BEYOND_TIME

# A client that has been trying for a day has given up (design: within 24 h).
LIFE = 24 * 3600.0


class Unacknowledged:
    """The unheard messages; the table `unheard` outlives the process."""

    def __init__(self) -> None:
        self._open: dict[str, str] = {}  # queue id → fingerprint, while its session lives
        self._ended: dict[str, OrderedDict[str, float]] = {}  # fingerprint → queue ids, when they arrived
        self._fingerprints: dict[str, str] = {}  # of _ended

    def load(self, c: sqlite3.Connection) -> None:
        """Sessions of the last process have all ended."""
        query = "SELECT queue_id, fingerprint, arrival FROM unheard WHERE arrival < ?"
        found = c.execute(query, (BEYOND_TIME,))
        for queue_id, fingerprint, arrival in found:
            self._end(queue_id, fingerprint, arrival)

    def open(self, queue_id: str, fingerprint: str) -> None:
        """A message was put, and its session waits for our reply."""
        self._open[queue_id] = fingerprint

    def end(self, queue_id: str, arrival: float) -> None:
        """The session has ended without our reply."""
        fingerprint = self._open.pop(queue_id, None)
        if fingerprint is not None:
            self._end(queue_id, fingerprint, arrival)

    def _end(self, queue_id: str, fingerprint: str, arrival: float) -> None:
        self._ended.setdefault(fingerprint, OrderedDict())[queue_id] = arrival
        self._fingerprints[queue_id] = fingerprint

    @property
    def any_ended(self) -> bool:
        """Whether there is anything to recall."""
        return bool(self._ended)

    def recall(self, fingerprint: str, now: float) -> str | None:
        """The oldest message of this fingerprint; whoever asks answers for it now."""
        found = self._ended.get(fingerprint)
        for queue_id, arrival in list((found or {}).items()):
            self.forget(queue_id)
            # A clock that was set back makes the arrival a thing of the future.
            if abs(now - arrival) <= LIFE:
                self.open(queue_id, fingerprint)
                return queue_id
        return None

    def forget(self, queue_id: str) -> bool:
        """Our reply was written, or the message is gone; whether it was known."""
        fingerprint = self._fingerprints.pop(queue_id, None)
        if fingerprint is None:
            return self._open.pop(queue_id, None) is not None
        found = self._ended[fingerprint]
        del found[queue_id]
        if not found:
            del self._ended[fingerprint]
        return True

    def expire(self, before: float) -> list[str]:
        """Forget what arrived before; the queue ids."""
        old = [
            queue_id
            for found in self._ended.values()
            for queue_id, arrival in found.items()
            if arrival < before
        ]
        for queue_id in old:
            self.forget(queue_id)
        return old
