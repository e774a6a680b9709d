"""How many messages come before one, as far as is known, so that a session need not wait in vain.

Counted in memory: what was put and what was claimed since, by account and line. It is a guess (what an
operator releases, or what comes back after a delay, is not in it) and is right again as soon as an
account's queue is empty.
"""

from collections.abc import Mapping

_MOST_LINES = 1000  # busy lines of one account; with more, nobody waits anyway


class Backlog:
    """What is queued, by account and line."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, int]] = {}

    def seed(self, found: Mapping[tuple[str, str], int]) -> None:
        """What was queued at the start."""
        for (account, line), count in found.items():
            self._waiting.setdefault(account, {})[line] = count

    def add(self, account: str, line: str) -> None:
        """A message was put."""
        lines = self._waiting.setdefault(account, {})
        lines[line] = lines.get(line, 0) + 1

    def count_ahead(self, account: str, line: str) -> int:
        """How many others are likely to go before the next message of this line."""
        lines = self._waiting.get(account, {})
        own = lines.get(line, 0)
        if len(lines) > _MOST_LINES:
            return own + len(lines)
        # Lines take turns: each other one goes at most once before each message of this one.
        return own + sum(min(count, own + 1) for other, count in lines.items() if other != line)

    def take(self, account: str, line: str) -> None:
        """A message was claimed."""
        lines = self._waiting.get(account)
        if lines is None or line not in lines:
            return
        lines[line] -= 1
        if lines[line] <= 0:
            del lines[line]

    def empty(self, account: str) -> None:
        """Nothing of this account is queued."""
        self._waiting.pop(account, None)
