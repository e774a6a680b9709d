"""Attack a relay from many sides at once and see whether it goes on serving others.

Run: .venv/bin/python -m tests.long.security.attack [--connections 10000] [--seconds 10]

For each attack: the latency of an honest client beside it (a NOOP, and a whole message), the relay's
memory at its highest (RssAnon), and the lines that it logged. Attackers use several addresses of loopback.
"""

import argparse
import contextlib
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.support.ports import free_port
from tests.support.smtp import Client

_PATIENCE = 60.0  # seconds for 20 NOOPs and a mail, beside any attack


class Relay:
    """`relay sandbox` as a process of its own."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.log = Path(self.folder.name) / "log"
        self.port = free_port()
        command = ["-m", "relay", "sandbox", "--http-port", "0", "--smtp-port", str(self.port)]
        # No budgets: a mail that waits for its turn would look like one that waits because of the attack.
        command += ["--requests-per-minute", "0", "--mails-per-minute", "0"]
        state = ["--state-dir", str(Path(self.folder.name) / "state")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, *command, *state], stderr=log)
        until = time.monotonic() + 20
        while True:
            try:
                with Client(self.port) as client:
                    client.reply()
            except OSError:
                assert time.monotonic() < until, self.log.read_text()
                time.sleep(0.1)
            else:
                return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.folder.cleanup()

    def memory(self):
        """Octets that are its own."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) * 1024

    def lines(self):
        return self.log.read_bytes().count(b"\n")


def connect(relay, number):
    sock = socket.socket()
    sock.bind((f"127.0.{1 + number // 250 % 250}.{1 + number % 250}", 0))
    sock.settimeout(5)
    sock.connect(("127.0.0.1", relay.port))
    return sock


def push(sock, octets, over):
    """Send this again and again until the relay has enough or time is up."""
    with contextlib.suppress(OSError):
        while not over.is_set():
            sock.sendall(octets)


def open_transaction(sock, *, data=True):
    sock.sendall(
        b"EHLO x\r\nMAIL FROM:<a@b.cd>\r\nRCPT TO:<a@example.net>\r\n" + (b"DATA\r\n" if data else b"")
    )
    time.sleep(0.05)
    sock.recv(65536)


def idle(relay, socks, over):
    over.wait()


def slow_loris(relay, socks, over):
    while not over.is_set():
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.send(b"N")
        time.sleep(0.5)


def flood(start, octets):
    """An attack by four senders that push these octets after this beginning."""

    def attack(relay, socks, over):
        threads = []
        for sock in socks[:4]:
            with contextlib.suppress(OSError):
                start(sock)
            threads.append(threading.Thread(target=push, args=(sock, octets, over)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    return attack


def nothing(sock):
    sock.recv(1024)


RCPTS = b"".join(b"RCPT TO:<r%d@example.net>\r\n" % n for n in range(2_000))
ATTACKS = {
    "nobody": (0, idle),
    "idle connections": (10_000, idle),
    "slow loris": (1_000, slow_loris),
    "half-open TLS on a plain port": (1_000, flood(nothing, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")),
    "garbage": (4, flood(nothing, bytes(range(256)) * 64)),
    "one endless command": (4, flood(nothing, b"x" * 65536)),
    "100,000 RCPT": (4, flood(lambda sock: open_transaction(sock, data=False), RCPTS)),
    "endless header": (4, flood(open_transaction, b"X-A: b\r\n" * 8_000)),
    "endless line": (4, flood(open_transaction, b"x" * 65536)),
    "empty lines": (4, flood(open_transaction, b"\r\n" * 32_768)),
    "bare line ends": (4, flood(open_transaction, b"\n" * 65536)),
    "NOOP": (4, flood(nothing, b"NOOP\r\n" * 10_000)),
}


def measure(relay, name, connections, attack, seconds):
    """One attack; one line about it."""
    over = threading.Event()
    lines = relay.lines()
    socks = []
    for number in range(connections):
        try:
            socks.append(connect(relay, number))
        except OSError:
            break
    attacking = threading.Thread(target=attack, args=(relay, socks, over))
    attacking.start()
    latencies, mails, highest = [], [], relay.memory()
    until = time.monotonic() + seconds
    with Client(relay.port, timeout=30) as honest:
        honest.greet("honest.example.com")
        # So long, and until one mail has gone too: on a busy machine half a second is too short for that.
        while time.monotonic() < until or not mails:
            assert time.monotonic() < until + _PATIENCE, "the honest client is not served"
            began = time.monotonic()
            assert honest.ask("NOOP" if len(latencies) % 50 else "EHLO again").startswith("250")
            latencies.append(time.monotonic() - began)
            if len(latencies) % 20 == 0:
                began = time.monotonic()
                assert honest.send_mail(b"Subject: honest\r\n\r\nx", sender="scanner@example.com").startswith(
                    "250"
                )
                mails.append(time.monotonic() - began)
            highest = max(highest, relay.memory())
            time.sleep(0.02)
    over.set()
    for sock in socks:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    attacking.join()
    for sock in socks:
        sock.close()
    assert relay.process.poll() is None, "the relay is gone"
    p50, p99 = (statistics.quantiles(latencies, n=100)[at] * 1000 for at in (49, 98))
    mail = statistics.median(mails) * 1000
    own = relay.lines() - lines - 2 * len(mails)
    print(
        f"{name:30} {len(socks):6} connections  NOOP p50 {p50:6.2f} p99 {p99:7.2f} ms  "
        f"mail p50 {mail:6.1f} ms  memory {highest / 2**20:6.1f} MB  log {own:4} lines",
        flush=True,
    )
    return p50, highest


def run(connections, seconds, only=()):
    """All attacks, or these; the honest client's median latency and the memory, by name."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = {}
    with Relay() as relay:
        for name, (wanted, attack) in ATTACKS.items():
            if not only or name in only:
                count = min(wanted, connections, hard - 200)
                found[name] = measure(relay, name, count, attack, seconds)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    run(options.connections, options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
