"""A file descriptor kept for the day when no other is left: it is given up to hear who knocks and say no.

Without it a connection stays in the kernel's queue, where its client hears nothing and the event loop
hears of it without end.
"""

import os
import socket
from contextlib import suppress


class ReserveDescriptor:
    """One descriptor in reserve."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def keep(self) -> None:
        """Take a descriptor into reserve, if there is none and one is to be had."""
        if self._descriptor is None:
            with suppress(OSError):
                self._descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def accept(self, listening: socket.socket) -> tuple[socket.socket, str] | None:
        """The next connection and its client's address, in place of the reserve; None if there is none.

        Whoever has it closes it and calls `keep`.
        """
        self.drop()
        try:
            sock, address = listening.accept()
        except OSError:
            return None
        sock.setblocking(False)
        return sock, str(address[0]) if address else ""

    def drop(self) -> None:
        """Give the reserve up."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
