"""One claimed message: converted, and sent in one request or in several.

"Attempt has started" is on disk before each request leaves, when its token and a connection are there, and
its end is recorded before anything else is done; the 202 as soon as its status line is there. What was cut
off in between is unknown.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from relay.config.model import Account, Config, Delivery
from relay.config.rules import Rules, find_rules
from relay.conversion.pool import Aside, Converter
from relay.courier.copies import address, settle_recipients
from relay.courier.judgement import DAY_IS_FULL, AccountHold, Judgement, Tried
from relay.courier.slots import Place
from relay.envelope import Envelope, Origin
from relay.mail import Conversion, Loss, Unconvertible
from relay.message import Converted, Request
from relay.outcome import Action, Blame, Outcome
from relay.spool import Claim, Settlement, Spool
from relay.works.client import Client, Steps
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
    """A claim, with the slot, the place and the probe that were taken for it."""

    claim: Claim
    slot: Slot
    place: Place
    probe: AccountHold | None = None  # the hold that this message tries; None: its account is well


@dataclass(slots=True)
class Attempt:
    """A claim on its way; what is known of it stays readable when it is cut off."""

    tools: Tools
    config: Config
    claim: Claim
    account: Account
    probe: bool = False  # it tries whether a trouble of its account is over
    aside: Aside = nullcontext  # entered while a process converts the message
    outcomes: list[Outcome] = field(default_factory=list)  # one for each request that has ended
    settlement: Settlement | None = None  # None: nothing has ended yet
    losses: tuple[Loss, ...] = ()
    _requests: int = 1
    _served: list[str] = field(default_factory=list)
    _started: int = 0  # requests
    _open: int | None = None  # the request that has started and not ended
    _may_end: bool = True  # its last octet may leave, or has left
    _repeats: bool = False  # it has ended, and is to be made again
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
        if not self._left:
            # A late record showed that every recipient has got it.
            slot.cancel()
            self._judge(_TAKEN)
            return
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
                outcome = self._judge(await self._send(request, slot))
            if not self._goes_on(outcome):
                return

    def _judge(self, outcome: Outcome) -> Outcome:
        """Judge the end of a request in view of those before it; what it means."""
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
        how = conversion(self.config, self.account, find_rules(self.config, envelope), envelope)
        delivery = self.config.delivery
        paths, how = address(delivery, self.recipients, how, self._find_archive(delivery))
        converted = await self.tools.converter.convert(content, paths, how, self.aside, envelope.line)
        return settle_recipients(delivery, converted, self.recipients)

    def _find_archive(self, delivery: Delivery) -> list[str]:
        """The addresses of always_bcc that have no copy yet; none for a notice of the relay's own."""
        entry = self.claim.entry
        if entry.envelope.origin is Origin.NOTICE:
            return []
        return [one for one in delivery.always_bcc if one not in entry.relayed]

    @property
    def recipients(self) -> list[str]:
        """Who is still to be served."""
        # When nobody else is left, a person has asked to try those again who were refused.
        left = self._left
        return [path for path in left if path not in self.claim.entry.refused] or left

    @property
    def _left(self) -> list[str]:
        """Who has not got it, as far as is known."""
        entry = self.claim.entry
        return [path for path in entry.envelope.forward_paths if path not in entry.relayed]

    @property
    def taken_recipients(self) -> frozenset[str]:
        """The recipients whose request Works took in this attempt."""
        return frozenset(self._served)

    async def _send(self, request: Request, slot: Slot) -> Outcome:
        claim = self.claim
        if wait := slot.bind(request.mailboxes, claim.entry.queue_id):
            return replace(DAY_IS_FULL, retry_after=wait)
        steps = Steps(lambda: self._start(request), self._end, self._note, self._repeat)
        outcome = await self.tools.client.send(
            self.account, request.payload, claim.content, steps, slot, claim.entry.queue_id
        )
        if self._open is not None:
            await self._record(outcome)
        elif not self._taken:
            await self._start(request, outcome)  # it came to nothing; the trace has it all the same
        self._open, self._repeats, self._taken = None, False, False
        if outcome.action is Action.RELAYED:
            self._served += request.recipients
        return outcome

    # The steps of a request. One that is made again is a request of its own: it begins only while this node
    # is the sender, and it counts in the budgets.

    async def _start(self, request: Request, ended: Outcome | None = None) -> None:
        # A token and a connection are there: a process that is killed before this has sent nothing.
        number, self._started = self._started, self._started + 1
        await self.tools.spool.start(self.claim, number, request.recipients, ended)
        self._open, self._repeats = number if ended is None else None, False

    def _end(self) -> None:
        self._may_end = False
        self.tools.spool.check_term()
        self._may_end = True

    async def _record(self, outcome: Outcome) -> None:
        if self._open is not None:
            await self.tools.spool.record(self.claim, self._open, outcome)
            self._open = None

    async def _repeat(self, outcome: Outcome) -> None:
        self._repeats = self._open is not None
        await self._record(outcome)

    async def _note(self, status: int) -> None:
        if status == _ACCEPTED:
            await self._record(_TAKEN)
            self._taken = True  # whatever cuts this attempt off from here on, Works has the message

    async def cut_off(self) -> None:
        """Record and judge what an interrupted attempt has left."""
        if self._taken:
            self._judge(_TAKEN)
        elif self._open is not None:
            outcome = diagnose_failure(Failure.INTERRUPTED if self._may_end else Failure.CUT_BEFORE)
            await self._record(outcome)
            self._judge(outcome)
        elif self._repeats:
            self._judge(diagnose_failure(Failure.CUT_BEFORE))
        self._open, self._repeats, self._taken = None, False, False


def conversion(config: Config, account: Account | None, rules: Rules, envelope: Envelope) -> Conversion:
    """How a message of this account, and of whoever has these rules, is converted."""
    works = config.works
    common = Conversion(
        recipients_per_mail=works.recipients_per_mail,
        attachment_limit=works.attachment_limit,
        no_subject=config.delivery.no_subject,
        losses=config.losses,
        user_name=rules.user_name,
        own_name_only=bool(rules.may_send_as),
        options_by_field=rules.options_by_field,
        delivery_options=envelope.delivery_options,
        reverse_path=envelope.reverse_path,
        envelope=envelope.forward_paths,
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
