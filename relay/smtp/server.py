"""The listeners: opened, watched, reloaded, closed."""

import asyncio
import contextlib
import errno
import resource
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

import structlog

from relay.config.current import Current
from relay.config.fields import join_address, split_address
from relay.config.model import Config, Listener
from relay.devices.learning import Learning
from relay.devices.recorder import Recorder
from relay.host.documents import Documents
from relay.host.sockets import listen
from relay.host.systemd import PassedSockets
from relay.smtp.context import Door, Intake
from relay.smtp.dead_ports import DeadPorts
from relay.smtp.handshake import SHUTDOWN
from relay.smtp.known_logins import KnownLogins
from relay.smtp.limits import Guard
from relay.smtp.listener import Listening
from relay.smtp.session import Session
from relay.smtp.tls import Certificate, TlsError

log = structlog.get_logger("smtp")
# Kept from sessions: for the console's 50 connections and 50 in its queue, for the control socket's 50, for
# the spool, content that arrives and who is turned away. The API's connections come to it.
_RESERVED_FILES, _RESERVED_PART = 250, 0.1
_BACKLOG = 1024
_SWEEP = 1.0  # seconds between looks at all sessions
_SWEEPS_PER_LOOK_AT_CERTIFICATES = 10
# Stopping: content may still arrive for the first, verdicts may still come for the second.
_GRACE, _LAST_GRACE, _GRACE_FOR_KEEPING = 4.0, 2.0, 2.0
# Content that has not gone on for so long need not be waited for: its client is told 421, and comes again.
_STALL, _LOOK = 1.5, 0.1


# Why an address cannot be listened on, and what to do.
_REMEDIES: dict[int, str] = {
    errno.EADDRINUSE: "end the program that has it, or choose another address",
    errno.EACCES: "have systemd open ports below 1024 (sudo relay install), or choose a higher one",
    errno.EADDRNOTAVAIL: "this machine does not have the address; 0.0.0.0 stands for every one that it has",
}


class ListenError(Exception):
    """A listener cannot be opened; the text says which and what to do.

    Args:
        address: the listener's.
        problem: why.
        remedy: what to do, if more can be said.
    """

    def __init__(self, address: str, problem: str, remedy: str = "") -> None:
        super().__init__(f"{address}: {problem}; {remedy}" if remedy else f"{address}: {problem}")
        self.problem = problem
        self.remedy = remedy


class Looked(NamedTuple):
    """A listener that is open."""

    listener: Listener
    at: tuple[str, int]  # where it really listens
    sessions: int  # open now
    certificate: Certificate | None

    @property
    def name(self) -> str:
        """Its address; a port of 0 was chosen by the system."""
        address = self.listener.address
        return join_address(*self.at) if address.endswith(":0") else address


