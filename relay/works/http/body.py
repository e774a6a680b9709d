"""The blocks of a request's body, read from a map of the content without holding up the event loop.

A map faults on disk: a slow disk would stop every session for as long as it takes. Large bodies are
therefore read by a few threads, some blocks at a time and one step ahead of the socket.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from relay.envelope import Content
from relay.message.payload import Payload

# Below this a body is in the page cache, and a thread would cost more than the read.
_SMALL = 256 * 1024  # octets
_STEP = 4  # blocks that a thread reads at a time

_readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="body")


async def stream_blocks(payload: Payload, content: Content) -> AsyncGenerator[bytes]:
    """The body's blocks.

    Raises:
        OSError: the content's file is gone or cannot be read.
    """
    with content.map() as octets:
        blocks = payload.blocks(octets)
        try:
            if payload.length <= _SMALL:
                for block in blocks:
                    yield block
                return
            async for block in _read_ahead(blocks):
                yield block
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:  # a generator holds views of the map, which could not be closed
                close()


async def _read_ahead(blocks: Iterator[bytes]) -> AsyncGenerator[bytes]:
    loop = asyncio.get_running_loop()

    def start() -> asyncio.Future[list[bytes]]:
        return loop.run_in_executor(_readers, lambda: list(islice(blocks, _STEP)))

    ahead = start()
    try:
        while step := await ahead:
            ahead = start()
            for block in step:
                yield block
    finally:
        # The thread must be out of the map before it is closed, whatever ended this.
        await _finish(ahead)


async def _finish(future: asyncio.Future[list[bytes]]) -> None:
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if not future.cancelled():
        future.exception()  # seen; what matters was raised where the blocks are awaited
    if cancelled is not None:
        raise cancelled
