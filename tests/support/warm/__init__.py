"""The command `relay` without its start: for the commands that tests run by the hundred.

A process that has imported the whole relay (`server`) forks itself for each, and a small program (`ask`)
stands in for the fork: it hands over its streams, words, environment and folder, and ends as it does.
So a command is a process as always, and is spared half a second of interpreter and imports. What is about
the start itself (another user, a locale, a terminal, closed streams, a signal) starts a real one:
`python -m relay`.
"""

import atexit
import functools
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.other_user import public_python

_HERE = Path(__file__).parent


@functools.cache
def relay(*, public=False):
    """The words to begin a command line with, where `relay` stands in a shell.

    Args:
        public: by a Python that every user can run (`other_user`), for commands that give root's rights up.
    """
    if public:
        python, environment = public_python()
        words = [*python, _HERE / "server.py"]
    else:
        words, environment = [sys.executable, "-m", f"{__name__}.server"], None
    folder = tempfile.TemporaryDirectory(prefix="relay-warm-")
    address = Path(folder.name, "socket")
    nothing = subprocess.DEVNULL
    server = subprocess.Popen(
        [*words, address],
        cwd=_HERE.parents[2],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=nothing,
    )
    assert server.stdout.readline(), "it did not come to listen"
    atexit.register(_stop, server, folder)
    return (sys.executable, "-IS", str(_HERE / "ask.py"), str(address))


def _stop(server, folder):
    server.stdin.close()
    server.wait(60)
    server.stdout.close()
    folder.cleanup()