class Server:
    """All listeners of the configuration.

    `sockets` were opened by systemd; a listener without one opens its own. Known logins, and
    on several nodes what is being learned, are `documents`.
    """

    def __init__(
        self,
        current: Current,
        intake: Intake,
        sockets: PassedSockets | None = None,
        documents: Documents | None = None,
    ) -> None:
        config = current.config
        self._current = current
        current.prepare(self._prepare)
        self._intake = intake
        self._sockets = sockets or PassedSockets([])
        self.recorder = Recorder()
        self._dead_ports = DeadPorts(self.recorder)
        self.learning = Learning(documents=None if config.spool.is_embedded else documents)
        self.guard = Guard(config.limits, KnownLogins(documents))
        self._listening: dict[str, Listening] = {}
        self._closed: list[Listening] = []  # no longer configured, with sessions that go on
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open every listener, or none.

        Raises:
            ListenError: one cannot be opened.
        """
        self._count_files(self._current.config)
        self.guard.spare.keep()
        try:
            for key, listener in _keyed(self._current.config).items():
                self._open(key, listener)
        except BaseException:
            await self.stop()
            raise
        self._dead_ports.watch(self._sockets.left)
        self._sweeper = asyncio.create_task(self._sweep(), name="smtp sweep")

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens: host and port of each socket."""
        return [listening.sock.getsockname()[:2] for listening in self._listening.values()]

    def look(self) -> list["Looked"]:
        """Each listener, as it is now."""
        every = self._listening.values()
        return [
            Looked(one.door.listener, one.sock.getsockname()[:2], len(one.sessions), one.door.certificate)
            for one in every
        ]

    def count_sessions(self) -> int:
        """How many sessions are open on all listeners."""
        return sum(len(one.sessions) for one in self._all())

    def _count_files(self, config: Config) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                soft = hard
        reserved = _RESERVED_FILES + config.works.concurrency
        room = max(soft - max(reserved, int(soft * _RESERVED_PART)), 1)
        wanted = config.limits.sessions
        self.guard.sessions.configure(config.limits, room)
        if wanted > room:
            log.warning(
                "fewer sessions than configured", sessions=room, reason="file descriptors", limit=soft
            )

    def _open(self, key: str, listener: Listener) -> None:
        certificate = _certificate(listener)
        door = Door(
            self._current,
            listener,
            self._intake,
            self.guard,
            certificate,
            recorder=self.recorder,
            learning=self.learning,
        )
        passed = self._sockets.claim(*split_address(listener.address))
        if passed is not None:
            self._dead_ports.leave(passed)
        sock = passed or bind(listener.address)
        self._listening[key] = Listening(door, sock)
        log.info("listening", address=listener.address, tls=listener.tls, auth=listener.auth)
        if listener.tls_profile == "legacy" and listener.tls != "none":
            log.warning("old TLS is allowed here", address=listener.address, tls_profile="legacy")

    @contextlib.contextmanager
    def _prepare(self, config: Config) -> Iterator[None]:
        """Take another configuration: sessions go on, new ones and new commands obey it.

        Raises:
            ListenError: a new listener cannot be opened, or a certificate not be used; nothing changed
                for the others.
        """
        if self._sweeper is None:
            yield  # `start` opens what is wanted by then
            return
        wanted = _keyed(config)
        kept = wanted.keys() & self._listening.keys()
        certificates = {address: _certificate(wanted[address]) for address in kept}
        opened = [address for address in wanted if address not in kept]
        try:
            for address in opened:
                self._open(address, wanted[address])
            yield
        except BaseException:
            for address in opened:
                if address in self._listening:
                    self._close(address)
            raise
        for address in self._listening.keys() - wanted.keys():
            listening = self._close(address)
            listening.door.is_open = False
            self._closed.append(listening)
            log.info("no longer listening", address=address)
        for address in kept:
            self._listening[address].door.configure(wanted[address], certificates[address])
        self.guard.apply(config.limits)
        self._count_files(config)

    def _close(self, address: str) -> Listening:
        """Listen there no more. A socket that systemd holds open goes on to be answered."""
        listening = self._listening.pop(address)
        listening.leave()
        if self._sockets.give_back(listening.sock):
            self._dead_ports.watch(self._sockets.left)
        else:
            listening.close()
        return listening

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        turn = 0
        while True:
            await asyncio.sleep(_SWEEP)
            turn += 1
            now = loop.time()
            scarce = self.guard.sessions.are_scarce or self.guard.budget.memory_is_short
            for listening in self._all():
                for session in list(listening.sessions):
                    session.expire(now, scarce=scarce)
            self.guard.notes.settle()
            if turn % _SWEEPS_PER_LOOK_AT_CERTIFICATES == 0:
                for listening in self._listening.values():
                    if listening.door.certificate is not None:
                        listening.door.certificate.refresh()

    def _all(self) -> list[Listening]:
        self._closed = [listening for listening in self._closed if listening.tasks]
        return [*self._listening.values(), *self._closed]

    async def stop(self) -> None:
        """Close the listeners; idle sessions hear 421, the others have some seconds to end."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        self._dead_ports.stop()
        self._sockets.close_rest()
        everything, began = self._all(), asyncio.get_running_loop().time()
        broken_off = 0
        for listening in everything:
            listening.close()
            broken_off += listening.break_off()
        tasks = {task for listening in everything for task in listening.tasks}
        sessions = {session for listening in everything for session in listening.sessions}
        for session in sessions:
            session.stop()
        tasks = await _let_end(tasks, sessions)
        for session in sessions:
            session.stop(at_once=True)
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=_LAST_GRACE)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        handing_over = [task for listening in everything for task in listening.door.handing_over]
        if handing_over:
            # Their clients are gone; the messages are kept all the same.
            await asyncio.wait(handing_over, timeout=_GRACE_FOR_KEEPING)
        # A loop that is closed while TLS still says goodbye leaks the socket.
        for session in sessions:
            session.abort()
        if broken_off:
            await asyncio.sleep(began + SHUTDOWN + _LOOK - asyncio.get_running_loop().time())
        self.guard.notes.settle()
        self.guard.spare.drop()
        self._listening.clear()


async def _let_end(tasks: set[asyncio.Task[None]], sessions: set[Session]) -> set[asyncio.Task[None]]:
    """Let content come to its end while it comes; gives the tasks of the sessions that have not ended."""
    now = asyncio.get_running_loop().time
    began = now()
    while tasks and now() < began + _GRACE:
        _, tasks = await asyncio.wait(tasks, timeout=_LOOK)
        if now() >= began + _STALL:
            for session in sessions:
                if session.pace.stalls(now(), _STALL):
                    session.stop(at_once=True)
    return tasks


def _keyed(config: Config) -> dict[str, Listener]:
    # Several may ask for any free port: they are told apart by their order.
    keyed: dict[str, Listener] = {}
    for listener in config.listener:
        same = sum(key.partition("#")[0] == listener.address for key in keyed)
        keyed[f"{listener.address}#{same}" if same else listener.address] = listener
    return keyed


def tls_context(listener: Listener) -> ssl.SSLContext | None:
    """The listener's TLS as it would be used; None without TLS.

    Raises:
        ListenError: the certificate or key cannot be read.
    """
    certificate = _certificate(listener)
    return certificate.context if certificate else None


def _certificate(listener: Listener) -> Certificate | None:
    if listener.tls == "none":
        return None
    try:
        return Certificate(listener)
    except TlsError as error:
        raise ListenError(listener.address, error.problem, error.remedy) from error


def bind(where: str) -> socket.socket:
    """A socket that listens on ADDRESS:PORT.

    Raises:
        ListenError: it cannot be had.
    """
    try:
        return listen(*split_address(where), _BACKLOG)
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "")
        raise ListenError(where, f"cannot listen: {error.strerror or error}", remedy) from error
