"""One listening socket: connections accepted, judged before they cost anything, and served.

The connection is looked at while it is a bare socket: who is over a limit or outside the networks gets
one line and no session; a PROXY header is read before TLS; what is no TLS on a TLS port is recognised
by its first octet. Handshakes are counted as sessions from their beginning.
"""

import asyncio
import errno
import socket
from contextlib import suppress

import structlog

from relay import metrics, reply
from relay.devices.learning import Admission
from relay.devices.recorder import DeviceFault
from relay.reply import Reply
from relay.smtp import policy
from relay.smtp.context import Door
from relay.smtp.handshake import HANDSHAKE, SHUTDOWN
from relay.smtp.limits import name_source
from relay.smtp.peek import LONGEST_HELLO, until_readable
from relay.smtp.proxy import NotProxied, read_client
from relay.smtp.session import Session
from relay.smtp.tls import explain, looks_like_tls, name_reason

log = structlog.get_logger("smtp")
# Connections accepted before anything else is done.
_AT_ONCE = 64
# Out of file descriptors or memory: accept nothing for so long (seconds).
_REST = 0.1
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})
# When all sessions are taken a handshake, or a PROXY header, has so many seconds; a printer's takes five.
_PATIENCE_WHEN_FULL = 6.0
# A TLS client speaks first. One that waits for a banner is none.
_FIRST_OCTETS = 10.0


