"""Octets between the transport and a session: lines and blocks come out, replies go in.

asyncio's StreamReader copies every octet three times and its limit counts lines; this one hands the
transport's own blocks on, stops reading as soon as more than `_HIGH` octets wait, and sends all
replies to pipelined commands in one write (RFC 2920 §3.2).
"""

import asyncio
from collections.abc import Callable

# More than this waiting to be read, and the client has to wait.
_HIGH = 64 * 1024


class LineTooLong(Exception):  # noqa: N818 - what the client did
    """A line has no end within the limit."""


class Stream:
    """One connection's two directions."""

    __slots__ = (
        "_at",
        "_data",
        "_discards",
        "_drained",
        "_end",
        "_loop",
        "_out",
        "_waiter",
        "hold",
        "paused",
        "transport",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, hold: Callable[[int], None]) -> None:
        self._loop = loop
        self.transport: asyncio.Transport | None = None
        self.hold = hold  # told how many octets of memory were taken, or given back
        self._data = b""
        self._at = 0  # what lies before it was read
        self._out: list[bytes] = []
        self._end: BaseException | None = None  # why nothing more will come
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self.paused = False  # nothing is read for now, and so nobody notices when the client is gone
        self._discards = False  # what comes is of no interest any more

    def feed(self, data: bytes) -> None:
        """The transport read this."""
        if self._discards:
            return
        self._data = self._data[self._at :] + data if len(self._data) > self._at else data
        self._at = 0
        self.hold(len(data))
        if len(self._data) > _HIGH and not self.paused and self.transport is not None:
            self.paused = True
            self.transport.pause_reading()
        self._wake()

    def feed_end(self, error: BaseException) -> None:
        """Nothing more will come; what has come can still be read."""
        if self._end is None:
            self._end = error
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Whoever reads hears this at once, and what has come is forgotten."""
        self._forget()
        self._end = error
        self._wake()
        self.resume_writing()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def pause_writing(self) -> None:
        """The client does not take what was written."""
        if self._drained is None:
            self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """It does again, or it is gone."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    @property
    def pending(self) -> int:
        """How many octets wait to be read."""
        return len(self._data) - self._at

    def peek(self, count: int) -> bytes:
        """The next octets, left where they are."""
        return self._data[self._at : self._at + count]

    async def more(self) -> None:
        """Wait until something new comes.

        Raises:
            What ended the stream.
        """
        if self._end is not None:
            raise self._end
        if self._out:
            await self.flush()
        self.resume_reading()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def resume_reading(self) -> None:
        """Read on."""
        if self.paused and self.transport is not None:
            self.paused = False
            self.transport.resume_reading()

    async def line(self, limit: int) -> bytes:
        """The next line, its line end taken off.

        Raises:
            LineTooLong: it has more octets than `limit`.
            What ended the stream, if there is no whole line before its end.
        """
        while True:
            end = self._data.find(b"\n", self._at, self._at + limit)
            if end >= 0:
                return self._take(end + 1 - self._at).rstrip(b"\r\n")
            if self.pending >= limit:
                raise LineTooLong
            seen = self.pending
            while self.pending == seen:
                await self.more()

    async def block(self, most: int = 0) -> bytes:
        """What has come, at least one octet; at most `most` of them, if that is not 0.

        Raises:
            What ended the stream.
        """
        while not self.pending:
            await self.more()
        return self._take(min(most, self.pending) if most else self.pending)

    def _take(self, count: int) -> bytes:
        taken = self._data if count == len(self._data) else self._data[self._at : self._at + count]
        self._at += count
        self.hold(-count)
        if self._at == len(self._data):
            self._data, self._at = b"", 0
        return taken

    def unread(self, data: bytes) -> None:
        """Put back what was read too far."""
        if data:
            self.hold(len(data))
            self._data, self._at = data + self._data[self._at :], 0

    def _forget(self) -> None:
        self.hold(-self.pending)
        self._data, self._at = b"", 0

    def forget(self) -> int:
        """Throw away what waits to be read, and say how much it was."""
        count = self.pending
        self._forget()
        return count

    @property
    def ended(self) -> bool:
        """Whether the client sends no more, or is gone."""
        return self._end is not None

    def discard(self) -> None:
        """Throw away what waits to be read and what comes from now on."""
        self._discards = True
        self._forget()

    async def linger(self, seconds: float) -> None:
        """Stop sending, and read for so long what the client still sends, until it stops too.

        A socket that is closed with unread input is reset, and the client may lose the last replies.
        """
        self.discard()
        if self.transport is None or self.transport.is_closing():
            return
        await self.flush()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.resume_reading()
        if not isinstance(self._end, EOFError | ConnectionError):
            self._end = None
            self._waiter = self._loop.create_future()
            await asyncio.wait({self._waiter}, timeout=seconds)

    def put(self, reply: bytes) -> None:
        """Send this with the next flush."""
        self._out.append(reply)

    @property
    def owes(self) -> bool:
        """Whether anything was put that the kernel does not have yet."""
        return bool(self._out) or self._drained is not None

    async def flush(self) -> None:
        """Send what was put; returns when the kernel, or a small buffer before it, has it.

        Raises:
            ConnectionError: the client is gone.
        """
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        if self._out:
            self.transport.write(b"".join(self._out))
            self._out.clear()
        if self._drained is not None:
            await self._drained
