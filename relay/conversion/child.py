"""The process that converts: one question on its socket, one answer, and again.

A question is JSON behind its length, and comes with a descriptor of the content. The process ends when its
socket does, so it never outlives the relay, however that ended.
"""

import codecs
import contextlib
import encodings
import json
import mmap
import os
import pkgutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import chardet

import relay
from relay.conversion.answer import Asked, NoAnswerError, write_mail, write_refusal
from relay.conversion.confine import confine, leave_files
from relay.conversion.process import ANSWER, CONFINED, QUESTION, UNCONFINED
from relay.mail import Conversion, Policy, Unconvertible
from relay.message import make_mail
from relay.message.recipients import fold_domain
from relay.message.text import charsets, guessing, japanese, labels

# Octets of two that every East Asian charset reads by its tables, and of what libraries load theirs for.
_HIGH = b"\xa4\xa4\xb0\xa1\xc7\xd1 \xe3\x81\x82\xe9"

# Sessions go first, whatever a message costs. Not the lowest priority: a scan must not wait for a whole
# machine that is busy with something else.
_NICE = 10


def serve(questions: socket.socket) -> None:
    """Answer until there are no more questions."""
    while True:
        head, descriptors, _, _ = socket.recv_fds(questions, QUESTION.size, 1)
        if not head:
            return
        (length,) = QUESTION.unpack(head)
        octets = questions.recv(length, socket.MSG_WAITALL)
        try:
            told, made = answer(json.loads(octets), *descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        questions.sendall(ANSWER.pack(len(told), sum(map(len, made))) + told)
        for one in made:
            questions.sendall(one)


def answer(question: dict[str, Any], content: int) -> tuple[bytes, list[bytes]]:
    """What the message becomes, or why it cannot be sent.

    Args:
        question: its size, recipients, and how to convert it.
        content: a descriptor of its octets.
    """
    how = question["conversion"]
    how["losses"] = {name: Policy(policy) for name, policy in how["losses"].items()}
    conversion = Conversion(**{**how, "envelope": tuple(how["envelope"])})
    asked = Asked(question["size"], question["recipients"])
    with mmap.mmap(content, asked.size, access=mmap.ACCESS_READ) as octets:
        try:
            mail = make_mail(octets, asked.forward_paths, conversion, unread=question["unread"])
            with contextlib.suppress(NoAnswerError):
                return write_mail(mail, asked)
            # It would come to a multiple of itself.
            mail = make_mail(octets, asked.forward_paths, conversion, unread=True)
            return write_mail(mail, asked)
        except Unconvertible as error:
            return write_refusal(error), []


def load() -> None:
    """Load whatever a conversion may ever need, for a kernel on which nothing can be opened later."""
    for module in pkgutil.iter_modules(encodings.__path__):
        with contextlib.suppress(LookupError):
            codecs.lookup(module.name)
    for codec in sorted(labels.all_codecs()):
        charsets.decode(_HIGH, codec)
    for codec in ("euc_kr", "euc_jp", "cp950", "big5hkscs", "iso2022_jp_2"):
        _HIGH.decode(codec, "replace")
    japanese.decode_pairs(b"!!")
    fold_domain("é.example")
    guessing.guess_codec(_HIGH)


def enter_confinement() -> bool:
    """Give up what is not needed; whether the kernel can do that."""
    # What is loaded on demand lies beneath these: charsets, and the tables of the library that guesses them.
    modules = [Path(module).parent for module in (os.__file__, chardet.__file__, relay.__file__)]
    reading = leave_files(modules, map(Path, sys.path))
    if not reading:
        load()
    return confine(reading=reading)


def main() -> None:
    """Serve the socket on standard input."""
    # Signals to the whole group are the relay's business: it lets what is under way end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError), socket.socket(fileno=0) as questions:
        questions.sendall(CONFINED if enter_confinement() else UNCONFINED)
        serve(questions)
