"""The socket by which commands speak to a running service: `state_dir/control.sock`, mode 0600.

One request a connection: a line of JSON with `verb` and its arguments, then `size` octets of content
for `send`; one line of JSON comes back. Commands that find no service take the spool themselves and
use the same verbs, so that the spool has one writer at any time.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from relay.envelope import Envelope, Submission
from relay.intake import Intake
from relay.spool import Spool, SpoolError, State
from relay.trace import describe, describe_life

log = structlog.get_logger("control")
_LONGEST_LINE = 4 * 1024 * 1024  # twenty thousand recipients fit
_BLOCK = 256 * 1024
Answer = dict[str, Any]


class Refused(Exception):  # noqa: N818 - the service's word
    """The service, or the spool, will not; the text is for the operator."""


class NotRunning(Exception):  # noqa: N818 - a state, not an error
    """No service listens on this socket."""


class Verbs:
    """What an operator can ask for."""

    def __init__(self, spool: Spool, wake: Callable[[], None], intake: Intake | None = None) -> None:
        self._spool = spool
        self._wake = wake
        self._intake = intake
        # What other parts of the service can be asked, by the name of the verb.
        self.more: dict[str, Callable[..., Awaitable[Answer]]] = {}

    def find(self, name: str) -> Callable[..., Awaitable[Answer]] | None:
        """The verb of that name, here or in another part of the service."""
        own: Callable[..., Awaitable[Answer]] | None = getattr(self, name, None)
        return self.more.get(name) or own

    async def queue_list(self, states: list[str], limit: int) -> Answer:
        """Messages in these states, oldest first, and how many are in each state."""
        chosen = [State(state) for state in states]
        entries = await self._spool.list(chosen, limit)
        counts = await self._spool.counts()
        return {"messages": [describe(e) for e in entries], "counts": {s.value: n for s, n in counts.items()}}

    async def queue_show(self, queue_id: str) -> Answer:
        """One message."""
        return describe(await self._spool.show(queue_id))

    async def queue_retry(self, queue_ids: list[str]) -> Answer:
        """Try these messages now."""
        return await self._each(queue_ids, self._spool.retry)

    async def queue_hold(self, queue_ids: list[str]) -> Answer:
        """Let these messages wait for a person."""
        return await self._each(queue_ids, self._spool.hold)

    async def queue_release(self, queue_ids: list[str]) -> Answer:
        """Let these held messages go."""
        return await self._each(queue_ids, self._spool.release)

    async def queue_discard(self, queue_ids: list[str]) -> Answer:
        """Throw these messages away."""
        return await self._each(queue_ids, self._spool.discard)

    async def trace(self, queue_id: str) -> Answer:
        """One message's life."""
        entry = await self._spool.show(queue_id)
        attempts = await self._spool.attempts(queue_id)
        return describe_life(entry, attempts)

    async def _each(self, queue_ids: list[str], verb: Callable[[str], Awaitable[None]]) -> Answer:
        done, problems = [], []
        for queue_id in queue_ids:
            try:
                await verb(queue_id)
                done.append(queue_id)
            except SpoolError as error:
                problems.append(f"{queue_id}: {error}")
        self._wake()
        return {"done": done, "problems": problems}

    async def send(
        self, content: asyncio.StreamReader, size: int, reverse_path: str, forward_paths: list[str]
    ) -> Answer:
        """Take a message of `size` octets, as a session would."""
        if self._intake is None:
            raise Refused("this command cannot send")
        writer = self._intake.writer()
        try:
            left = size
            while left:
                block = await content.readexactly(min(left, _BLOCK))
                await asyncio.to_thread(writer.write, block)
                left -= len(block)
            envelope = Envelope(reverse_path, tuple(forward_paths), datetime.now(UTC), listener="control")
            reply = await self._intake.accept(Submission(envelope, writer.finish()), None)
        finally:
            writer.discard()
        return {"code": reply.code, "status": reply.enhanced, "text": reply.text}


class Server:
    """Listens on the socket, for as long as the service runs."""

    def __init__(self, path: Path, verbs: Verbs) -> None:
        self._path = path
        self._verbs = verbs
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Take the place of a dead service's socket.

        Raises:
            OSError: the socket cannot be made.
        """
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_LONGEST_LINE)
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Close and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(reader)
        except (Refused, SpoolError, ValueError, TypeError) as error:
            answer = {"refused": str(error)}
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        except Exception:
            log.exception("control request failed")
            answer = {"refused": "the relay had a fault of its own; its log says more"}
        writer.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        request = json.loads(await reader.readuntil(b"\n"))
        name = request.pop("verb", "")
        verb = None if name.startswith("_") else self._verbs.find(name)
        if verb is None:
            raise Refused(f"the running relay does not know {name!r}; is it of another version?")
        if name == "send":
            request["content"] = reader
        result: Answer = await verb(**request)
        return result


async def call(path: Path, verb: str, content: bytes | None = None, **arguments: Any) -> Answer:
    """Ask the running service.

    Raises:
        NotRunning: there is none.
        Refused: it will not.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=64 * 1024 * 1024)
    except (FileNotFoundError, ConnectionRefusedError):
        raise NotRunning from None
    except PermissionError:
        raise Refused(f"{path}: permission denied; run this as the relay's own user or as root") from None
    try:
        if content is not None:
            arguments["size"] = len(content)
        writer.write(json.dumps({"verb": verb, **arguments}).encode() + b"\n" + (content or b""))
        await writer.drain()
        line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise Refused("the relay closed the connection without an answer; its log says why")
    answer: Answer = json.loads(line)
    if "refused" in answer:
        raise Refused(answer["refused"])
    return answer
