"""`python server.py SOCKET`: becomes a command of the relay in a fork.

Ends when its standard input does.
"""

import atexit
import contextlib
import gc
import importlib
import os
import pkgutil
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

_LONGEST = 256 * 1024  # a request: the words and the environment
_STREAMS = 3


def import_all():
    """Import the rooms that a command may come to need; Django wants a site of its own."""
    import relay

    for module in pkgutil.walk_packages(relay.__path__, "relay."):
        if not module.name.startswith(("relay.django", "relay.__main__")):
            importlib.import_module(module.name)


class Server:
    """Forks for whoever connects, and says how the fork ended; kills it if nobody waits any more."""

    def __init__(self, address):
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(address)
        self._listening.listen(64)
        self._commands = {}  # connected sockets, by their processes
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)

    def serve(self):
        """Returns in the fork only, which is the command from then on."""
        while True:
            ready, _, _ = select.select([0, self._listening, self._woken, *self._commands.values()], [], [])
            if 0 in ready:
                sys.exit()
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._tell_ended()
            for process, connected in self._commands.items():
                if connected in ready:
                    os.kill(
                        process, signal.SIGKILL
                    )  # once it is told no more, it has not been waited for yet
            if self._listening in ready and self._take():
                return

    def _take(self):
        connected, _ = self._listening.accept()
        request, streams, _, _ = socket.recv_fds(connected, _LONGEST, _STREAMS)
        child = os.fork()
        if not child:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for one in (self._listening, connected, *self._commands.values()):
                one.close()
            os.close(self._woken)
            os.close(self._wake)
            become(request, streams)
            return True
        for one in streams:
            os.close(one)
        self._commands[child] = connected
        return False

    def _tell_ended(self):
        while self._commands:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if not ended:
                return
            with self._commands.pop(ended) as connected, contextlib.suppress(OSError):
                connected.send(b"%d" % os.waitstatus_to_exitcode(status))


def become(request, streams):
    """Be the process that `ask` stands in for."""
    for number, one in enumerate(streams):
        os.dup2(one, number)
        os.close(one)
    folder, mask, count, *rest = request.split(b"\0")
    words, surroundings = rest[: int(count)], rest[int(count) :]
    os.chdir(folder)
    os.umask(int(mask, 8))
    os.environb.clear()
    os.environb.update(pair.split(b"=", 1) for pair in surroundings)
    time.tzset()
    # Python's own were made for other streams.
    encoding = os.environ.get("PYTHONIOENCODING")
    sys.stdin = open(0, encoding=encoding, errors=sys.stdin.errors, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=encoding, errors=sys.stdout.errors, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    import relay

    sys.argv = [str(Path(relay.__file__).with_name("__main__.py")), *map(os.fsdecode, words)]


def run():
    """Run the command; its exit code. Ends as Python does, but frees nothing: that copies what is shared."""
    from relay.cli import main

    code = 1
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # noqa: BLE001 - as Python shows whatever ends a program
        sys.excepthook(*sys.exc_info())
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    import_all()
    gc.collect()
    gc.freeze()  # so that no fork writes to what all of them share
    server = Server(sys.argv[1])
    print(flush=True)
    server.serve()
    os._exit(run())
