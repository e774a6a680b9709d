"""The event loop's side of the converting processes.

One is started with the relay, a second one only when the first has been at work for long.
One that takes too long or dies is replaced; its message goes along as a file, as one does that is not
understood.
"""

import asyncio
import builtins
import contextlib
import io
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from relay.conversion.child import LENGTH, MOST_SECONDS, Answer, Question, Refused
from relay.conversion.process import GO, Process, take
from relay.envelope import Content
from relay.mail import Conversion, Unconvertible
from relay.message import Converted, convert, convert_unread

log = structlog.get_logger("converter")
# A scan takes some 20 ms, twenty of them half a second; who has waited for so long waits for a message
# that is no scan.
_SOON = 3.0  # seconds
_PATIENCE = 2.0 * MOST_SECONDS  # seconds; the CPU may be busy with others
# A second process that was needed once is ended when it was not needed for so long.
_IDLE = 60.0  # seconds


class _BrokeOffError(Exception):
    """The process is gone, or had to be ended."""


class _Child:
    """A converting process, and the pipes to it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._reader = asyncio.StreamReader()
        self._writer: asyncio.WriteTransport
        self._answers: asyncio.ReadTransport

    @classmethod
    async def start(cls) -> "_Child":
        """Start one.

        Raises:
            OSError: it cannot be started.
        """
        process = await asyncio.to_thread(take)
        child, loop = cls(process), asyncio.get_running_loop()
        child._answers, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(child._reader), process.stdout
        )
        child._writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
        child._writer.write(GO)
        return child

    async def ask(self, octets: bytes) -> bytes:
        """The answer to a question.

        Raises:
            OSError, EOFError: it is gone.
        """
        self._writer.write(LENGTH.pack(len(octets)) + octets)
        (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
        return await self._reader.readexactly(length)

    async def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._writer.close()
        self._answers.close()
        await asyncio.to_thread(self._process.wait)


class Converter:
    """Converts messages that lie in files."""

    def __init__(self) -> None:
        self._idle: list[_Child] = []
        self._first, self._second = asyncio.Semaphore(), asyncio.Semaphore()
        self._ending: asyncio.TimerHandle | None = None
        self._warming: asyncio.Task[None] | None = None
        self._tidying: asyncio.Future[list[None]] | None = None

    def start(self) -> None:
        """Have a process ready before it is needed."""
        self._warming = asyncio.create_task(self._warm_up(), name="converter")

    async def _warm_up(self) -> None:
        # Without one, the first message starts it, and says why it cannot.
        with contextlib.suppress(OSError):
            async with self._first:
                if not self._idle:
                    await self._start_first()

    async def _start_first(self) -> None:
        starting = asyncio.ensure_future(_Child.start())
        try:
            self._idle.append(await asyncio.shield(starting))
        except asyncio.CancelledError:
            # A process that is half started would be left behind, with its pipes.
            await (await starting).end()
            raise

    async def convert(self, content: Content, recipients: Sequence[str], conversion: Conversion) -> Converted:
        """What the message becomes.

        Raises:
            Unconvertible: it cannot be sent.
            OSError: its file is gone or cannot be read.
        """
        path = content.path
        if path is None or not content.size:
            return convert(content.data or b"", recipients, conversion)
        conversion = replace(conversion, losses=dict(conversion.losses))  # a proxy of one does not travel
        question = Question(str(path), content.size, tuple(recipients), conversion)
        turn = await self._take_turn()
        try:
            child = self._idle.pop() if self._idle else await _Child.start()
            told = await self._ask(child, question)
        except OSError as error:
            log.warning("no process for conversions; a thread does it", reason=error.strerror)
            return await asyncio.to_thread(_convert_here, path, question)
        except _BrokeOffError:
            log.error("conversion broke off; the message goes along as a file", size=content.size)
            return await asyncio.to_thread(_convert_here, path, question, unread=True)
        finally:
            turn.release()
        if isinstance(told, Refused):
            raise Unconvertible(told.status, told.reason)
        if isinstance(told, OSError):
            raise told
        return told

    async def _take_turn(self) -> asyncio.Semaphore:
        try:
            async with asyncio.timeout(_SOON):
                await self._first.acquire()
        except TimeoutError:
            await self._second.acquire()
            return self._second
        return self._first

    async def _ask(self, child: _Child, question: Question) -> Answer:
        octets = pickle.dumps(question, pickle.HIGHEST_PROTOCOL)
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await child.ask(octets)
        except (TimeoutError, OSError, EOFError):
            await child.end()
            raise _BrokeOffError from None
        except BaseException:
            await child.end()
            raise
        self._idle.append(child)
        self._tidy_later()
        told: Answer = _Unpickler(io.BytesIO(answer)).load()
        return told

    def _tidy_later(self) -> None:
        if self._ending is None and len(self._idle) > 1:
            self._ending = asyncio.get_running_loop().call_later(_IDLE, self._tidy)

    def _tidy(self) -> None:
        self._ending = None
        needless, self._idle = self._idle[1:], self._idle[:1]
        self._tidying = asyncio.gather(*(child.end() for child in needless))

    async def stop(self) -> None:
        """End them; nothing is asked any more."""
        if self._ending is not None:
            self._ending.cancel()
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        if self._tidying is not None:
            await self._tidying
        idle, self._idle = self._idle, []
        await asyncio.gather(*(child.end() for child in idle))


class _Unpickler(pickle.Unpickler):
    """Knows what an answer is made of and nothing else: the other process has read a stranger's octets."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("relay.message.") or module in _MODULES:
            return super().find_class(module, name)
        # OSError becomes one of its own kinds by its number.
        if module == "builtins" and issubclass(getattr(builtins, name, object), OSError):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}")


_MODULES = ("relay.mail", "relay.conversion.child")


def _convert_here(path: Path, question: Question, *, unread: bool = False) -> Converted:
    with Content(question.size, "", path=path).map() as content:
        if unread:
            return convert_unread(content, question.recipients, question.conversion)
        return convert(content, question.recipients, question.conversion)
