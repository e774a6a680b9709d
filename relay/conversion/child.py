"""The process that converts: one question on standard input, one answer on standard output, and again.

Questions and answers are pickles behind their length. It ends when its input does, so it never outlives the
relay, however that ended.
"""

import contextlib
import pickle
import resource
import signal
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from relay.envelope import Content
from relay.mail import Conversion, Unconvertible
from relay.message import Converted, convert

LENGTH = struct.Struct("!I")  # of the pickle that follows
# Address space beyond the mapped file: the interpreter's own, and what a hostile message may use.
_MOST_MEMORY = 384 * 1024 * 1024  # octets
# A scan of 25 MB takes 20 ms; the worst message that is known to be within the limits some seconds.
MOST_SECONDS = 30  # of CPU


@dataclass(frozen=True, slots=True)
class Question:
    """A message to convert."""

    path: str
    size: int  # octets
    recipients: tuple[str, ...]
    conversion: Conversion


@dataclass(frozen=True, slots=True)
class Refused:
    """An Unconvertible, as it travels."""

    status: str
    reason: str


Answer = Converted | Refused | OSError


def answer(question: Question) -> Answer:
    """What the message becomes, or why not."""
    try:
        with Content(question.size, "", path=Path(question.path)).map() as content:
            return convert(content, question.recipients, question.conversion)
    except Unconvertible as error:
        return Refused(error.status, error.reason)
    except OSError as error:
        return OSError(error.errno, error.strerror, question.path)


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more questions."""
    while head := questions.read(LENGTH.size):
        question: Question = pickle.loads(questions.read(*LENGTH.unpack(head)))  # noqa: S301 - the relay's own
        _limit(question.size)
        octets = pickle.dumps(answer(question), pickle.HIGHEST_PROTOCOL)
        answers.write(LENGTH.pack(len(octets)) + octets)
        answers.flush()


def _limit(size: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + MOST_SECONDS
    # A sandbox may forbid it; then the relay's own clock is the limit.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY + size, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def main() -> None:
    """Serve standard input."""
    # Signals to the whole group are the relay's business: it lets what is under way end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):
        serve(sys.stdin.buffer, sys.stdout.buffer)
