"""The event loop's side of the converting processes.

One is started with the relay, a second one only when the first has been at work for long (`turns`). One that
died while nobody needed it is replaced before it is asked. One that dies over a message is replaced, and the
message is tried once more: most likely the machine was short of memory. Only when that fails too, or when it
takes too long, the message goes along as a file, with what its header says; the relay never reads it itself.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import fields

import structlog

from relay.conversion.answer import Asked, NoAnswerError, may_have, read_answer
from relay.conversion.process import ANSWER, CONFINED, GO, QUESTION, UNCONFINED, Process, take
from relay.conversion.turns import Turns
from relay.envelope import Content
from relay.mail import Conversion, Mail, Unconvertible
from relay.message import Converted, convert, make_requests, name_again
from relay.message.text import budget
from relay.message.text.effort import costs_little

Aside = Callable[[], AbstractAsyncContextManager[None]]

log = structlog.get_logger("converter")
# The worst message that is known to be within the limits takes some seconds; the CPU may be busy with others.
_PATIENCE = 60.0  # seconds
_START_PATIENCE = 60.0  # seconds, for a process to be ready
# A second process that was needed once is ended when it was not needed for so long.
_IDLE = 60.0  # seconds
# An answer of so many octets, or of so many in its JSON (a file's take some 70), is read in a thread, and so
# many files become requests in one.
_LARGE, _LARGE_JSON, _MANY = 192 * 1024, 4 * 1024, 50


class ConversionError(Exception):
    """No process converts this message: the machine's trouble, not the message's."""


class _BrokeOffError(Exception):
    """The process is gone, or what it says is no answer."""


class _TooLongError(Exception):
    """The process had to be ended."""


class _Child:
    """A converting process, and the socket to it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._socket = process.socket

    @classmethod
    async def start(cls, begin: Callable[[], Process]) -> "_Child":
        """Start one, and wait until it is ready.

        Raises:
            OSError: it cannot be started.
        """
        child = cls(await asyncio.to_thread(begin))
        try:
            async with asyncio.timeout(_START_PATIENCE):
                await child._send(GO)
                await child._be_ready()
        except BaseException:
            await child.end()
            raise
        return child

    async def _be_ready(self) -> None:
        said = await asyncio.get_running_loop().sock_recv(self._socket, 200)
        if said == UNCONFINED:
            log.warning("the kernel does not confine the converting process; its limits hold")
        elif said != CONFINED:
            raise ChildProcessError(
                f"the converting process does not start: {said[1:].decode('ascii', 'replace')}"
            )

    @property
    def is_alive(self) -> bool:
        """Whether it runs, as far as is known."""
        return self._process.popen.poll() is None

    async def ask(self, question: bytes, content: int, asked: Asked) -> tuple[bytes, bytes]:
        """The answer to a question: its JSON, and what was made.

        Raises:
            OSError, EOFError: the process is gone.
            NoAnswerError: it says more than an answer may have.
        """
        # The descriptor goes with the first octets: so few always fit.
        socket.send_fds(self._socket, [QUESTION.pack(len(question))], [content])
        await self._send(question)
        head, made = ANSWER.unpack(await self._receive(ANSWER.size))
        if not may_have(head, made, asked):
            raise NoAnswerError("too long")
        return bytes(await self._receive(head)), bytes(await self._receive(made))

    async def _send(self, octets: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, octets)

    async def _receive(self, length: int) -> bytearray:
        octets = bytearray(length)
        view, loop = memoryview(octets), asyncio.get_running_loop()
        while view:
            count = await loop.sock_recv_into(self._socket, view)
            if not count:
                raise EOFError
            view = view[count:]
        return octets

    async def end(self) -> None:
        """End it, whatever it does."""
        self._process.popen.kill()
        self._socket.close()
        await asyncio.to_thread(self._process.popen.wait)


