"""The service: builds everything, starts and stops it in order, tells systemd."""

import asyncio
import gc
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import structlog

from relay import metrics
from relay.config.current import Current
from relay.config.load import ConfigError
from relay.config.model import Account, Config, Works
from relay.conversion.pool import Converter
from relay.courier import Courier, Settling, Standing, Tools
from relay.courier.judgement import AccountHold
from relay.envelope import Origin
from relay.host import systemd
from relay.host.allocator import limit_arenas
from relay.host.clock import Clock
from relay.intake import Intake
from relay.notices import OperatorMail, Senders
from relay.operator import control
from relay.operator.accepting import Accepting
from relay.operator.audit import Audit
from relay.operator.consents import Consents
from relay.operator.doctor import Desk
from relay.operator.learning import Learned
from relay.operator.reading import Live, Reader
from relay.operator.state import RelayState, as_json
from relay.operator.trouble import Troubles, describe
from relay.operator.verbs import Verbs
from relay.operator.watch import Watch
from relay.outcome import Action, Outcome, Scope, TroubleKind
from relay.smtp.server import ListenError, Server
from relay.spool import Entry, SpoolError, Topic, Word
from relay.stores import open_grants, open_spool
from relay.works.auth.authorizer import Authorizer
from relay.works.auth.keeping import Keeping
from relay.works.auth.oauth import AuthServer
from relay.works.client import Client
from relay.works.diagnosis import Failure, diagnose_failure
from relay.works.pace.pacing import Pacing

