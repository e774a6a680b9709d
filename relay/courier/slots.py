"""Attempts that may be under way at once, in all and of each account.

An account whose calls hang must not take all of them: each other account can have one at any time.
"""

import asyncio
from collections import Counter

from relay.config.current import Current


class Slots:
    """The places for attempts."""

    def __init__(self, current: Current) -> None:
        self._current = current
        # The configuration's limit of the start: [works] concurrency needs a restart.
        self._most = current.config.works.concurrency
        self._all = asyncio.Semaphore(self._most)
        self._of_account: Counter[str] = Counter()

    async def acquire(self) -> None:
        """Wait for a place, whose account is not known yet."""
        await self._all.acquire()

    def release(self) -> None:
        """Give a place back that no account took."""
        self._all.release()

    def is_full(self, account: str) -> bool:
        """Whether this account has all the places that it may have while there are other accounts."""
        others = len(self._current.config.account) - 1
        # With very many accounts one of them may still have half.
        return self._of_account[account] >= max(self._most - others, self._most // 2, 1)

    def take(self, account: str) -> None:
        """The place is this account's."""
        self._of_account[account] += 1

    def give_back(self, account: str) -> None:
        """An attempt of this account is over."""
        self._of_account[account] -= 1
        if not self._of_account[account]:
            del self._of_account[account]
        self._all.release()

    @property
    def most(self) -> int:
        """How many attempts may be under way."""
        return self._most
