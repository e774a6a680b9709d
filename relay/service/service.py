"""Everything that runs, built of one configuration, started and stopped in order."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import replace
from typing import Any, NamedTuple

import structlog

from relay.config.current import Current
from relay.config.model import Config, Works
from relay.courier import Courier, Standing
from relay.devices.adopted import Adopted
from relay.host import systemd
from relay.host.clock import Clock
from relay.host.documents import Documents
from relay.intake import Intake, OnKept
from relay.operator import control
from relay.operator.accepting import Accepting
from relay.operator.alerts.alerts import Alerts
from relay.operator.audit import Audit
from relay.operator.consents import ConsentVerbs
from relay.operator.doctor import DoctorVerbs
from relay.operator.learning import LearningVerbs
from relay.operator.reading import Live, Reader
from relay.operator.state import RelayState, as_json
from relay.operator.trouble import Troubles, describe
from relay.operator.verbs import Verbs, find_verbs
from relay.operator.watch import Watch
from relay.outcome import TroubleKind
from relay.service.outlet import Outlet
from relay.service.reports import Reports
from relay.service.sending import Sending
from relay.service.sharing import Parts, Sharing
from relay.smtp.server import Server
from relay.smtp.tls import Certificate
from relay.spool import SpoolError
from relay.stores import open_documents, open_grants, open_spool
from relay.works.auth.authorizer import Authorizer
from relay.works.auth.keeping import Keeping
from relay.works.pace.pacing import Pacing

log = structlog.get_logger("service")
# Sections that cannot change while the relay runs.
_FIXED = ("state_dir", "console", "log", "spool")


class Watches(NamedTuple):
    """What looks after the rest for as long as it runs."""

    accepting: Accepting
    watch: Watch
    alerts: Alerts
    documents: Documents


class Service:
    """Everything that runs, made of one configuration.

    `listen=False` leaves out listeners, console and control socket: the relay of a command.
    `sockets` are those that systemd opened for listeners.
    """

    def __init__(
        self,
        config: Config,
        *,
        listen: bool = True,
        clock: Clock | None = None,
        sockets: systemd.PassedSockets | None = None,
        on_kept: OnKept | None = None,
    ) -> None:
        machine = clock or Clock()
        self.current = Current(config)
        # Of several nodes' clocks none is right: all go by the database's.
        clock = replace(machine, wall=lambda: machine.wall() + self.spool.ahead)
        self.troubles = Troubles(clock.wall)
        self.reports = reports = Reports(self.troubles)
        self.spool = open_spool(config, report=reports.damaged, clock=machine)
        self.spool.subscribe(reports.hear)
        documents = open_documents(config, self.spool)
        keeping = open_grants(config, self.spool)
        self.sending = Sending(self.current, self.spool, keeping, documents, self.troubles, reports, clock)
        intake = Intake(self.current, self.spool, self.courier, on_kept)
        self.server = Server(self.current, intake, sockets, documents)
        live = Live(
            *(time.time(), self.standing, self.pacing, self.authorizer, self.server, self.troubles),
            elsewhere=lambda: self.sharing.sent if self.sharing else None,
            nodes=lambda: self.sharing.nodes if self.sharing else (),
        )
        self._reader = Reader(self.spool, keeping, clock, live)
        self.sharing = self._share()
        rates = self.server.guard.rates
        self.watches = Watches(
            Accepting(self.spool, reports.accepting_changed),
            Watch(self.read_state, self.spool, lambda: rates.deferred, self.troubles, machine),
            Alerts(self.current, documents, self.troubles, clock.wall),
            documents,
        )
        journal = Audit(config.state_dir)
        self.verbs = Verbs(
            *(self.spool, self.standing, intake, self._other_verbs(keeping, documents), journal),
            node=config.hostname if self.sharing else "",
        )
        self._listen = listen
        self._stack = AsyncExitStack()
        self._stack.push_async_callback(asyncio.to_thread, journal.close)

    def _share(self) -> Sharing | None:
        """What this node and the others know of each other, where there may be others."""
        board = self.spool.board
        if board is None:
            return None
        parts = Parts(
            *(self.courier, self.standing, self.pacing, self.troubles, self._reader.read_accounts),
            outlet=Outlet(self.current, self.standing),
            room=self.spool.room,
            count_sessions=self.server.count_sessions,
        )
        return Sharing(board, self.current, parts)

    @property
    def config(self) -> Config:
        """The configuration of this moment."""
        return self.current.config

    @property
    def authorizer(self) -> Authorizer:
        """The grants, as they are used."""
        return self.sending.authorizer

    @property
    def pacing(self) -> Pacing:
        """The budgets."""
        return self.sending.pacing

    @property
    def standing(self) -> Standing:
        """How the API and each account stand."""
        return self.sending.standing

    @property
    def courier(self) -> Courier:
        """Who sends."""
        return self.sending.courier

    def showing(self, place: str, certificate: Certificate) -> AbstractContextManager[None]:
        """Watch a certificate that is shown beside the listeners', for as long as the context lasts."""
        return self._reader.certificates.showing(place, certificate)

    @property
    def sends(self) -> bool:
        """Whether mail is sent, here or by another node, or will be as soon as a lease has run out."""
        return not self.sending.broke_off and self.troubles.find(TroubleKind.NO_SENDER) is None

    async def read_state(self) -> RelayState:
        """How the relay is, for whoever shows it.

        Raises:
            SpoolError: the spool cannot be read.
        """
        return await self._reader.read(self.config, sending=self.sends)

    def _other_verbs(
        self, keeping: Keeping, documents: Documents
    ) -> dict[str, Callable[..., Awaitable[dict[str, Any]]]]:
        """What parts of the service can be asked besides the queue."""
        desk = DoctorVerbs(lambda: self.config, self.server.recorder, self._look, self._name_others)
        adopted = Adopted(documents, self.current)
        learned = LearningVerbs(lambda: self.config, self.server.learning, self.spool, adopted)
        consents = ConsentVerbs(lambda: self.config, keeping, self.sending.notice)
        own = {"troubles": self._list_troubles, "state": self._tell_state}
        return find_verbs(desk) | find_verbs(learned) | find_verbs(consents) | own

    async def _look(self, queue_id: str) -> dict[str, Any]:
        if trouble := self.spool.room().trouble:
            raise SpoolError(trouble)  # many are looked at, and a person waits
        return await self.verbs.queue_show(queue_id)

    def _name_others(self) -> list[str]:
        """The other nodes that live."""
        nodes = self.sharing.nodes if self.sharing else ()
        return [one.name for one in nodes if one.is_alive and not one.is_self]

    async def _tell_state(self) -> dict[str, Any]:
        """How the relay is."""
        told: dict[str, Any] = as_json(await self.read_state())
        return told

    async def _list_troubles(self) -> dict[str, Any]:
        """What is wrong, and what was."""
        troubles = self.troubles
        return {"current": [*map(describe, troubles.current)], "ended": [*map(describe, troubles.ended)]}

    async def start(self) -> None:
        """Start everything, or nothing.

        Raises:
            SpoolError: the state directory cannot be used, or another relay has it.
            ListenError: an address cannot be listened on.
            OSError: the machine has no room for what it needs.
        """
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        await self.spool.open()
        self._stack.push_async_callback(self.spool.close)
        self._stack.push_async_callback(self.watches.documents.close)
        await self.watches.documents.look()
        self._stack.push_async_callback(self.sending.close)
        await self.sending.start(self.sharing.take_over if self.sharing else None)
        if self.sharing:
            sharing = asyncio.create_task(self.sharing.run(lambda: self.spool.term), name="nodes")
            self._stack.callback(sharing.cancel)
        self._stack.push_async_callback(self._stop_flow)
        if self._listen:
            await self._start_doors()
        for one in self.watches:
            watching = asyncio.create_task(one.watch(), name=type(one).__name__.lower())
            self._stack.callback(watching.cancel)

    async def _stop_flow(self) -> None:
        """Take no more and send no more, both at once: the one may not cost the other its time.

        A session whose content comes to its end meanwhile is told `queued`: the message is on disk.
        """
        await asyncio.gather(self.sending.stop(), self.server.stop())

    async def _start_doors(self) -> None:
        path = self.config.control_socket
        controls = control.Server(path, self.verbs)
        try:
            await controls.start()
        except OSError as error:  # the spool's own folder may be writable where this one is not
            raise SpoolError(f"{error.strerror}: {path}") from error
        self._stack.push_async_callback(controls.stop)
        await self.server.start()
        spool = self.config.spool
        tending = asyncio.create_task(self.spool.tend(spool.keep_failed, spool.keep_history))
        self._stack.callback(tending.cancel)

    async def reload(self, config: Config) -> None:
        """Go on by another configuration; sessions go on too.

        Raises:
            ListenError: a new listener cannot be opened, or a certificate not be used; nothing changed.
        """
        self.current.replace(config)
        first = self.current.first
        later = [f"[{name}]" for name in _FIXED if getattr(first, name) != getattr(config, name)]
        if _lasting(first.works) != _lasting(config.works):
            later.append("[works]")
        if later:
            reason = f"what changed in {', '.join(later)} holds from the next start on"
            log.warning("restart needed", reason=reason)
            self.troubles.begin(TroubleKind.RESTART, "", reason, stage=",".join(later))
        else:
            self.troubles.end(TroubleKind.RESTART)

    async def stop(self) -> None:
        """Stop accepting, let what is in flight end, leave the rest in the spool."""
        await self._stack.aclose()


def _lasting(works: Works) -> Works:
    """What of [works] cannot change while the relay runs."""
    changing = ("requests_per_minute", "recipients_per_mail", "attachment_limit")
    return works.model_copy(update=dict.fromkeys(changing, 0))
