"""Makes the relay's state: of a service that runs, or of what a stopped one has left on the disk."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay import __version__
from relay.config import model
from relay.config.model import Config
from relay.host.clock import Clock
from relay.operator import grants
from relay.operator.answering import while_it_answers
from relay.operator.certificates import Certificates
from relay.operator.concerns import find_concerns, write_headline
from relay.operator.likeness import find_differences
from relay.operator.state import (
    Account,
    Certificate,
    Disk,
    Hold,
    Listener,
    Moment,
    Node,
    Outage,
    Queue,
    RelayState,
    Sent,
    Use,
)
from relay.operator.trace import count_states
from relay.operator.trouble import Troubles
from relay.outcome import Cause, Outcome
from relay.spool import WAITING, Entry, NodeFacts, Room, Spool, SpoolError, State
from relay.works.auth.keeping import Keeping

if TYPE_CHECKING:  # a command that reads what a stopped service has left begins without them
    from relay.courier.standing import Standing
    from relay.smtp.server import Server
    from relay.works.auth.authorizer import Authorizer
    from relay.works.pace.pacing import Pacing

_DAY = 86400.0
_REACHED = "what waits in the database has reached spool.most"
_NO_ROOM = "less is free on the spool's disk than keep_free, or it cannot be used"


@dataclass(frozen=True, slots=True)
class Live:
    """What a service that runs knows beside its spool."""

    started: float  # seconds since the epoch
    standing: "Standing"
    pacing: "Pacing"
    authorizer: "Authorizer"
    server: "Server"
    troubles: Troubles
    elsewhere: Callable[[], Sent | None] = lambda: None  # what the node that sends says; None: it is this one
    nodes: Callable[[], Sequence[NodeFacts]] = tuple


def explain_room(room: Room) -> str:
    """Why new mail is not taken; "" when it is."""
    if room.accepting:
        return ""
    return room.trouble or (_REACHED if room.reached else _NO_ROOM)


def find_cause(room: Room) -> Cause:
    """Why new mail is not taken, as a value."""
    if room.trouble:
        return Cause.SPOOL
    return Cause.MOST if room.reached else Cause.OTHER


class Reader:
    """Reads the state."""

    def __init__(self, spool: Spool | None, keeping: Keeping, clock: Clock, live: Live | None = None) -> None:
        """Args:
        spool: the messages; it is open. None where there is none.
        keeping: the grants, read where no service has looked at them.
        clock: the clocks.
        live: what a running service knows; None: it does not run.
        """
        self._spool = spool
        self._keeping = keeping
        self._clock = clock
        self._live = live
        self.certificates = Certificates(live.server if live else None)

    async def read(self, config: Config, *, sending: bool = False) -> RelayState:
        """The state now.

        Args:
            config: the configuration.
            sending: whether the courier works.

        Raises:
            SpoolError: the spool cannot be read.
        """
        now, live = Moment(self._clock.wall()), self._live
        held = live.standing.held if live else {}
        sent = live.elsewhere() if live else None
        accounts = sent.accounts if sent else await self.read_accounts(config)
        queue = await self._queue(held)
        certificates = await self.certificates.read(config)
        listeners = self._listeners(config, {one.place: one for one in certificates}, now)
        outage = self._outage()
        disk = self._disk(config)
        concerns = find_concerns(
            now,
            accounts,
            certificates,
            redirect_all=config.delivery.redirect_all,
            disk=disk,
            queue=queue,
            known=live.troubles.current if live else None,
        )
        health, headline = write_headline(concerns, outage, queue, running=live is not None, sending=sending)
        return RelayState(
            health=health,
            headline=headline,
            hostname=config.hostname,
            version=__version__,
            now=now,
            started=Moment(live.started) if live else None,
            sending=sending,
            outage=outage,
            requests=sent.requests if sent else Use(*live.pacing.use()) if live else None,
            disk=disk,
            queue=queue,
            accounts=accounts,
            listeners=listeners,
            certificates=certificates,
            concerns=concerns,
            # Where everything is redirected the archive gets nothing.
            archive=() if config.delivery.redirect_all else config.delivery.always_bcc,
            nodes=self._nodes(),
        )

    async def read_accounts(self, config: Config) -> tuple[Account, ...]:
        """The accounts, as this node knows them."""
        now, live = Moment(self._clock.wall()), self._live
        accounts = tuple([await self._account(one, now) for one in config.account])
        left = sorted(live.standing.holds.keys() - {one.name for one in accounts}) if live else []
        return accounts + tuple(self._left_account(name) for name in left)

    def _nodes(self) -> tuple[Node, ...]:
        live = self._live
        found = live.nodes() if live else ()
        own = next((one.fingerprint for one in found if one.is_self), "")
        return tuple(_node(one, own) for one in found)

    async def _queue(self, held: Mapping[str, Outcome]) -> Queue | None:
        if self._spool is None:
            return None
        try:
            counts, firsts = await while_it_answers(self._spool, _look_at(self._spool, held))
        except SpoolError:
            if self._spool.room().trouble:
                return None  # the room says why
            raise
        oldest = min((one[0].arrival for one in firsts if one), default=None)
        return Queue(
            counts, sum(counts[state] for state in WAITING), None if oldest is None else Moment(oldest)
        )

    def _disk(self, config: Config) -> Disk | None:
        if self._spool is None:
            return None
        room = self._spool.room()
        return Disk(room.free, config.spool.keep_free, room.accepting, explain_room(room))

    def _outage(self) -> Outage | None:
        found = self._live.standing.outage if self._live else None
        if found is None:
            return None
        return Outage(found.outcome.reason, Moment(found.since), Moment(found.next_probe))

    async def _account(self, account: model.Account, now: Moment) -> Account:
        live, grant = self._live, None
        if live is not None:
            grant = grants.look(live.authorizer, live.standing, account, now)
        if grant is None:
            grant = await grants.read(self._keeping, account, now)
        if live is None:
            return Account(account.name, account.address, account.default, grant)
        minute, day = live.pacing.use_of(account.name)
        hold = self._hold(live.standing, account.name)
        return Account(account.name, account.address, account.default, grant, hold, Use(*minute), Use(*day))

    def _left_account(self, name: str) -> Account:
        """An account that has left the configuration, and for which mail waits."""
        hold = self._hold(self._live.standing, name) if self._live else None
        return Account(name, "", default=False, grant=grants.NONE, hold=hold)

    @staticmethod
    def _hold(standing: "Standing", name: str) -> Hold | None:
        hold = standing.holds.get(name)
        if hold is None:
            return None
        probe, outcome = standing.next_probe(name), hold.outcome
        return Hold(
            outcome.reason,
            outcome.status,
            Moment(hold.since),
            hold.held,
            None if probe is None else Moment(probe),
        )

    def _listeners(
        self, config: Config, certificates: Mapping[str, Certificate], now: Moment
    ) -> tuple[Listener, ...]:
        looked: list[tuple[model.Listener, str, int | None]]
        if self._live:
            looked = [(one.listener, one.name, one.sessions) for one in self._live.server.look()]
        else:
            looked = [(one, one.address, None) for one in config.listener]
        return tuple(
            _listener(one, address, sessions, certificates.get(address), now)
            for one, address, sessions in looked
        )


async def _look_at(
    spool: Spool, held: Mapping[str, Outcome]
) -> tuple[dict[State, int], list[Sequence[Entry]]]:
    """How many messages there are by state, and the first of each that wait."""
    counts = await count_states(spool, held)
    # By state: each is the first of an index, and all four together would be sorted.
    return counts, [await spool.list((state,), 1) for state in WAITING if counts[state] or held]


def _node(facts: NodeFacts, own: str) -> Node:
    since = facts.sends_since if facts.sends else None
    return Node(
        name=facts.name,
        version=facts.version,
        started=Moment(facts.started),
        seen=Moment(facts.seen),
        alive=facts.is_alive,
        this=facts.is_self,
        sends_since=None if since is None else Moment(since),
        sessions=facts.sessions,
        accepting=facts.accepting,
        reason=facts.trouble,
        differs=bool(keys := find_differences(own, facts.fingerprint)),
        different=keys,
    )


def _listener(
    listener: model.Listener,
    address: str,
    sessions: int | None,
    certificate: Certificate | None,
    now: float,
) -> Listener:
    remarks = []
    if listener.tls != "none" and listener.tls_profile == "legacy":
        remarks.append("legacy: TLS 1.0 is allowed")
    if listener.auth != "off" and listener.auth_without_tls:
        remarks.append("passwords may come in plain text")
    expires = certificate.expires if certificate else None
    return Listener(
        address=address,
        tls=listener.tls,
        auth=listener.auth,
        networks=tuple(map(str, listener.networks)),
        sessions=sessions,
        remarks=tuple(remarks),
        certificate_file=listener.certificate_file if listener.tls != "none" else "",
        certificate_expires=expires,
        certificate_days=None if expires is None else int((expires - now) // _DAY),
        certificate_problem=certificate.problem if certificate else "",
    )
