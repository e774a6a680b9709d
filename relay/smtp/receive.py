"""Content on its way in: its end, and limits as the octets come.

What does not fit is thrown away as it comes, so that the client hears why at the end.
"""

import asyncio
import re

from relay import reply
from relay.envelope import Content
from relay.host.content import ContentWriter
from relay.reply import Rejected, Reply
from relay.smtp.data import ChunkDecoder, DataDecoder
from relay.smtp.limits import Budget, Holding
from relay.smtp.sink import Sink
from relay.smtp.stream import Stream
from relay.smtp.timeouts import Pace

# The ends that some devices give to their data; they are none (RFC 5321 §4.1.1.4).
_BARE_ENDS = (b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n")


class Overrun(Exception):  # noqa: N818 - what the client did
    """The content went on beyond twice the limit."""


# A number of more digits is no size of anything (RFC 3030 §2, RFC 1870 §6).
_CHUNK = re.compile(r"([0-9]{1,20})(?:\s+(LAST))?", re.ASCII | re.IGNORECASE)


def read_chunk_size(argument: str) -> tuple[int, bool] | None:
    """How many octets BDAT with this argument announces, and whether they are the last."""
    found = _CHUNK.fullmatch(argument)
    return (int(found[1]), found[2] is not None) if found else None


async def skip(stream: Stream, pace: Pace, octets: int) -> None:
    """Throw away so many octets.

    Raises:
        ConnectionError: the client left.
    """
    loop = asyncio.get_running_loop()
    pace.begin_content(loop.time())
    while octets:
        block = await stream.block(octets)
        octets -= len(block)
        pace.count(loop.time(), len(block))
    pace.end_content(loop.time())


class Receiver:
    """One message's content, from the stream into the spool's writer.

    Args:
        stream: Where it comes from.
        writer: Where it goes; `finish` or `discard` ends it.
        limit: Octets that the message may have (RFC 1870); 0: any.
        pace: Told what arrives.
        budget: Told what is held.
    """

    def __init__(self, stream: Stream, writer: ContentWriter, limit: int, pace: Pace, budget: Budget) -> None:
        self._stream = stream
        self._limit = limit
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._chunks = ChunkDecoder()
        self._sink = Sink(writer)
        self._holding = Holding(budget)
        self._refusal: Reply | None = None
        self.arrived = 0  # octets of content
        self._tail = b""
        if budget.memory_is_short:
            writer.keep_in_file()

    @property
    def ends_barely(self) -> bool:
        """Whether the last octets are an end of data with bare line ends, which does not count as one."""
        return self._tail.endswith(_BARE_ENDS)

    async def read_data(self) -> None:
        """Read up to CRLF.CRLF.

        Raises:
            Overrun: there is no end in sight.
            ConnectionError: the client left.
        """
        decoder = DataDecoder()
        self._pace.begin_content(self._loop.time())
        while not decoder.done:
            block = await self._stream.block()
            self._pace.count(self._loop.time(), len(block))
            self._tail = block[-4:] if len(block) > 3 else (self._tail + block)[-4:]  # noqa: PLR2004
            await self._take(decoder.feed(block))
        self._stream.unread(decoder.rest)
        self._pace.end_content(self._loop.time())

    async def read_chunk(self, size: int, *, last: bool) -> None:
        """Read so many octets (RFC 3030).

        Raises:
            Overrun: the chunk, or all of them, are beyond twice the limit.
            ConnectionError: the client left.
        """
        if self._limit and self.arrived + size > 2 * self._limit:
            raise Overrun
        self._pace.begin_content(self._loop.time())
        while size:
            block = await self._stream.block(size)
            size -= len(block)
            self._pace.count(self._loop.time(), len(block))
            await self._take(self._chunks.feed(block))
        if last:
            await self._take(self._chunks.feed(b"", last=True))
            self._pace.end_content(self._loop.time())

    async def _take(self, content: bytes) -> None:
        if not content:
            return
        self.arrived += len(content)
        if self._limit and self.arrived > self._limit:
            if self.arrived > 2 * self._limit:
                raise Overrun
            self.refuse(reply.TOO_LARGE)
        if self.refusal is None:
            self._holding.take(len(content), in_memory=self._sink.keeps_in_memory(len(content)))
            await self._sink.put(content)

    @property
    def refusal(self) -> Reply | None:
        """Why it is not taken, as far as that is known."""
        return self._refusal or self._sink.failure

    def refuse(self, refusal: Reply) -> None:
        """Take no more of it; the first reason is the one that is said."""
        self._refusal = self.refusal or refusal
        self._sink.drop()

    @property
    def is_finished(self) -> bool:
        """Whether `finish` has given the content away: nothing is left to throw away."""
        return self._sink.is_finished

    async def finish(self) -> Content:
        """The content, whole.

        Raises:
            Rejected: it was refused on the way, or cannot be kept.
        """
        await self._sink.drain()
        if self.refusal is not None:
            raise Rejected(self.refusal)
        return self._sink.finish()

    def release(self) -> None:
        """Count the message's octets no longer: it is kept or refused."""
        self._holding.release()

    async def discard(self) -> None:
        """Throw away what was written."""
        self._pace.end_content(self._loop.time())
        self.release()
        await self._sink.discard()