log = structlog.get_logger("service")
# What is in flight when the relay is told to stop may take so long; systemd allows more.
_GRACE = 5.0
# A refresh under way is worth more: cut off, a rotated grant is lost. All of the stop has ten seconds.
_REFRESH_GRACE, _STOP_WITHIN = 2.0, 8.0
# Sections that cannot change while the relay runs.
_FIXED = ("state_dir", "console", "log", "spool")


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
    ) -> None:
        self.current = Current(config)
        clock = clock or Clock()
        self.started = time.time()  # seconds since the epoch
        self.troubles = Troubles(clock.wall)
        self.spool = open_spool(config, report=self._report_damage, clock=clock)
        self.spool.subscribe(self._hear)
        keeping = open_grants(config)
        self.authorizer = Authorizer(
            AuthServer(config.works), keeping, self._on_grant, clock.wall, self._on_warning
        )
        self.client = Client(config.works, self.authorizer)
        self.pacing = Pacing(config.works.requests_per_minute, _limits(config), clock.steady)
        self.current.subscribe(self._pace)
        self.standing = Standing(self.current, self.pacing.circuit, clock)
        self.senders = Senders(self.current, self.spool, self.standing, clock.wall, self._on_silence)
        self.operator = OperatorMail(
            self.current, self.spool, self.standing, clock.wall, self.troubles.note_told
        )
        self.troubles.subscribe(self.operator.hear)
        self.standing.subscribe(self)
        converter = Converter(report=self._on_converter)
        tools = Tools(self.spool, self.client, self.pacing, self.standing.judge, converter)
        settling = Settling(self.spool, self.senders, self._on_hold)
        self.courier = Courier(self.current, tools, self.standing, settling, clock)
        self.intake = Intake(self.current, self.spool, self.courier)
        self.server = Server(config, self.intake, sockets)
        live = Live(self.started, self.standing, self.pacing, self.authorizer, self.server, self.troubles)
        self._reader = Reader(self.spool, keeping, clock, live)
        self._watches = (
            Accepting(self.spool, self._on_accepting),
            Watch(self.read_state, lambda: self.server.guard.rates.deferred, self.troubles, clock),
        )
        journal = Audit(config.state_dir)
        self.verbs = Verbs(self.spool, self.standing, self.intake, self._other_verbs(keeping), journal)
        self.current.subscribe(lambda _: self._keep_alive())
        self._listen = listen
        self._stack = AsyncExitStack()
        self._stack.push_async_callback(asyncio.to_thread, journal.close)
        self._alive: asyncio.Task[None] | None = None
        self._stopping_since = 0.0  # monotonic

    @property
    def config(self) -> Config:
        """The configuration of this moment."""
        return self.current.config

    async def read_state(self) -> RelayState:
        """How the relay is, for whoever shows it.

        Raises:
            SpoolError: the spool cannot be read.
        """
        return await self._reader.read(self.config, sending=self.courier.working)

    def _other_verbs(self, keeping: Keeping) -> dict[str, Callable[..., Awaitable[dict[str, Any]]]]:
        """What parts of the service can be asked besides the queue."""
        desk = Desk(lambda: self.config, self.server.recorder)
        learned = Learned(lambda: self.config, self.server.learning, self.spool, self.reload)
        consents = Consents(lambda: self.config, keeping)
        own = {"troubles": self._list_troubles, "state": self._tell_state}
        return desk.verbs | learned.verbs | consents.verbs | own

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
        self._stack.push_async_callback(self._close_authorizer)
        self._stack.push_async_callback(self.client.aclose)
        self._stack.push_async_callback(self.operator.stop)
        self._keep_alive()
        await self.courier.start()
        self.operator.resume()
        self._stack.push_async_callback(self._stop_flow)
        if self._listen:
            await self._start_doors()
        for one in self._watches:
            watching = asyncio.create_task(one.watch(), name=type(one).__name__.lower())
            self._stack.callback(watching.cancel)

    def _keep_alive(self) -> None:
        """Look after the grants of the configured accounts."""
        if self._alive is not None:
            self._alive.cancel()
        names = [account.name for account in self.config.account]
        self._alive = asyncio.create_task(self.authorizer.keep_alive(names), name="grants")

    async def _close_authorizer(self) -> None:
        """End the care for grants; a refresh under way has a moment to be stored."""
        if self._alive is not None:
            self._alive.cancel()
        closing = asyncio.ensure_future(self.authorizer.aclose())
        left = self._stopping_since + _STOP_WITHIN - time.monotonic()
        await asyncio.wait({closing}, timeout=max(left, _REFRESH_GRACE))

    async def _stop_flow(self) -> None:
        """Take no more and send no more, both at once: the one may not cost the other its time.

        A session whose content comes to its end meanwhile is told `queued`: the message is on disk.
        """
        await asyncio.gather(self.courier.stop(_GRACE), self.server.stop())

    def _pace(self, config: Config) -> None:
        self.pacing.configure(config.works.requests_per_minute, _limits(config))

    # What the parts find wrong goes into the registry, and nowhere else.

    def _report_damage(self, name: str, reason: str) -> None:
        """The spool set something aside. Each finding is news, also the same one again."""
        metrics.DAMAGED.inc()
        self.troubles.end(TroubleKind.DAMAGE, name)
        self.troubles.begin(TroubleKind.DAMAGE, name, reason)

    def _hear(self, word: Word) -> None:
        """A person has dealt with a message: when it comes to the same again, that is news."""
        if word.topic is Topic.CHANGED:
            for kind in (TroubleKind.MESSAGE_HELD, TroubleKind.NOT_TOLD, TroubleKind.DAMAGE):
                self.troubles.end(kind, word.queue_id)

    def _on_accepting(self, reason: str) -> None:
        """New mail is refused for this reason, or taken again ("")."""
        self.report(TroubleKind.NO_ROOM, reason)

    def _on_converter(self, reason: str) -> None:
        """Large messages cannot be converted for this reason, or can be again ("")."""
        self.report(TroubleKind.CONVERTER, reason)

    def report(self, kind: TroubleKind, reason: str) -> None:
        """Something of which there is one in the relay is wrong for this reason, or is over ("")."""
        if reason:
            if self.troubles.find(kind) is None:
                log.error("trouble", kind=kind.value, reason=reason)
            self.troubles.begin(kind, "", reason)
        else:
            self.troubles.end(kind)

    def _on_hold(self, entry: Entry, outcome: Outcome) -> None:
        """A message waits for a person. It had its 250: it may wait, but not unseen."""
        if entry.envelope.origin is not Origin.NOTICE:  # nothing is said about what we say
            self.troubles.begin(TroubleKind.MESSAGE_HELD, entry.queue_id, outcome.reason)

    def _on_silence(self, entry: Entry, outcome: Outcome) -> None:
        """A message failed after its 250, and no notice to its sender could be made."""
        self.troubles.begin(TroubleKind.NOT_TOLD, entry.queue_id, outcome.reason)

    def account_changed(self, account: str, hold: AccountHold | None) -> None:
        """An account's mail waits, or goes again."""
        if hold is None:
            self.troubles.end(TroubleKind.ACCOUNT, account)
        else:
            reason = hold.outcome.reason
            cause = hold.outcome.cause
            self.troubles.begin(TroubleKind.ACCOUNT, account, reason, person=hold.held, cause=cause)

    def api_changed(self, outcome: Outcome | None) -> None:
        """Works is down, or up again."""
        if outcome is None:
            self.troubles.end(TroubleKind.API)
        else:
            self.troubles.begin(TroubleKind.API, "", outcome.reason, person=False)

    def _on_grant(self, account: str, failure: Failure | None) -> None:
        """The authorizer knows before any message does whether an account can send."""
        if self.config.find_account(account) is None:
            return  # it has left the configuration since
        if failure is None:
            self.standing.release(account)
            self.troubles.end(TroubleKind.ACCOUNT, account)
            return
        outcome = diagnose_failure(failure, account=account)
        # A refused refresh is known at half of the access token's life: mail goes on with the rest of it,
        # and the message that finds the token dead stops the account. The operator hears of it now.
        if self.authorizer.can_send(account):
            person = outcome.action is Action.HELD
            cause = outcome.cause
            self.troubles.begin(TroubleKind.ACCOUNT, account, outcome.reason, person=person, cause=cause)
        elif outcome.scope is Scope.ACCOUNT:
            self.standing.hold(account, outcome)

    def _on_warning(self, account: str, days: int) -> None:
        """A grant that does not renew itself dies in at most so many days; 0: it does no longer."""
        grant = self.authorizer.grant(account)
        if not days or grant is None:
            self.troubles.end(TroubleKind.GRANT_EXPIRES, account)
            return
        reason = f"the account's grant dies in at most {days} day{'s' if days > 1 else ''}"
        deadline = grant.refresh_expires_at
        self.troubles.begin(TroubleKind.GRANT_EXPIRES, account, reason, deadline=deadline)

    async def _start_doors(self) -> None:
        path = self.config.state_dir / "control.sock"
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
        before = self.config
        await self.server.reload(config)
        self.current.replace(config)
        later = [name for name in _FIXED if getattr(before, name) != getattr(config, name)]
        if _lasting(before.works) != _lasting(config.works):
            later.append("works")
        if later:
            log.warning("restart needed", reason=f"{', '.join(later)} changed")

    async def stop(self) -> None:
        """Stop accepting, let what is in flight end, leave the rest in the spool."""
        self._stopping_since = time.monotonic()
        await self._stack.aclose()