class Converter:
    """Converts messages."""

    def __init__(
        self, begin: Callable[[], Process] = take, report: Callable[[str], None] = lambda _: None
    ) -> None:
        """Args:
        begin: starts a process; another one than ours in tests.
        report: told why large messages cannot be converted; "" when one was, again.
        """
        self._begin = begin
        self._report = report
        self._idle: list[_Child] = []
        self._turns = Turns()
        self._ending: asyncio.TimerHandle | None = None
        self._warming: asyncio.Task[None] | None = None
        self._tidying: asyncio.Future[list[None]] | None = None

    def start(self) -> None:
        """Have a process ready before it is needed."""
        self._warming = asyncio.create_task(self._warm_up(), name="converter")

    async def _warm_up(self) -> None:
        # Without one, the first message starts it.
        try:
            async with self._turns.turn(""):
                if not self._idle:
                    await self._start_first()
        except OSError as error:
            self._report(_cannot_start(error))

    async def _start_first(self) -> None:
        starting = asyncio.ensure_future(_Child.start(self._begin))
        try:
            self._idle.append(await asyncio.shield(starting))
        except asyncio.CancelledError:
            # A process that is half started would be left behind, with its socket.
            await (await starting).end()
            raise

    async def convert(
        self,
        content: Content,
        recipients: Sequence[str],
        conversion: Conversion,
        aside: Aside = nullcontext,
        line: str = "",
    ) -> Converted:
        """What the message becomes.

        Args:
            content: the message.
            recipients: of the envelope, who are still to be served.
            conversion: how.
            aside: entered while a process is waited for, which may take long.
            line: whose message it is (Envelope.line); they take turns at the processes.

        Raises:
            Unconvertible: it cannot be sent.
            OSError: its file is gone or cannot be read, or no process can be started.
            ConversionError: every process that was asked is gone.
        """
        if content.data is not None and costs_little(content.data):
            with contextlib.suppress(budget.TooDearError), budget.bounded(strict=True):
                return convert(content.data, recipients, conversion)
        async with aside():
            mail = await self._make_mail(content, Asked(content.size, recipients), conversion, line)
        mail = await _name(mail, content, conversion)
        if len(mail.body) > _LARGE or len(mail.attachments) > _MANY:
            return await asyncio.to_thread(make_requests, mail, recipients, conversion)
        return make_requests(mail, recipients, conversion)

    async def _make_mail(self, content: Content, asked: Asked, conversion: Conversion, line: str) -> Mail:
        with contextlib.suppress(_TooLongError):
            for again in (False, True):
                try:
                    return await self._ask_one(content, asked, conversion, line)
                except _BrokeOffError as error:
                    log.error("conversion broke off", size=asked.size, again=again, reason=str(error))
        log.error("the message takes too much to be read, and goes along as a file", size=asked.size)
        try:
            return await self._ask_one(content, asked, conversion, line, unread=True)
        except (_BrokeOffError, _TooLongError) as error:
            self._report("every process that was to convert a message ended over it")
            raise ConversionError("no process converts the message") from error

    async def _ask_one(
        self, content: Content, asked: Asked, conversion: Conversion, line: str, *, unread: bool = False
    ) -> Mail:
        question = _write_question(asked, conversion, unread=unread)
        async with self._turns.turn(line):
            with _open(content) as descriptor:
                return await self._ask(await self._take_child(), question, descriptor, asked)

    async def _take_child(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
            await child.end()
        try:
            return await _Child.start(self._begin)
        except OSError as error:
            self._report(_cannot_start(error))
            raise

    async def _ask(self, child: _Child, question: bytes, content: int, asked: Asked) -> Mail:
        try:
            async with asyncio.timeout(_PATIENCE):
                mail = await _read(await child.ask(question, content, asked), asked)
        except Unconvertible:
            self._keep(child)
            raise
        except BaseException as error:
            await child.end()
            if isinstance(error, TimeoutError):
                raise _TooLongError from None
            if isinstance(error, OSError | EOFError | NoAnswerError):
                raise _BrokeOffError(type(error).__name__) from None
            raise
        self._keep(child)
        return mail

    def _keep(self, child: _Child) -> None:
        self._report("")
        self._idle.append(child)
        if self._ending is None and len(self._idle) > 1:
            self._ending = asyncio.get_running_loop().call_later(_IDLE, self._tidy)

    def _tidy(self) -> None:
        self._ending = None
        self._turns.close_others()
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


def _cannot_start(error: OSError) -> str:
    return f"no process that converts large messages can be started: {error.strerror or error}"


async def _read(answer: tuple[bytes, bytes], asked: Asked) -> Mail:
    """The mail that was answered.

    Raises:
        Unconvertible: the message cannot be sent.
        NoAnswerError: it is no answer.
    """
    if len(answer[0]) <= _LARGE_JSON and len(answer[1]) <= _LARGE:
        return read_answer(*answer, asked)
    return await asyncio.to_thread(read_answer, *answer, asked)


async def _name(mail: Mail, content: Content, conversion: Conversion) -> Mail:
    """The mail with the display name that the configuration allows it, whatever the process said."""

    def name() -> Mail:
        with content.map() as octets:
            return name_again(mail, octets, conversion)

    return await asyncio.to_thread(name) if conversion.own_name_only else name_again(mail, b"", conversion)


def _write_question(asked: Asked, conversion: Conversion, *, unread: bool) -> bytes:
    how = {one.name: getattr(conversion, one.name) for one in fields(conversion)}
    how["losses"] = dict(conversion.losses)  # a proxy of one is no JSON
    told = {
        "size": asked.size,
        "recipients": list(asked.forward_paths),
        "conversion": how,
        "unread": unread,
    }
    return json.dumps(told).encode()


@contextmanager
def _open(content: Content) -> Iterator[int]:
    """A descriptor from which the content can be read.

    Raises:
        OSError: its file is gone or cannot be read.
    """
    if content.path is not None:
        descriptor = os.open(content.path, os.O_RDONLY | os.O_CLOEXEC)
    else:
        descriptor = os.memfd_create("message")
    try:
        if content.path is None:
            os.write(descriptor, content.data or b"")
        yield descriptor
    finally:
        os.close(descriptor)
