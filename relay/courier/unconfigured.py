"""Accounts that mail waits for and that are not in the configuration: a person is told, nothing is sent.

Somebody took the account out, or renamed it, while its mail was queued. No message of it is given up:
the account may have been taken out by mistake.
"""

import asyncio
import contextlib

import structlog

from relay.config.current import Current
from relay.courier.standing import Standing
from relay.outcome import Action, Blame, Cause, Outcome, Scope
from relay.spool import Spool, SpoolError, Topic, Word

log = structlog.get_logger("accounts")
# A message under way when its account left comes back later, and the last one may have been discarded.
_LOOK_EVERY = 300.0  # seconds


class Unconfigured:
    """Looks for them at the start, after each reload, when a person dealt with mail, and once in a while."""

    def __init__(self, spool: Spool, standing: Standing, current: Current) -> None:
        """Args:
        spool: whose mail.
        standing: told of each as of an account in trouble.
        current: the configuration.
        """
        self._spool = spool
        self._standing = standing
        self._current = current
        self._known: set[str] = set()
        self._soon = asyncio.Event()
        current.subscribe(lambda _: self._soon.set())
        spool.subscribe(self._hear)

    def _hear(self, word: Word) -> None:
        if word.topic is Topic.CHANGED and self._known:
            self._soon.set()  # a person may have discarded the last of it

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self._soon.clear()
            try:
                await self._look()
            except SpoolError as error:
                log.error("not known whose mail waits", reason=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._soon.wait()

    async def _look(self) -> None:
        waiting = set(await self._spool.accounts())
        # Asked after the spool, whose answer takes a while: what is configured now is not touched.
        configured = {account.name for account in self._current.config.account}
        for name in self._known - waiting - configured:
            self._standing.release(name)
        self._known = waiting - configured
        for name in sorted(self._known):
            self._standing.hold(name, _judge(name))


def _judge(name: str) -> Outcome:
    reason = (
        "mail waits for this account, and it is not in the configuration; "
        f"put it back, or run: sudo relay queue discard --account {name}"
    )
    return Outcome(Action.HELD, "4.3.5", Blame.GATEWAY, reason, Scope.ACCOUNT, cause=Cause.UNCONFIGURED)
