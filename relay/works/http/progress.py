"""How far one exchange has come.

An exception's class cannot tell whether a broken request may have been taken. Two facts can: whether the
kernel took all of the request, and whether a status line came back. The body notes the first when its last
block has gone, the stream the second.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass

OnStatus = Callable[[int], Awaitable[None]]

_ACCEPTED = 202
# The verdict is known by then: what follows only explains it, and may be endless, slow or cut.
_REST_PATIENCE = 10.0  # seconds for the rest of an answer, once its status is known
_ACCEPTED_PATIENCE = 1.0  # likewise of a 202, which is documented to have none: a session waits for it


@dataclass(slots=True, eq=False)
class Progress:
    """What is known of one exchange while it runs."""

    on_status: OnStatus | None = None
    asked: bool = False  # its head has left: what comes now answers it, and not a CONNECT to a proxy
    left: bool = False  # the kernel took the last octet of its body
    tunnel: int | None = None  # the status by which a proxy answered CONNECT
    status: int | None = None  # of the final answer, as soon as its line is whole
    error: Exception | None = None  # by which it broke
    deadline: float | None = None  # in the loop's time: nothing waits beyond it

    async def watch(
        self, body: AsyncGenerator[bytes], sent_within: float, answer_within: float
    ) -> AsyncGenerator[bytes]:
        """The body's blocks. httpcore asks for the next one when the kernel has taken the one before."""
        loop = asyncio.get_running_loop()
        self.asked, self.deadline = True, loop.time() + sent_within
        async with contextlib.aclosing(body) as blocks:
            async for block in blocks:
                yield block
        self.left, self.deadline = True, loop.time() + answer_within

    async def note(self, status: int) -> None:
        """A final answer's status line came: the request's, or a proxy's to CONNECT."""
        if not self.asked:
            self.tunnel = status
        elif self.status is None:
            self.status = status
            if self.on_status is not None:
                await self.on_status(status)
            patience = _ACCEPTED_PATIENCE if status == _ACCEPTED else _REST_PATIENCE
            self.deadline = asyncio.get_running_loop().time() + patience


# A stream is asked to read and to write by httpcore, in the task of the exchange that it works for.
current: ContextVar[Progress] = ContextVar("current")
