"""How a command asks a running service by its control socket; `control` says what goes over it.

Apart from the service's side, which imports most of the relay: a command that only asks begins without that.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

Answer = dict[str, Any]
_LONGEST_ANSWER = 64 * 1024 * 1024
_BLOCK = 256 * 1024


class Refused(Exception):  # noqa: N818 - the service's word
    """The service, or the spool, will not; the text is for the operator."""


class NotRunning(Exception):  # noqa: N818 - a state, not an error
    """No service listens on this socket."""


class NotAllowed(Refused):
    """The socket belongs to another user."""


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


async def ask_state(path: Path) -> Answer | None:
    """How the running service is, as `relay status --json` has it; None where none runs, or may be asked."""
    try:
        return await call(path, "state")
    except (NotRunning, Refused):
        return None


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
