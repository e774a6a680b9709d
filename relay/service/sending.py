"""The half that sends: grants, budgets, judgement, the courier, and who is told of what fails.

It meets the half that receives in the spool. Of several nodes one sends: on the others it is built, and waits
until this node is the sender.
"""

import asyncio
import contextlib
import time
from dataclasses import replace

from relay.config.current import Current
from relay.config.model import Account, Config
from relay.conversion.pool import Converter
from relay.courier import Courier, Settling, Standing, Tools
from relay.host.clock import Clock
from relay.host.documents import Documents
from relay.notices import OperatorMail, Senders
from relay.operator.remedies import find_remedy
from relay.operator.trouble import Troubles
from relay.outcome import Cause, Scope
from relay.service.leading import Leading, Step
from relay.service.reports import Reports
from relay.spool import Spool
from relay.works.auth.authorizer import Authorizer
from relay.works.auth.errors import TokenError
from relay.works.auth.keeping import Keeping
from relay.works.auth.oauth import AuthServer
from relay.works.client import Client
from relay.works.diagnosis import Failure, diagnose_failure
from relay.works.pace.pacing import Pacing

# What is in flight when the relay is told to stop may take so long; systemd allows more.
_GRACE = 5.0
# A refresh under way is worth more: cut off, a rotated grant is lost. All of the stop has ten seconds.
_REFRESH_GRACE, _STOP_WITHIN = 2.0, 8.0


class Sending:
    """Gives to Works what is in the spool."""

    def __init__(
        self,
        current: Current,
        spool: Spool,
        keeping: Keeping,
        documents: Documents,
        troubles: Troubles,
        reports: Reports,
        clock: Clock,
    ) -> None:
        """Args:
        current: the configuration.
        spool: the messages.
        keeping: the grants.
        documents: what the operator was told.
        troubles: of which the operator gets mail.
        reports: told of what is wrong.
        clock: the clocks.
        """
        self._current = current
        self._reports = reports
        works = current.config.works
        self.authorizer = Authorizer(AuthServer(works), keeping, self._on_grant, clock.wall, self._on_warning)
        self._client = Client(works, self.authorizer)
        self.pacing = Pacing(works.requests_per_minute, _limits(current.config), clock.steady)
        self.standing = Standing(current, self.pacing.circuit, clock)
        self.senders = Senders(current, spool, self.standing, clock.wall, reports.nobody_told)
        self.operator = OperatorMail(
            current, spool, self.standing, clock.wall, troubles, find_remedy, documents
        )
        troubles.subscribe(self.operator.hear)
        self.standing.subscribe(reports)
        converter = Converter(report=reports.converter_changed)
        tools = Tools(spool, self._client, self.pacing, self.standing.judge, converter)
        settling = Settling(spool, self.senders, reports.message_held)
        self.courier = Courier(current, tools, self.standing, settling)
        self._care: asyncio.Task[None] | None = None  # for grants
        current.subscribe(self._configure)
        self._stopped = 0.0  # when; monotonic
        self._leading = Leading(spool, self._begin, self._pause)

    async def start(self, take_over: Step | None = None) -> None:
        """Send whenever this node is the sender; it does so when this returns, if it is.

        Args:
            take_over: makes known what the node knew that sent before; None: there are no others.

        Raises:
            SpoolError: the spool cannot be read.
        """
        await self._leading.start(take_over)
        self.operator.resume()

    @property
    def broke_off(self) -> bool:
        """Whether this node is to send and does not, for a fault of ours; a database that is away is none."""
        return self._leading.is_broken or (self._leading.has_begun and not self.courier.working)

    async def _begin(self) -> None:
        self._take_care()
        await self.courier.start()

    async def _pause(self) -> None:
        """What is under way ends in its own time."""
        self._drop_care()
        await self.courier.pause()

    async def stop(self) -> None:
        """Begin nothing more, and let what is in flight end. Another node may begin meanwhile."""
        self._stopped = time.monotonic()
        await self._leading.stop()
        await self.courier.stop(_GRACE)

    async def close(self) -> None:
        """End what serves the courier; a refresh under way has a moment to be stored."""
        await self.operator.stop()
        await self._client.aclose()
        self._drop_care()
        closing = asyncio.ensure_future(self.authorizer.aclose())
        left = self._stopped + _STOP_WITHIN - time.monotonic()
        await asyncio.wait({closing}, timeout=max(left, _REFRESH_GRACE))

    async def notice(self, account: str) -> None:
        """A person consented, or took that back: here, where mail is sent, what is asked next goes by it."""
        if self._care is not None:
            with contextlib.suppress(TokenError):  # told already
                await self.authorizer.check(account)

    def _configure(self, config: Config) -> None:
        self.pacing.configure(config.works.requests_per_minute, _limits(config))
        if self._care is not None:
            self._take_care()

    def _drop_care(self) -> None:
        if self._care is not None:
            self._care.cancel()
            self._care = None

    def _take_care(self) -> None:
        """Look after the grants of the configured accounts."""
        self._drop_care()
        names = [account.name for account in self._current.config.account]
        self._care = asyncio.create_task(self._look_after(names), name="grants")

    async def _look_after(self, names: list[str]) -> None:
        for account, outcome in self.standing.held.items():
            # The node that sent before may have lacked a grant that this one has: its key was another one,
            # or somebody has consented since.
            if outcome.cause is Cause.NO_GRANT and account in names:
                await self.notice(account)
                if self.authorizer.can_send(account):
                    self._on_grant(account, None)
        await self.authorizer.keep_alive(names)

    def _on_grant(self, account: str, failure: Failure | None) -> None:
        """The authorizer knows before any message does whether an account can send."""
        if self._current.config.find_account(account) is None:
            return  # it has left the configuration since
        if failure is None:
            self.standing.release(account)
            self._reports.account_well(account)
            return
        outcome = diagnose_failure(failure, account=account)
        if failure is Failure.NO_GRANT and (problem := self.authorizer.diagnostic(account)):
            outcome = replace(outcome, reason=problem)  # there is one, and it cannot be read
        # A refused refresh is known at half of the access token's life: mail goes on with the rest of it,
        # and the message that finds the token dead stops the account. The operator hears of it now.
        if self.authorizer.can_send(account):
            self._reports.grant_in_trouble(account, outcome)
        elif outcome.scope is Scope.ACCOUNT:
            self.standing.hold(account, outcome)

    def _on_warning(self, account: str, days: int) -> None:
        """A grant that does not renew itself dies in at most so many days; 0: it does no longer."""
        grant = self.authorizer.grant(account)
        if not days or grant is None:
            self._reports.grant_lasts(account)
        else:
            self._reports.grant_expires(account, days, grant.refresh_expires_at)


def _limits(config: Config) -> dict[str, Account]:
    return {account.name: account for account in config.account}
