"""How long a person waits for the spool: until it is known that it does not answer.

The relay itself waits longer for a database that is away. Who looks at it wants to hear that it is.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from relay.spool import Spool, SpoolError

_LOOK_EVERY = 0.5  # seconds
T = TypeVar("T")


async def while_it_answers(spool: Spool, work: Awaitable[T]) -> T:
    """Do what a person asks of the spool.

    What has been sent to a database comes to its end there, also when nobody waits for it any more.

    Raises:
        SpoolError: the spool does not answer.
    """
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=_LOOK_EVERY))[0]:
            if trouble := spool.room().trouble:
                raise SpoolError(trouble)
        return task.result()
    finally:
        task.cancel()
