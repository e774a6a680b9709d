"""`relay serve`: the service."""

import asyncio
import contextlib
import gc
import importlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import click

from relay.cli import EX_UNAVAILABLE, Failure, config_option
from relay.cli.startup import cannot_use_state_dir, load_config

_CONSOLE_AGAIN = 10.0  # seconds

if TYPE_CHECKING:
    from relay.service import Service


@click.command()
@config_option
def command(config_path: str | None) -> None:
    """Run the relay until it is told to stop (SIGTERM or Ctrl-C)."""
    gc.disable()  # until it serves: nothing of what is loaded now ever becomes garbage
    from relay.host.privileges import refuse_foreign

    config = load_config(config_path, refuse_foreign)
    from relay.conversion.process import start_ahead

    start_ahead()
    from relay import service  # logs first: it says how the library is loaded
    from relay.config.load import load
    from relay.host import logs
    from relay.smtp.server import ListenError
    from relay.spool import SpoolError, SpoolLocked

    logs.set_up(config.log, for_good=True)
    try:
        service.run(service.serve(config, [_open_console], lambda: load(config_path)))
    except SpoolLocked as error:
        raise Failure(f"{error}; stop it first, or give this one another state_dir", EX_UNAVAILABLE) from None
    except SpoolError as error:
        raise cannot_use_state_dir(config, error) from None
    except ListenError as error:
        raise Failure(str(error), EX_UNAVAILABLE) from None
    sys.stderr.flush()


@asynccontextmanager
async def _open_console(service: "Service") -> AsyncIterator[None]:
    """The console, if there is one: its libraries are loaded when mail is already taken.

    One that has no port keeps nobody's mail: it is a trouble like others, and tried again until it has.
    """
    if not service.config.console.address:
        yield
        return
    console = await asyncio.to_thread(importlib.import_module, "relay.console.service")
    opened = asyncio.Event()
    showing = asyncio.create_task(
        _keep(lambda: console.open_console(service), service, opened), name="console"
    )
    await opened.wait()
    try:
        yield
    finally:
        showing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await showing


async def _keep(
    open_console: Callable[[], AbstractAsyncContextManager[object]], service: "Service", tried: asyncio.Event
) -> None:
    """Have a console, as soon as its address can be listened on, until cancelled.

    Args:
        open_console: opens it.
        service: told why it cannot be opened.
        tried: set when it was tried once.
    """
    from relay.outcome import TroubleKind
    from relay.smtp.server import ListenError

    while True:
        try:
            async with open_console():
                service.reports.report(TroubleKind.CONSOLE, "")
                tried.set()
                await asyncio.Event().wait()
        except ListenError as error:
            service.reports.report(TroubleKind.CONSOLE, str(error))
        finally:
            tried.set()
        await asyncio.sleep(_CONSOLE_AGAIN)
