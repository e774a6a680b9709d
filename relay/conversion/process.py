"""Starts the converting process.

Until it runs a program of its own, a process that was just started has the memory of the one that started
it, and is counted with it. Hence it is started while the relay is still small; it reads nothing and loads
nothing before it is told that it is needed.
"""

import subprocess
import sys

GO = b"\n"  # tells a process to load what it converts with
# Not by -m: its classes would be those of __main__ then.
_COMMAND = f"""\
import sys
if sys.stdin.buffer.read({len(GO)}):
    from relay.conversion.child import main
    main()
"""

Process = subprocess.Popen[bytes]
_ahead: list[Process] = []


def start_ahead() -> None:
    """Start one for whoever needs the first; without one, that starts it and says why it cannot."""
    try:
        _ahead.append(_start())
    except OSError:
        return


def take() -> Process:
    """A process that waits to be told to go.

    Raises:
        OSError: none can be started.
    """
    return _ahead.pop() if _ahead else _start()


def _start() -> Process:
    # Not the event loop's own subprocess: uvloop forks, which copies the page tables of the whole relay
    # while nothing else runs; the standard library starts a process without.
    pipe = subprocess.PIPE
    return subprocess.Popen((sys.executable, "-c", _COMMAND), stdin=pipe, stdout=pipe)  # noqa: S603 - ours
