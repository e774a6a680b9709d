"""The socket by which commands speak to a running service: `state_dir/control.sock`, mode 0600.

One request a connection: a line of JSON with `verb` and its arguments, then `size` octets of content
for `send`; one line of JSON comes back, `{"answer": …}` or `{"refused": "why"}`. Commands that find no
service take the spool themselves and use the same verbs, so that the spool has one writer at any time.
"""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from relay.operator.asking import ask
from relay.operator.calling import Answer, Refused
from relay.operator.verbs import Verbs
from relay.spool import SpoolError

log = structlog.get_logger("control")
_LONGEST_LINE = 4 * 1024 * 1024  # twenty thousand recipients fit
# Requests under way; more of them are told so. A request's line comes within so many seconds.
_MOST_CONNECTIONS, _HEAD_PATIENCE = 50, 10.0
_TOO_MANY = b'{"refused": "too many requests at once; ask again"}\n'
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Server:
    """Listens on the socket, for as long as the service runs."""

    def __init__(self, path: Path, verbs: Verbs) -> None:
        self._path = path
        self._verbs = verbs
        self._server: asyncio.Server | None = None
        self._open = 0  # connections that are served

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
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:  # a disk that the kernel has made read-only; the next start removes it
                log.warning("the control socket cannot be removed", reason=error.strerror)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= _MOST_CONNECTIONS:
            writer.write(_TOO_MANY)
            writer.close()
            return
        self._open += 1
        try:
            await self._serve_request(reader, writer)
        finally:
            self._open -= 1
            writer.close()

    async def _serve_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            said: Answer = {"answer": await self._answer(reader, _find_asker(writer))}
        except (Refused, SpoolError, ValueError, TypeError) as error:
            said = {"refused": str(error)}
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            return
        except Exception:
            log.exception("control request failed")
            said = {"refused": "the relay had a fault of its own; its log says more"}
        writer.write(json.dumps(said, ensure_ascii=False).encode() + b"\n")
        with suppress(ConnectionError):
            await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, asker: Mapping[str, int]) -> Answer:
        async with asyncio.timeout(_HEAD_PATIENCE):
            request = json.loads(await reader.readuntil(b"\n"))
        name = request.pop("verb", "")
        if name == "send":
            request["content"] = reader
        return await ask(self._verbs, asker, name, request)


def _find_asker(writer: asyncio.StreamWriter) -> dict[str, int]:
    """The process on the other side and its user (unix(7), SO_PEERCRED); empty where they are not known."""
    connected = writer.get_extra_info("socket")
    try:
        found = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except (AttributeError, OSError):
        return {}
    pid, uid, _ = _CREDENTIALS.unpack(found)
    return {"uid": uid, "pid": pid}
