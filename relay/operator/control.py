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
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import structlog

from relay.operator.asking import ask
from relay.operator.verbs import Answer, Refused, Verbs
from relay.spool import SpoolError

log = structlog.get_logger("control")
_LONGEST_LINE = 4 * 1024 * 1024  # twenty thousand recipients fit
_LONGEST_ANSWER = 64 * 1024 * 1024
_BLOCK = 256 * 1024
# Requests under way; more of them are told so. A request's line comes within so many seconds.
_MOST_CONNECTIONS, _HEAD_PATIENCE = 50, 10.0
_TOO_MANY = b'{"refused": "too many requests at once; ask again"}\n'
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
__all__ = ["NotAllowed", "NotRunning", "Refused", "Server", "call"]


class NotRunning(Exception):  # noqa: N818 - a state, not an error
    """No service listens on this socket."""


class NotAllowed(Refused):
    """The socket belongs to another user."""


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


async def call(path: Path, verb: str, content: bytes | BinaryIO | None = None, **arguments: Any) -> Answer:
    """Ask the running service.

    Args:
        path: the service's socket.
        verb: what is asked for.
        content: octets that go along; a file is read block by block from where it stands to its end.
        arguments: the verb's.

    Raises:
        NotRunning: there is none.
        NotAllowed: the socket is another user's.
        Refused: it will not.
        OSError: the file cannot be read.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=_LONGEST_ANSWER)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        raise NotRunning from None
    except PermissionError:
        raise NotAllowed(f"{path}: permission denied; run this as the relay's own user or as root") from None
    try:
        if content is not None:
            arguments["size"] = _measure(content)
        writer.write(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
        for block in _blocks(content):
            writer.write(block)
            await writer.drain()
        line = await reader.readline()
    except ConnectionError:
        line = b""
    finally:
        writer.close()
    if not line:
        raise Refused("the relay closed the connection without an answer; its log says why")
    said: Answer = json.loads(line)
    if "answer" not in said:
        raise Refused(said.get("refused", "the running relay is of another version; restart it"))
    answer: Answer = said["answer"]
    return answer


def _measure(content: bytes | BinaryIO) -> int:
    if isinstance(content, bytes):
        return len(content)
    here = content.tell()
    size = content.seek(0, os.SEEK_END) - here
    content.seek(here)
    return size


def _blocks(content: bytes | BinaryIO | None) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
    elif content is not None:
        while block := content.read(_BLOCK):
            yield block
