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
from relay.intake import Intake
from relay.smtp.server import Server
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
    """

    def __init__(self, config: Config, *, listen: bool = True, clock: Clock | None = None) -> None:
        self.config = config
        self._clock = clock or Clock()
        self._listen = listen
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
        controls = control.Server(self.config.state_dir / "control.sock", self.verbs)
        await controls.start()
        self._stack.push_async_callback(controls.stop)
        self.server = Server(self.config, self.intake)
        await self.server.start()
        self._stack.push_async_callback(self.server.stop)
        spool = self.config.spool
        tending = asyncio.create_task(self.spool.tend(spool.keep_failed, spool.keep_history))
        self._stack.callback(tending.cancel)

    async def stop(self) -> None:
        """Stop accepting, let what is in flight end, leave the rest in the spool."""
        await self._stack.aclose()


Beside = Callable[["Service"], AbstractAsyncContextManager[object]]


async def serve(config: Config, beside: Sequence[Beside] = ()) -> None:
    """Run until SIGTERM or SIGINT.

    Args:
        config: of what.
        beside: what else runs while the service does, and ends before it: the console.

    Raises:
        SpoolError, ListenError, OSError: as Service.start.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    service = Service(config)
    await service.start()
    watchdog = asyncio.create_task(systemd.watch())
    try:
        async with AsyncExitStack() as others:
            for other in beside:
                await others.enter_async_context(other(service))
            systemd.notify("READY=1")
            log.info("serving", accounts=[account.name for account in config.account])
            await stopping.wait()
    finally:
        log.info("stopping")
        systemd.notify("STOPPING=1")
        watchdog.cancel()
        await service.stop()
    log.info("stopped")


def run(main: Any) -> None:
    """Run a coroutine on uvloop where it is, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
