"""Asks Works whether a trouble is over, by a call that costs no message.

While the API is down, or an account is in trouble, no mail is sent to find out: a message that is tried
in vain spends an attempt, and may become a duplicate. When Works answers as it should, one message follows.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from relay.config.current import Current
from relay.courier.standing import Standing
from relay.works.client import Client
from relay.works.pace.pacing import Pacing

log = structlog.get_logger("probes")
_LOOK_AGAIN, _LONGEST_SLEEP = 1.0, 30.0  # seconds


class Probes:
    """Looks at what is due, and asks."""

    def __init__(
        self, current: Current, standing: Standing, client: Client, pacing: Pacing, wake: Callable[[], None]
    ) -> None:
        """Args:
        current: the configuration.
        standing: what is in trouble, and told of the answers.
        client: asks.
        pacing: woken when a message may follow; Works counts these calls apart (Works API §5).
        wake: called when a message may follow.
        """
        self._current = current
        self._standing = standing
        self._client = client
        self._pacing = pacing
        self._wake = wake
        self._soon = asyncio.Event()
        self._asking: dict[str, asyncio.Task[None]] = {}  # by account; "": for the API
        self._last = ""  # the account for which the API was asked last

    def look_soon(self) -> None:
        """Something changed, or the clock was set."""
        self._soon.set()

    async def run(self) -> None:
        """Look for ever. What is being asked when this is cancelled is given up."""
        try:
            while True:
                self._soon.clear()
                self._look()
                # What is due was begun just now.
                seconds = min(max(self._standing.next_probe_in(), _LOOK_AGAIN), _LONGEST_SLEEP)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._soon.wait()
        finally:
            for task in self._asking.values():
                task.cancel()

    def _look(self) -> None:
        names = [account.name for account in self._current.config.account]
        for name in self._standing.probes_due():
            if name in names:
                self._begin(name, name)
        if self._standing.api_probe_is_due and names and "" not in self._asking:
            self._last = self._choose(names)
            self._begin("", self._last)

    def _choose(self, names: list[str]) -> str:
        """For whom the API is asked: each account in its turn, as one whose calls hang says nothing of it."""
        after = names.index(self._last) + 1 if self._last in names else 0
        # Of an account that is well: another's grant says nothing about the API.
        held = self._standing.holds
        return next((name for name in names[after:] + names[:after] if name not in held), names[0])

    def _begin(self, key: str, account: str) -> None:
        if key not in self._asking:
            self._asking[key] = task = asyncio.create_task(self._ask(key, account), name=f"probe {key}")
            task.add_done_callback(lambda _: self._asking.pop(key, None))

    async def _ask(self, key: str, name: str) -> None:
        account = self._current.config.find_account(name)
        if account is None:
            return
        try:
            outcome = await self._client.probe(account)
        except Exception:
            log.exception("probe broke off", account=name)
            return
        if key:
            self._standing.probed(key, outcome)
        else:
            self._standing.probed_api(outcome)
        self._pacing.wake()
        self._wake()
