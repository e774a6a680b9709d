"""Runs the service until it is told to stop: signals, the collector, what systemd hears."""

import asyncio
import gc
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Any

import structlog

from relay.config.load import ConfigError
from relay.config.model import Config
from relay.host import systemd
from relay.host.allocator import limit_arenas
from relay.outcome import TroubleKind
from relay.service.service import Service
from relay.smtp.server import ListenError

log = structlog.get_logger("service")
_YOUNG = 10_000  # objects that are made before the collector looks at the youngest
Beside = Callable[[Service], AbstractAsyncContextManager[object]]


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
    stopping, reload_asked = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if reread is not None:
        # Until there is something to reload, too: a SIGHUP that nobody handles ends the process.
        loop.add_signal_handler(signal.SIGHUP, reload_asked.set)
    service = Service(config, sockets=systemd.PassedSockets.take())
    await service.start()
    # What is there by now stays: no collection needs to look at it again.
    gc.freeze()
    # What a session and a request leave behind mostly goes by itself: to look at it after every 700 objects
    # took a tenth of a small message's time.
    gc.set_threshold(_YOUNG)
    gc.enable()
    service.courier.warm_up()
    watchdog = asyncio.create_task(systemd.watch())
    others = AsyncExitStack()
    try:
        for other in beside:
            await others.enter_async_context(other(service))
        if reread is not None:
            reload = partial(_reload_soon, service, reread, set(), asyncio.Lock())
            loop.add_signal_handler(signal.SIGHUP, reload)
            if reload_asked.is_set():
                reload()
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
        service.reports.report(TroubleKind.NOT_RELOADED, "")
    except (ConfigError, ListenError) as error:
        # The relay goes on as it was: a typing error must not stop anybody's mail.
        problems = str(error).splitlines()
        log.error("not reloaded", problems=problems)
        service.reports.report(
            TroubleKind.NOT_RELOADED, f"the relay goes on by an older configuration: {problems[0]}"
        )
    except Exception:
        log.exception("not reloaded")
        reason = "a fault of the relay broke the reload off: the log has it, and a restart begins anew"
        service.reports.report(TroubleKind.NOT_RELOADED, reason)
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
