"""Attempts that may be under way at once, in all and of each account.

Accounts whose calls hang must not take all of them: the last free ones are kept for accounts that have none,
one for each. And a message that waits for the converting process lends its place to others: some take long
there, and who sends such messages would have all places while nothing is sent.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from relay.config.current import Current

# Octets of messages that have lent their places: what is not in a file is held in memory, and an attempt
# itself takes some, too.
_MOST_LENT = 12 * 1024 * 1024
_ATTEMPT = 16 * 1024


class Place:
    """The place of one attempt; given back once, whatever becomes of the attempt."""

    def __init__(self, slots: "Slots", account: str, octets: int) -> None:
        self._slots = slots
        self._account = account
        self._octets = _ATTEMPT + octets
        self._is_held = True

    def give_back(self) -> None:
        """The attempt is over."""
        if self._is_held:
            self._is_held = False
            self._slots.give_back(self._account)

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Let another attempt have the place within, and wait for one afterwards; not after an exception."""
        if self._slots.lent + self._octets > _MOST_LENT:
            yield
            return
        self._slots.lent += self._octets
        self.give_back()
        try:
            yield
            await self._slots.take_again(self._account)
            self._is_held = True
        finally:
            self._slots.lent -= self._octets


class Slots:
    """The places for attempts."""

    def __init__(self, current: Current, freed: Callable[[], None]) -> None:
        """Args:
        current: the configuration.
        freed: called when a place is free again.
        """
        self._current = current
        self._freed = freed
        # The configuration's limit of the start: [works] concurrency needs a restart.
        self.most = current.config.works.concurrency
        self._all = asyncio.Semaphore(self.most)
        self._of_account: Counter[str] = Counter()
        self._change = asyncio.Event()  # set when an account has one less
        self.lent = 0  # octets

    async def acquire(self) -> None:
        """Wait for a place, whose account is not known yet."""
        await self._all.acquire()

    def release(self) -> None:
        """Give a place back that no account took."""
        self._all.release()

    def is_full(self, account: str) -> bool:
        """Whether this account may have no further place, because accounts that have none must find one."""
        has_places = account in self._of_account
        without = len(self._current.config.account) - len(self._of_account) - (not has_places)
        # With very many accounts one of them may still have half.
        kept = min(without, self.most - max(self.most // 2, 1)) if has_places else 0
        return self.most - self._of_account.total() <= kept

    def take(self, account: str, octets: int = 0) -> Place:
        """The place that was acquired is this account's.

        Args:
            account: whose message goes.
            octets: of its content, held in memory.
        """
        self._of_account[account] += 1
        return Place(self, account, octets)

    async def take_again(self, account: str) -> None:
        """Wait for a place that this account may have."""
        while True:
            await self._all.acquire()
            if not self.is_full(account):
                self._of_account[account] += 1
                return
            self._all.release()
            self._change.clear()
            await self._change.wait()

    def give_back(self, account: str) -> None:
        """An attempt of this account is over."""
        self._of_account[account] -= 1
        if not self._of_account[account]:
            del self._of_account[account]
        self._all.release()
        self._change.set()
        self._freed()
