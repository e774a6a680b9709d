"""Starts the converting process, and knows what is said to it.

Until it runs a program of its own, a process that was just started has the memory of the one that started
it, and is counted with it. Hence it is started while the relay is still small; it reads nothing and loads
nothing before it is told that it is needed.

It has nothing of the relay's: no environment, no working directory, no descriptor but the socket between the
two. Python's isolated mode (`-I`) keeps it from importing what lies in the working directory.
"""

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

GO = b"\n"  # tells a process to load what it converts with
# What it says when it is ready: whether the kernel holds it to reading and writing its socket.
CONFINED, UNCONFINED, FAILED = b"+", b"-", b"!"
QUESTION = struct.Struct("!I")  # octets of the JSON that follows; the content's descriptor comes beside it
ANSWER = struct.Struct("!II")  # octets of JSON, octets that were made
# Not by -m: its classes would be those of __main__ then.
PROGRAM = f"""\
import os, sys
sys.path[:] = sys.argv[1:]
if os.read(0, {len(GO)}):
    try:
        from relay.conversion.child import main
    except BaseException as error:
        os.write(0, {FAILED!r} + type(error).__name__.encode())
        raise
    main()
"""
# Where the interpreter's own libraries are, if it was built so. Everything else may be a secret.
_KEPT = ("LD_LIBRARY_PATH",)


@dataclass(frozen=True, slots=True)
class Process:
    """A started process, and our end of the socket to it."""

    popen: subprocess.Popen[bytes]
    socket: socket.socket


_ahead: list[Process] = []


def start_ahead() -> None:
    """Start one for whoever needs the first; without one, that starts it and says why it cannot."""
    try:
        _ahead.append(start())
    except OSError:
        return


def take() -> Process:
    """A process that waits to be told to go.

    Raises:
        OSError: none can be started.
    """
    while _ahead:
        process = _ahead.pop()
        if process.popen.poll() is None:
            return process
        process.socket.close()
    return start()


def make_command() -> list[str]:
    """The command of the process, with the folders that modules may come from."""
    return [sys.executable, "-I", "-S", "-c", PROGRAM, *_find_folders(sys.path)]


def start(command: Sequence[str] = ()) -> Process:
    """Start a process.

    Args:
        command: another one than ours, for tests.

    Raises:
        OSError: it cannot be started.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            # Not the event loop's own subprocess: uvloop forks, which copies the page tables of the whole
            # relay while nothing else runs; the standard library starts a process without.
            popen = subprocess.Popen(  # noqa: S603 - ours
                list(command or make_command()),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,  # it may be a stranger's by now, and the log is ours
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
            )
        except BaseException:
            ours.close()
            raise
    ours.setblocking(False)
    return Process(popen, ours)


def _find_folders(path: Sequence[str]) -> list[str]:
    """The folders of `sys.path`; the working directory only if the relay itself is there."""
    own = str(Path(__file__).parents[2])
    try:
        here = ("", ".", str(Path.cwd()))
    except FileNotFoundError:
        here = ("", ".", "")
    return list(dict.fromkeys((own, *(folder for folder in path if folder not in here))))
