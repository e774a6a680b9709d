"""The console of a running service: what it is asked, answered from the service's parts."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import structlog

from relay.config.fields import split_address
from relay.console.access import ANYBODY, Access
from relay.console.app import build
from relay.console.server import FEW, Server
from relay.operator.answering import while_it_answers
from relay.operator.asking import ask
from relay.operator.certificates import name_console
from relay.operator.reading import explain_room
from relay.operator.state import RelayState
from relay.service import Service
from relay.smtp.server import ListenError
from relay.smtp.tls import Certificate, TlsError, as_listener
from relay.spool import SpoolError

log = structlog.get_logger("console")
_HOUR = 3600.0
_KEEP_HOURS = 15.0  # seconds for which counted hours are good: several browsers may look


class ServiceStatus:
    """`console.status.Status`, of a Service that has started."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._counted: tuple[float, int, Sequence[tuple[float, dict[str, int]]]] = (0.0, 0, ())

    def account_names(self) -> tuple[str, ...]:
        """The accounts, those that are left of an earlier configuration too."""
        configured = [one.name for one in self._service.config.account]
        return (*configured, *sorted(self._service.standing.holds.keys() - {*configured}))

    async def state(self) -> RelayState:
        """How the relay is.

        Raises:
            SpoolError: the spool cannot be read.
        """
        return await self._service.read_state()

    async def hours(self, number: int) -> Sequence[tuple[float, dict[str, int]]]:
        """The latest hours, the current one last; counted now, or a few seconds ago.

        Raises:
            SpoolError: the spool cannot be read.
        """
        now = time.time()
        at, known, hours = self._counted
        if known != number or not 0 <= now - at < _KEEP_HOURS:
            since = (now // _HOUR - number + 1) * _HOUR
            found: list[dict[str, int]] = [{} for _ in range(number)]
            for (hour, state), count in (await self._service.spool.arrivals(since, _HOUR)).items():
                # A clock that was set back leaves arrivals in the future.
                found[min(hour, number - 1)][state.value] = count
            hours = [(since + hour * _HOUR, counts) for hour, counts in enumerate(found)]
            self._counted = (now, number, hours)
        return hours

    async def ask(self, name: str, verb: str, **arguments: Any) -> dict[str, Any]:
        """Ask the relay, as by its control socket."""
        return await ask(self._service.verbs, {"console_user": name or ANYBODY}, verb, arguments)

    async def problems(self) -> tuple[str, ...]:
        """Why mail would not be taken now."""
        service = self._service
        found = []
        try:
            await while_it_answers(service.spool, service.spool.touch())
        except SpoolError as error:
            found.append(f"the spool cannot be written: {error}")
        room, keep_free = service.spool.room(), service.config.spool.keep_free
        largest = max((service.config.message_limit(one) for one in service.config.listener), default=0)
        if room.trouble:
            found.append(f"the spool cannot be used, new mail gets 451: {room.trouble}")
        elif room.reached:
            found.append(f"{explain_room(room)}: new mail gets 452")
        elif not room.accepting:
            found.append(
                "the spool's disk cannot be used, or has less free than keep_free: new mail gets 452"
            )
        elif room.free - keep_free < largest:
            found.append("the spool's disk has no room for a message of the largest size")
        if not service.config.account:
            found.append("no account is configured")
        if service.sending.broke_off:
            found.append("nothing is sent any more; the log says why")
        return tuple(found)

    def alive(self) -> bool:
        """Whether this node sends, if it is to; that the loop turns is shown by the answer itself."""
        return not self._service.sending.broke_off


@asynccontextmanager
async def open_console(service: Service) -> AsyncIterator[Server | None]:
    """Serve the service's console where its configuration says; None where it says nowhere.

    Raises:
        ListenError: the address cannot be listened on.
    """
    console = service.config.console
    if not console.address:
        yield None
        return
    access = Access(lambda: service.config)
    app = build(ServiceStatus(service), service.config, access=access)
    try:
        shows = as_listener(console)
        certificate = Certificate(shows) if shows else None
        server = Server(app, *split_address(console.address), FEW, certificate)
    except TlsError as error:
        raise ListenError(f"[console] {console.address}", error.problem, error.remedy) from error
    except OSError as error:
        raise ListenError(
            f"[console] {console.address}", f"cannot listen: {error.strerror or error}"
        ) from error
    shown = service.showing(name_console(console.address), certificate) if certificate else nullcontext()
    try:
        await server.start()
        log.info("console", url=server.url)
        with shown:
            yield server
    finally:
        await server.stop()
