"""The latest messages in memory, so that what was just put need not be read back.

The tables are the truth; nothing here is needed, and each message is given out once.
"""

from collections import OrderedDict

from relay.envelope import Content
from relay.spool import Entry

_MOST_OCTETS = 8 * 1024 * 1024
_MOST_MESSAGES = 5_000
_MOST_VERIFIED = 20_000


class EntryCache:
    """Messages as they were put, oldest forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Entry, Content]] = OrderedDict()
        self._octets = 0
        self._verified: OrderedDict[str, None] = OrderedDict()

    def add(self, entry: Entry, content: Content) -> None:
        """Remember a message; the caller has put it."""
        self._kept[entry.queue_id] = (entry, content)
        self._octets += _octets(content)
        while self._octets > _MOST_OCTETS or len(self._kept) > _MOST_MESSAGES:
            _, (_, forgotten) = self._kept.popitem(last=False)
            self._octets -= _octets(forgotten)
        self.verify(entry.queue_id)

    def take(self, queue_id: str) -> tuple[Entry, Content] | None:
        """Give out a message, if nothing has happened to it since it was put."""
        found = self._kept.pop(queue_id, None)
        if found is not None:
            self._octets -= _octets(found[1])
        return found

    def clear(self) -> None:
        """Something has changed in all of them."""
        self._kept.clear()
        self._octets = 0

    def clear_all(self) -> None:
        """Content may be gone: nor is a file known to be whole."""
        self.clear()
        self._verified.clear()

    def verify(self, queue_id: str) -> None:
        """Note that this process has written or read this message's file, whole."""
        self._verified[queue_id] = None
        while len(self._verified) > _MOST_VERIFIED:
            self._verified.popitem(last=False)

    def verified(self, queue_id: str) -> bool:
        """Whether its file was found whole by this process."""
        return queue_id in self._verified

    def forget(self, queue_id: str) -> None:
        """Something has changed: the table knows better."""
        self.take(queue_id)
        self._verified.pop(queue_id, None)


def _octets(content: Content) -> int:
    return len(content.data or b"") + 1024
