"""Ports that systemd holds open and no listener has: whoever comes is told so, and the doctor hears of it.

A client would wait there for an answer that nobody gives.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog

from relay import reply
from relay.devices.recorder import Recorder
from relay.host.systemd import PassedSocket

log = structlog.get_logger("smtp")
_AT_ONCE = 20  # connections that are answered before others have their turn


class DeadPorts:
    """Answers 421 on some sockets, until each is given to a listener."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._watched: dict[int, Callable[[], object]] = {}  # by descriptor, how it is left

    def watch(self, sockets: Iterable[PassedSocket]) -> None:
        """Answer whoever comes to these."""
        loop = asyncio.get_running_loop()
        for passed in sockets:
            sock = passed.socket
            if sock.fileno() in self._watched:
                continue
            log.warning(
                "socket without a listener",
                address=str(passed),
                name=passed.name,
                remedy="add a [[listener]] with this port, or take it out: sudo relay install",
            )
            sock.setblocking(False)
            loop.add_reader(sock.fileno(), self._answer, sock, str(passed))
            self._watched[sock.fileno()] = _leaving(loop, sock.fileno())

    def leave(self, sock: socket.socket) -> None:
        """Answer nobody any more on this one: a listener has it."""
        leave = self._watched.pop(sock.fileno(), None)
        if leave is not None:
            leave()

    def stop(self) -> None:
        """Answer nobody any more."""
        for leave in self._watched.values():
            leave()
        self._watched.clear()

    def _answer(self, sock: socket.socket, address: str) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, peer = sock.accept()
            except OSError:  # there is nobody else, or no descriptor
                return
            record = self._recorder.open(peer[0], address, "")
            record.said(reply.NO_LISTENER)
            record.close()
            with client, suppress(OSError):
                client.setblocking(False)
                client.send(reply.NO_LISTENER.encode())
                client.shutdown(socket.SHUT_WR)
                # What lies unread when a socket is closed turns its last octets into a reset.
                client.recv(65_536)


def _leaving(loop: asyncio.AbstractEventLoop, descriptor: int) -> Callable[[], object]:
    return lambda: loop.remove_reader(descriptor)