class Listening:
    """One socket and the sessions that came by it."""

    def __init__(self, door: Door, sock: socket.socket) -> None:
        self.door = door
        self.sock = sock
        self.tasks: set[asyncio.Task[None]] = set()
        self._opening: set[asyncio.Task[None]] = set()  # of them in a PROXY header or a handshake
        self.sessions: set[Session] = set()
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._loop.add_reader(sock.fileno(), self._accept)

    def leave(self) -> None:
        """Accept no more, and leave the socket open; the sessions go on."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self.sock.fileno())

    def close(self) -> None:
        """Accept no more; the sessions go on."""
        self.leave()
        self.sock.close()

    def break_off(self) -> int:
        """End connections that are not sessions yet; how many there were."""
        for task in self._opening:
            task.cancel()
        return len(self._opening)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, address = self.sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(error)
                return
            sock.setblocking(False)
            self._admit(sock, str(address[0]) if address else "")

    def _rest(self, error: OSError) -> None:
        # asyncio's own listeners log this tens of thousands of times a second.
        if error.errno in _NO_DESCRIPTOR:
            self._say_no()
        else:
            self.door.guard.notes.write("connection not accepted", reason=error.strerror)
        self._loop.remove_reader(self.sock.fileno())
        self._loop.call_later(_REST, self._resume)

    def _say_no(self) -> None:
        spare = self.door.guard.spare
        for _ in range(_AT_ONCE):
            knocking = spare.accept(self.sock)
            if knocking is None:
                break
            self._turn_away(*knocking, reply.TOO_MANY_SESSIONS, "no file descriptor is left")
        spare.keep()

    def _resume(self) -> None:
        self.door.guard.spare.keep()
        if self._open:
            self._loop.add_reader(self.sock.fileno(), self._accept)

    def _admit(self, sock: socket.socket, peer: str) -> None:
        listener = self.door.listener
        proxied = bool(listener.proxy_networks) and policy.is_within(listener.proxy_networks, peer)
        # A balancer's address is not the client's: until its header is read it counts as nobody's.
        source = "" if proxied else name_source(peer)
        if not self._may_enter(sock, peer, source):
            return
        task = self._loop.create_task(self._serve(sock, peer, source))
        self.tasks.add(task)
        self._opening.add(task)
        self.door.guard.handshakes[task] = self._loop.time()
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._is_open(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("session failed inside", exc_info=task.exception())

    def _is_open(self, task: "asyncio.Task[None] | None") -> None:
        if task is not None:
            self._opening.discard(task)
            self.door.guard.handshakes.pop(task, None)

    def _make_room(self) -> bool:
        """Break off the handshake that has been going on for the longest time, if that is long enough."""
        handshakes = self.door.guard.handshakes
        oldest = next(iter(handshakes), None)
        if oldest is None or self._loop.time() - handshakes[oldest] < _PATIENCE_WHEN_FULL:
            return False
        del handshakes[oldest]
        oldest.cancel()
        self.door.guard.notes.write("handshake broken off", reason="others need the room")
        return True

    def _may_enter(self, sock: socket.socket, peer: str, source: str) -> bool:
        door = self.door
        if source and door.learning.judge(door.config, door.listener, peer) is Admission.STRANGER:
            self._turn_away(sock, peer, reply.NETWORK_NOT_ALLOWED, "its network is not allowed")
            return False
        sessions = self.door.guard.sessions
        instead = sessions.are_all_taken and self._make_room()
        if not sessions.enter(source, instead=instead):
            self._turn_away(sock, peer, reply.TOO_MANY_SESSIONS, "too many sessions")
            return False
        return True

    def _turn_away(self, sock: socket.socket, peer: str, answer: Reply, reason: str) -> None:
        self.door.guard.notes.write(
            "session refused", client=peer, listener=self.door.listener.address, reason=reason
        )
        record = self.door.recorder.open(peer, self.door.listener.address, "")
        record.said(answer)
        record.close()
        with suppress(OSError):
            if self.door.listener.tls != "implicit":
                sock.send(answer.encode())
            sock.shutdown(socket.SHUT_WR)
            # What lies unread when a socket is closed turns its last octets into a reset.
            sock.recv(65_536)
        sock.close()
        metrics.CONNECTIONS.labels("refused").inc()

    async def _serve(self, sock: socket.socket, peer: str, source: str) -> None:
        entered = True
        try:
            if not source:
                peer = await self._read_client(sock, peer)
                self.door.guard.sessions.leave(source)
                source = name_source(peer)
                entered = self._may_enter(sock, peer, source)
                if not entered:
                    return
            await self._open_session(sock, peer)
        except _NoSession as error:
            # Port scans and broken handshakes: one line each.
            self.door.guard.notes.write(
                str(error), client=peer, listener=self.door.listener.address, **error.facts
            )
            sock.close()
        except BaseException:  # the relay stops, or a fault of its own
            if asyncio.current_task() in self._opening:
                sock.close()
            raise
        finally:
            if entered:
                self.door.guard.sessions.leave(source)

    async def _read_client(self, sock: socket.socket, peer: str) -> str:
        try:
            return await read_client(sock, peer)
        except NotProxied as error:
            record = self.door.recorder.open(peer, self.door.listener.address, "")
            record.note(DeviceFault.BAD_PROXY_HEADER, str(error))
            record.close()
            remedy = "let the balancer send the PROXY protocol, or take it out of proxy_networks"
            raise _NoSession("no PROXY header", reason=str(error), remedy=remedy) from None

    async def _open_session(self, sock: socket.socket, peer: str) -> None:
        session = Session(self.door, self._loop, peer)
        if self.door.listener.tls == "implicit":
            try:
                await self._connect_tls(session, sock)
            except (_NoSession, asyncio.CancelledError):
                session.record.close()
                raise
        else:
            await self._loop.connect_accepted_socket(lambda: session, sock)
        self.sessions.add(session)
        self._is_open(asyncio.current_task())
        metrics.CONNECTIONS.labels("accepted").inc()
        try:
            with metrics.SESSIONS.track_inprogress():
                await session.run()
        finally:
            self.sessions.discard(session)

    async def _connect_tls(self, session: Session, sock: socket.socket) -> None:
        first = await self._first_octets(sock, session)
        session.record.hello(first)
        if not looks_like_tls(first):
            with suppress(OSError):
                sock.send(reply.SPEAK_TLS.encode())
            session.record.note(DeviceFault.PLAIN_ON_TLS_PORT)
            raise _NoSession(
                "plain text on a TLS port",
                remedy="choose SSL/TLS on the device, or give it a listener that offers STARTTLS",
            )
        try:
            await self._loop.connect_accepted_socket(
                lambda: session,
                sock,
                ssl=self.door.context,
                ssl_handshake_timeout=HANDSHAKE,
                ssl_shutdown_timeout=SHUTDOWN,
            )
        except (OSError, EOFError) as error:
            session.record.note(DeviceFault.TLS_FAILED, name_reason(error))
            raise _NoSession("TLS handshake failed", reason=explain(error)) from None
        except asyncio.CancelledError:
            session.record.note(DeviceFault.TIMEOUT, "tls")
            raise

    async def _first_octets(self, sock: socket.socket, session: Session) -> bytes:
        await until_readable(sock, _FIRST_OCTETS)
        try:
            octets = sock.recv(LONGEST_HELLO, socket.MSG_PEEK)
        except BlockingIOError:
            return b""
        except OSError as error:
            session.record.note(DeviceFault.HUNG_UP, "greeting")
            raise _NoSession("connection lost", reason=error.strerror) from None
        if not octets:
            session.record.note(DeviceFault.HUNG_UP, "greeting")
            raise _NoSession("connection closed before TLS")
        return octets


class _NoSession(Exception):  # noqa: N818 - what the client did
    """The connection does not become a session; the text is the log's event."""

    def __init__(self, event: str, **facts: object) -> None:
        super().__init__(event)
        self.facts = facts
