"""The service: builds everything, starts and stops it in order, tells systemd."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import structlog

from relay import control, systemd
from relay.clock import Clock
from relay.config import Config
from relay.courier import Courier
from relay.doctor.desk import Desk
from relay.intake import Intake
from relay.learned import Learned
from relay.load import ConfigError
from relay.smtp.server import ListenError, Server
from relay.spool import Spool
from relay.spool.sqlite import SqliteSpool
from relay.works.authorizer import Authorizer
from relay.works.client import Client
from relay.works.diagnosis import Failure, diagnose_failure
from relay.works.grants import FileGrants
from relay.works.oauth import AuthServer
from relay.works.pacing import Pacing

log = structlog.get_logger("service")
# What is in flight when the relay is told to stop may take so long; systemd allows more.
_GRACE = 8.0


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
        self.config = config
        self._clock = clock or Clock()
        self._listen = listen
        self._sockets = sockets
        self._stack = AsyncExitStack()
        self.started = time.time()  # seconds since the epoch
        self.spool: Spool = SqliteSpool(config.state_dir / "spool", keep_free=config.spool.keep_free)
        self.grants = FileGrants(config.state_dir)

    async def start(self) -> None:
        """Start everything, or nothing.

        Raises:
            SpoolError: the spool cannot be opened, or another relay has it.
            ListenError: an address cannot be listened on.
            OSError: the state directory cannot be used.
        """
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        config = self.config
        await self.spool.open()
        self._stack.push_async_callback(self.spool.close)
        self.authorizer = Authorizer(AuthServer(config.works), self.grants, self._on_grant, self._clock.wall)
        self._stack.push_async_callback(self.authorizer.aclose)
        alive = asyncio.create_task(self.authorizer.keep_alive([a.name for a in config.account]))
        self._stack.callback(alive.cancel)
        self.client = Client(config.works, self.authorizer)
        self._stack.push_async_callback(self.client.aclose)
        self.pacing = Pacing(
            config.works.requests_per_minute, {a.name: a for a in config.account}, self._clock.steady
        )
        self.courier = Courier(config, self.spool, self.client, self.pacing, self._clock)
        await self.courier.start()
        self._stack.push_async_callback(self.courier.stop, _GRACE)
        self.intake = Intake(config, self.spool, self.courier)
        self.verbs = control.Verbs(self.spool, self.courier.wake, self.intake)
        if self._listen:
            await self._start_doors()

    def _on_grant(self, account: str, failure: Failure | None) -> None:
        """The authorizer knows before any message does whether an account can send."""
        courier = getattr(self, "courier", None)
        # A refused refresh is known at half of the access token's life: mail goes on with the rest of it,
        # and the message that finds the token dead stops the account.
        if courier is not None and (failure is None or not self.authorizer.can_send(account)):
            courier.stop_account(account, None if failure is None else diagnose_failure(failure))

    async def _start_doors(self) -> None:
        self.server = Server(self.config, self.intake, self._sockets)
        desk = Desk(lambda: self.config, self.server.recorder)
        learned = Learned(
            lambda: self.config, self.server.learning, self.spool, self.courier.wake, self.reload
        )
        self.verbs.more.update(desk.verbs | learned.verbs)
        controls = control.Server(self.config.state_dir / "control.sock", self.verbs)
        await controls.start()
        self._stack.push_async_callback(controls.stop)
        await self.server.start()
        self._stack.push_async_callback(self.server.stop)
        spool = self.config.spool
        tending = asyncio.create_task(self.spool.tend(spool.keep_failed, spool.keep_history))
        self._stack.callback(tending.cancel)

    async def reload(self, config: Config) -> None:
        """Take what can change while the relay runs: listeners, users, devices, limits.

        Raises:
            ListenError: a new listener cannot be opened; nothing changed.
        """
        tables = ("listener", "user", "device", "limits")
        changed = {name: getattr(config, name) for name in tables}
        taken = self.config.model_copy(update=changed)
        if taken != config:
            log.warning("restart needed", reason="more than listeners, users, devices and limits changed")
        await self.server.reload(taken)
        self.config = taken

    async def stop(self) -> None:
        """Stop accepting, let what is in flight end, leave the rest in the spool."""
        await self._stack.aclose()


Beside = Callable[["Service"], AbstractAsyncContextManager[object]]


async def serve(
    config: Config, beside: Sequence[Beside] = (), reread: Callable[[], Config] | None = None
) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    Args:
        config: of what.
        beside: what else runs while the service does, and ends before it: the console.
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
    watchdog = asyncio.create_task(systemd.watch())
    try:
        async with AsyncExitStack() as others:
            for other in beside:
                await others.enter_async_context(other(service))
            if reread is not None:
                others.callback(loop.remove_signal_handler, signal.SIGHUP)
                loop.add_signal_handler(signal.SIGHUP, _reload_soon, service, reread, set())
            systemd.notify("READY=1")
            log.info("serving", accounts=[account.name for account in config.account])
            await stopping.wait()
    finally:
        log.info("stopping")
        systemd.notify("STOPPING=1")
        watchdog.cancel()
        await service.stop()
    log.info("stopped")


def _reload_soon(service: Service, reread: Callable[[], Config], tasks: set["asyncio.Task[None]"]) -> None:
    task = asyncio.get_running_loop().create_task(_reload(service, reread))
    tasks.add(task)  # the loop itself keeps only a weak reference
    task.add_done_callback(tasks.discard)


async def _reload(service: Service, reread: Callable[[], Config]) -> None:
    systemd.notify_reloading()
    try:
        await service.reload(await asyncio.to_thread(reread))
        log.info("reloaded")
    except (ConfigError, ListenError) as error:
        # The relay goes on as it was: a typing error must not stop anybody's mail.
        log.error("not reloaded", problems=str(error).splitlines())
    finally:
        systemd.notify("READY=1")


def run(main: Any) -> None:
    """Run a coroutine on uvloop where it is, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
