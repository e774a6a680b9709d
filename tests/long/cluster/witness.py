"""What the simulated Works saw: each request for a message, from its head to its answer."""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass

from tests.support.windows import most_in


@dataclass(slots=True)
class Seen:
    """One request of the send-mail call."""

    queue_id: str
    began: float  # monotonic, as the other times
    whole: float | None = None  # when its last octet was there; None: it never was, so nothing was taken
    ended: float = float("inf")  # it was answered, or its connection was gone
    status: int = 0


class Witness:
    """Stands before the simulation, and lets its answers take their time.

    Args:
        app: the simulation.
        chance: how long; None: no time.
        longest: seconds that an answer takes at most.
    """

    def __init__(self, app, chance=None, longest=0.15):
        self._app, self._chance, self._longest = app, chance, longest
        self.requests = []

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith("/mail"):
            await self._app(scope, receive, send)
            return
        queue_id = dict(scope["headers"]).get(b"x-relay-queue-id", b"").decode()
        seen = Seen(queue_id, time.monotonic())
        self.requests.append(seen)

        async def answer(message):
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                if self._chance is not None:
                    await asyncio.sleep(self._chance.uniform(0, self._longest))
            await send(message)

        try:
            await self._app(scope, _Receive(receive, seen), answer)
        finally:
            seen.ended = time.monotonic()

    def by_message(self, numbers):
        """The requests of each message, by the number that `numbers` has for its queue id.

        Older releases do not name the message in their requests.
        """
        found = defaultdict(list)
        for one in filter(lambda one: one.queue_id, self.requests):
            found[numbers.get(one.queue_id, one.queue_id)].append(one)
        return found

    def count_most(self, seconds=60.0, of=None):
        """The most requests that came in any span of so many seconds."""
        return most_in(sorted(one.began for one in (self.requests if of is None else of)), seconds)


class _Receive:
    """ASGI's `receive`; the faulty way looks for the transport of uvicorn's own."""

    def __init__(self, receive, seen):
        self._receive, self._seen = receive, seen
        self.__self__ = getattr(receive, "__self__", None)

    async def __call__(self):
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            self._seen.whole = self._seen.whole or time.monotonic()
        return message


def are_at_once(requests):
    """Pairs of requests that Works had whole, and that overlapped."""
    whole = sorted((one for one in requests if one.whole is not None), key=lambda one: one.began)
    return [
        (one, other) for at, one in enumerate(whole) for other in whole[at + 1 :] if other.began < one.ended
    ]