def _limits(config: Config) -> dict[str, Account]:
    return {account.name: account for account in config.account}


def _lasting(works: Works) -> Works:
    """What of [works] cannot change while the relay runs."""
    changing = ("requests_per_minute", "recipients_per_mail", "attachment_limit")
    return works.model_copy(update=dict.fromkeys(changing, 0))


Beside = Callable[["Service"], AbstractAsyncContextManager[object]]


async def serve(
    config: Config, beside: Sequence[Beside] = (), reread: Callable[[], Config] | None = None
) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    Args:
        config: of what.
        beside: what else runs while the service does, and ends with it: the console.
        reread: gives the configuration as it is on the disk now; raises ConfigError.

    Raises:
        SpoolError, ListenError, OSError: as Service.start.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    service = Service(config, sockets=systemd.PassedSockets.take())
    await service.start()
    # What is there by now stays: no collection needs to look at it again.
    gc.freeze()
    gc.enable()
    service.courier.warm_up()
    watchdog = asyncio.create_task(systemd.watch())
    others = AsyncExitStack()
    try:
        for other in beside:
            await others.enter_async_context(other(service))
        if reread is not None:
            loop.add_signal_handler(signal.SIGHUP, _reload_soon, service, reread, set(), asyncio.Lock())
        # What is there now stays: looked at by every full collection, it held the event loop for 60 ms.
        gc.collect()
        gc.freeze()
        systemd.notify("READY=1")
        log.info("serving", accounts=[account.name for account in config.account])
        await stopping.wait()
    finally:
        log.info("stopping")
        systemd.notify("STOPPING=1")
        watchdog.cancel()
        await asyncio.gather(others.aclose(), service.stop())
    log.info("stopped")


def _reload_soon(
    service: Service, reread: Callable[[], Config], tasks: set["asyncio.Task[None]"], turn: asyncio.Lock
) -> None:
    task = asyncio.get_running_loop().create_task(_reload(service, reread, turn))
    tasks.add(task)  # the loop itself keeps only a weak reference
    task.add_done_callback(tasks.discard)


async def _reload(service: Service, reread: Callable[[], Config], turn: asyncio.Lock) -> None:
    systemd.notify_reloading()
    try:
        async with turn:  # of two signals the later one's reading holds in the end
            await service.reload(await asyncio.to_thread(reread))
        log.info("reloaded")
        service.report(TroubleKind.NOT_RELOADED, "")
    except (ConfigError, ListenError) as error:
        # The relay goes on as it was: a typing error must not stop anybody's mail.
        problems = str(error).splitlines()
        log.error("not reloaded", problems=problems)
        service.report(
            TroubleKind.NOT_RELOADED, f"the relay goes on by an older configuration: {problems[0]}"
        )
    finally:
        systemd.notify("READY=1")


def run(main: Any) -> None:
    """Run a coroutine on uvloop where it is, else on asyncio's own loop."""
    limit_arenas()
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
