"""uvicorn's HTTP/1.1 with limits: how many connections, and how long a client may owe something.

uvicorn gives a request that has begun, and an answer that nobody reads, as long as they like.
"""

import asyncio
from typing import ClassVar

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

# Seconds for a request's head, and for the end of its body or each so many octets of it.
_REQUEST_PATIENCE, _STEP = 10.0, 16 * 1024
_ANSWER_PATIENCE = 30.0  # for the next octets of an answer to be read


class _Limited(H11Protocol):
    most: ClassVar[int]
    _owed: asyncio.TimerHandle | None = None  # the rest of a request
    _unread: asyncio.TimerHandle | None = None  # the rest of an answer
    _octets = 0  # that came since the time for the rest began

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._wait()

    @override
    def data_received(self, data: bytes) -> None:
        self._octets += len(data)
        super().data_received(data)

    @override
    def handle_events(self) -> None:
        super().handle_events()
        is_body = self.conn.their_state is h11.SEND_BODY
        is_head = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not (is_body or is_head):
            self._owed = _end(self._owed)
        elif self._owed is None or (is_body and self._octets >= _STEP):
            self._wait()

    def _wait(self) -> None:
        self._octets = 0
        _end(self._owed)
        self._owed = self.loop.call_later(_REQUEST_PATIENCE, self._give_up)

    def _give_up(self) -> None:
        if self.flow.read_paused:
            self._wait()  # it is the application that takes its time
        else:
            self.transport.abort()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(_ANSWER_PATIENCE, self.transport.abort)

    @override
    def resume_writing(self) -> None:
        self._unread = _end(self._unread)
        super().resume_writing()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._owed, self._unread = _end(self._owed), _end(self._unread)
        super().connection_lost(exc)


def limit(most: int) -> type[H11Protocol]:
    """The protocol, with at most so many connections of a server at once."""
    return type("Limited", (_Limited,), {"most": most})


def _end(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Stop a timer; None."""
    if timer is not None:
        timer.cancel()
    return None
