"""The three that are compared, and what stands beside them: each a process of its own."""

import json
import select
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlsplit

from relay.grants import Grant
from relay.works.auth.files import GrantFiles
from tests.support import ROOT
from tests.support.ports import free_port

DISCARD, STRAIGHTFORWARD, RELAY = "aiosmtpd", "straightforward", "relay"
NAMES = (DISCARD, STRAIGHTFORWARD, RELAY)
_PATIENCE = 30.0  # seconds until something listens
_CONFIGURATION = """\
hostname = "relay.example.com"
state_dir = "{folder}"
[works]
client_id = "bench"
client_secret = "bench"
api_url = "{api}/v1.0"
auth_url = "{api}/oauth2/v2.0"
requests_per_minute = 0
[[account]]
name = "scanner"
address = "scanner@example.com"
default = true
mails_per_minute = 0
recipients_per_day = 0
[[listener]]
address = "127.0.0.1:{port}"
[console]
address = ""
"""


class System:
    """A running process that takes mail on `port`."""

    def __init__(self, process, port):
        self.process, self.port = process, port

    @property
    def pid(self):
        return self.process.pid


@contextmanager
def running(command, **kwargs):
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, **kwargs
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


class Sink:
    """The simulated API, and what it counted."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def _ask(self, target):
        with urllib.request.urlopen(self.url + target, timeout=10) as answer:
            return json.load(answer)

    def set_latency(self, seconds):
        self._ask(f"/set?latency={seconds}")

    def stats(self):
        return self._ask("/stats")

    def own_time(self, octets, count):
        """Seconds from a request's first octet to its answer, median of `count` by a bare socket."""
        head = f"POST / HTTP/1.1\r\nhost: sink\r\ncontent-length: {octets}\r\n\r\n".encode()
        taken = []
        with socket.create_connection(("127.0.0.1", urlsplit(self.url).port), timeout=10) as bare:
            bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(count):
                began = time.perf_counter()
                bare.sendall(head + bytes(octets))
                bare.recv(4096)
                taken.append(time.perf_counter() - began)
        return statistics.median(taken)


@contextmanager
def sink():
    with running(["-m", "tests.long.bench.sink"]) as process:
        yield Sink(int(process.stdout.readline()))


@contextmanager
def system(name, api, folder):
    """One of the three; for the relay, `folder` holds its state."""
    if name == RELAY:
        with relay(api, folder) as found:
            yield found
        return
    module = {DISCARD: "discard", STRAIGHTFORWARD: "straightforward"}[name]
    with running(["-m", f"tests.long.bench.{module}", f"{api}/v1.0"]) as process:
        yield System(process, int(process.stdout.readline()))


def prepare_relay(api, folder):
    """Configuration and grant; gives the configuration's path and the port."""
    folder.mkdir(parents=True, exist_ok=True)
    port, now = free_port(), time.time()
    path = folder / "relay.toml"
    path.write_text(_CONFIGURATION.format(folder=folder, api=api, port=port))
    GrantFiles(folder).write("scanner", Grant("token", now + 86400, "refresh", now, now, now, "mail"))
    return path, port


@contextmanager
def relay(api, folder):
    path, port = prepare_relay(api, folder)
    with (
        (folder / "log").open("wb") as log,
        running(["-m", "relay", "serve", "--config", str(path)], stderr=log) as process,
    ):
        wait_for(port, process)
        yield System(process, port)


def wait_for(port, process):
    """Return when the port greets."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port)) as peer:
                if peer.recv(4).startswith(b"220"):
                    return
        except OSError:
            time.sleep(0.005)
    raise TimeoutError("nothing listens")


class Load:
    """The load generator's process."""

    def __init__(self, process):
        self._process = process

    def run(self, target, message, count, connections, *, expect="250"):
        """Send `count` copies.

        Raises:
            RuntimeError: a reply was another one.
        """
        job = {"port": target.port, "path": str(message.path), "count": count, "connections": connections}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator ended")
        result = json.loads(line)
        if set(result["replies"]) != {expect}:
            raise RuntimeError(f"{message.name}: replies {result['replies']}, not only {expect}")
        return result


@contextmanager
def load():
    with running(["-m", "tests.long.bench.load"], stdin=subprocess.PIPE) as process:
        yield Load(process)


class Probe:
    """The probe's process: says "ready", then "enough", then all."""

    def __init__(self, process):
        self._process = process
        self._enough = False

    @property
    def enough(self):
        """Whether it has as many round trips as were asked for."""
        if not self._enough and select.select([self._process.stdout], [], [], 0)[0]:
            self._enough = self._process.stdout.readline() == "enough\n"
        return self._enough


@contextmanager
def probing(port, samples, least=1):
    """Add the round trips of NOOP, in seconds, to `samples`."""
    command = ["-m", "tests.long.bench.probe", str(port), str(least)]
    with running(command, stdin=subprocess.PIPE) as process:
        process.stdout.readline()
        yield Probe(process)
        samples += json.loads(process.communicate("\n", timeout=60)[0].splitlines()[-1])
