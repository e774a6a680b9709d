"""One claimed message: converted, and sent in one request or in several.

"Attempt has started" is on disk before each request leaves, when its token and a connection are there, and
its end is recorded before anything else is done; the 202 as soon as its status line is there. What was cut
off in between is unknown.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from relay.config.model import Account, Config, Delivery
from relay.config.rules import Rules, find_rules
from relay.conversion.pool import Aside, Converter
from relay.courier.copies import address, settle_recipients
from relay.courier.judgement import DAY_IS_FULL, AccountHold, Judgement, Tried
from relay.courier.slots import Place
from relay.envelope import Origin
from relay.mail import Conversion, Loss, Unconvertible
from relay.message import Converted, Request
from relay.outcome import Action, Blame, Outcome
from relay.spool import Claim, Settlement, Spool
from relay.works.client import Client
from relay.works.diagnosis import Failure, diagnose_failure
from relay.works.pace.pacing import Pacing, Slot

_ACCEPTED = 202
_TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "Works took the message", http_status=_ACCEPTED)


@dataclass(frozen=True, slots=True)
class Tools:
    """What every attempt works with."""

    spool: Spool
    client: Client
    pacing: Pacing
    judge: Callable[[Tried, Sequence[Outcome], Outcome], Judgement]  # see `Standing.judge`
    converter: Converter = field(default_factory=Converter)


@dataclass(frozen=True, slots=True)
class Share:
    """A claim, and what was taken for it."""

    claim: Claim
    slot: Slot
    place: Place
    probe: AccountHold | None = None  # of which trouble of its account it tries whether it is over


@dataclass(slots=True)
class Attempt:
    """A claim on its way; what is known of it stays readable when it is cut off."""

    tools: Tools
    config: Config
    claim: Claim
    account: Account
    probe: bool = False  # it tries whether a trouble of its account is over
    aside: Aside = nullcontext  # entered while a process converts the message
    outcomes: list[Outcome] = field(default_factory=list)  # what its requests' ends mean
    settlement: Settlement | None = None  # None: nothing has ended yet
    losses: tuple[Loss, ...] = ()
    _requests: int = 1
    _served: list[str] = field(default_factory=list)
    _open: int | None = None  # the request that has started and not ended
    _taken: bool = False  # its 202 was seen and recorded

    async def run(self, slot: Slot, on_pause: Callable[[], None] = lambda: None) -> None:
        """Convert, and send what is to be sent.

        Args:
            slot: for the first request.
            on_pause: called before a further request waits for the budget.

        Raises:
            SpoolError: the spool could not record a start; nothing was sent for it.
            Exception: a fault of ours.
        """
        try:
            converted = await self._convert()
        except Unconvertible as error:
            slot.cancel()
            self._judge(Outcome(Action.FAILED, error.status, Blame.MESSAGE, error.reason))
            return
        self.losses, self._requests = converted.losses, len(converted.requests)
        for number, request in enumerate(converted.requests):
            if number:
                if not self.tools.pacing.room(self.account.name):
                    on_pause()
                slot = await self.tools.pacing.slot(self.account.name)
            with slot:
                outcome = self._judge(await self._send(number, request, slot))
            if not self._goes_on(outcome):
                return

    def _judge(self, outcome: Outcome) -> Outcome:
        """A request ended so; what that means."""
        complete = len(self.outcomes) + 1 >= self._requests
        tried = Tried(self.claim, self.losses, probe=self.probe, complete=complete)
        judgement = self.tools.judge(tried, self.outcomes, outcome)
        self.outcomes.append(judgement.outcome)
        self.settlement = judgement.settlement
        return judgement.outcome

    def _goes_on(self, outcome: Outcome) -> bool:
        # One unknown outcome does not keep the others' mail back; two in a row are an outage.
        unknowns = sum(one.action is Action.UNKNOWN for one in self.outcomes)
        return outcome.action is Action.RELAYED or (outcome.action is Action.UNKNOWN and unknowns == 1)

    async def _convert(self) -> Converted:
        content = self.claim.content
        envelope = self.claim.entry.envelope
        how = conversion(self.config, self.account, find_rules(self.config, envelope))
        how = replace(
            how,
            delivery_options=envelope.delivery_options,
            reverse_path=envelope.reverse_path,
            envelope=envelope.forward_paths,
        )
        delivery = self.config.delivery
        paths, how = address(delivery, self.recipients, how, self._find_archive(delivery))
        converted = await self.tools.converter.convert(content, paths, how, self.aside, envelope.line)
        return settle_recipients(delivery, converted, self.recipients)

    def _find_archive(self, delivery: Delivery) -> list[str]:
        """Who of always_bcc has no copy yet; of the relay's own notices nobody gets one."""
        entry = self.claim.entry
        if entry.envelope.origin is Origin.NOTICE:
            return []
        return [one for one in delivery.always_bcc if one not in entry.relayed]

    @property
    def recipients(self) -> list[str]:
        """Who is still to be served."""
        entry = self.claim.entry
        left = [path for path in entry.envelope.forward_paths if path not in entry.relayed]
        # When nobody else is left, a person has asked to try those again who were refused.
        return [path for path in left if path not in entry.refused] or left

    @property
    def taken_recipients(self) -> frozenset[str]:
        """Whose request was taken in this attempt."""
        return frozenset(self._served)

    async def _send(self, number: int, request: Request, slot: Slot) -> Outcome:
        spool, claim = self.tools.spool, self.claim
        if wait := slot.bind(request.mailboxes, claim.entry.queue_id):
            return replace(DAY_IS_FULL, retry_after=wait)

        async def start() -> None:
            await spool.start(claim, number, request.recipients)
            self._open = number

        # It starts when there is a token and a connection: who is killed before it has sent nothing.
        outcome = await self.tools.client.send(
            self.account,
            request.payload,
            claim.content,
            self._recorder(number),
            slot,
            start,
            claim.entry.queue_id,
        )
        if self._open is None and not self._taken:
            await start()  # it came to nothing; the trace has it all the same
        if self._open is not None:
            await spool.record(claim, number, outcome)
        self._open, self._taken = None, False
        if outcome.action is Action.RELAYED:
            self._served += request.recipients
        return outcome

    def _recorder(self, number: int) -> Callable[[int], Awaitable[None]]:
        async def record(status: int) -> None:
            if status == _ACCEPTED:
                await self.tools.spool.record(self.claim, number, _TAKEN)
                # Whatever cuts this attempt off from here on, Works has the message.
                self._open, self._taken = None, True

        return record

    async def cut_off(self) -> None:
        """Write down what an interruption leaves."""
        if self._taken:
            self._judge(_TAKEN)
        elif self._open is not None:
            outcome = diagnose_failure(Failure.INTERRUPTED)
            await self.tools.spool.record(self.claim, self._open, outcome)
            self._judge(outcome)
        self._open, self._taken = None, False


def conversion(config: Config, account: Account | None, rules: Rules) -> Conversion:
    """How mail of this account and of whoever has these rules is converted."""
    works = config.works
    common = Conversion(
        recipients_per_mail=works.recipients_per_mail,
        attachment_limit=works.attachment_limit,
        no_subject=config.delivery.no_subject,
        losses=config.losses,
        user_name=rules.user_name,
        own_name_only=bool(rules.may_send_as),
        options_by_field=rules.options_by_field,
    )
    if account is None:
        return common
    return replace(
        common,
        account_address=account.address,
        user_name=rules.user_name or account.user_name,
        save_sent=account.save_sent,
        tracking=account.tracking,
        send_separately=account.send_separately,
        security_level=account.security_level,
    )
