"""What others notice beside senders of the worst messages.

    python -m tests.long.load.hostile [--senders 3] [--rounds 3] [--seconds 5] [--size 32500]

A relay, a Works that takes everything at once, and so many senders, all of one address, that send the worst
messages known (`tests/support/hostile.py`), one after the other. Measures, without them and beside them in
turn, how long another session's RSET takes, and how long mail of two other devices takes until its reply: a
few lines, and a scan, which needs the converting process. Prints both, and the ratios of their p90: what else
the machine does meanwhile is in both.
"""

import argparse
import multiprocessing
import smtplib
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.long.bench import systems
from tests.support.converter import make_scan
from tests.support.hostile import WORST

HONEST = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: UPS\r\n\r\nOn battery.\r\n"
SCAN = make_scan(300_000)


def attack(port: int, number: int, size: int, count) -> None:
    messages = [one.make(size) for one in WORST]
    at = number
    while True:
        with suppress(OSError, smtplib.SMTPException), smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            while True:
                at += 1
                with suppress(smtplib.SMTPDataError):
                    client.sendmail("h@example.com", ["b@example.com"], messages[at % len(messages)])
                with count.get_lock():
                    count.value += 1


def probe(port: int, seconds: float, queue) -> None:
    """Round trips of RSET."""
    taken = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        # A session that does nothing else is ended after a while.
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            client.ehlo()
            for _ in range(30):
                began = time.perf_counter()
                client.rset()
                taken.append(time.perf_counter() - began)
                time.sleep(0.005)
    queue.put(("RSET", taken))


def send_honest(name: str, content: bytes, port: int, seconds: float, queue) -> None:
    taken = []
    # Each is a device of its own, as the senders are one: whose turn it is, is found by the address.
    source = ("127.0.0.2" if content is HONEST else "127.0.0.3", 0)
    with smtplib.SMTP("127.0.0.1", port, timeout=60, source_address=source) as client:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            began = time.perf_counter()
            client.sendmail("a@example.com", ["b@example.com"], content)
            taken.append(time.perf_counter() - began)
            time.sleep(0.05)
    queue.put((name, taken))


def watch(port: int, seconds: float) -> dict[str, list[float]]:
    """Everybody's times of so many seconds."""
    queue = multiprocessing.Queue()
    watchers = [
        multiprocessing.Process(target=probe, args=(port, seconds, queue)),
        multiprocessing.Process(target=send_honest, args=("mail", HONEST, port, seconds, queue)),
        multiprocessing.Process(target=send_honest, args=("scan", SCAN, port, seconds, queue)),
    ]
    for one in watchers:
        one.start()
    found = dict(queue.get(timeout=seconds + 120) for _ in watchers)
    for one in watchers:
        one.join()
    return found


@contextmanager
def attacked(port: int, senders: int, size: int, count, sink):
    """So many senders at work; when it ends, what they sent has been passed on."""
    processes = [
        multiprocessing.Process(target=attack, args=(port, number, size, count)) for number in range(senders)
    ]
    for one in processes:
        one.start()
    time.sleep(1)
    try:
        yield
    finally:
        for one in processes:
            one.kill()
            one.join()
        before = -1
        while (now := sink.stats()["requests"]) != before:
            before = now
            time.sleep(1)


def quantile(taken: list[float], share: float) -> float:
    return sorted(taken)[min(len(taken) - 1, int(len(taken) * share))]


def report(label: str, times: dict[str, list[float]]) -> None:
    for name, taken in sorted(times.items()):
        shares = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1))
        figures = "  ".join(f"{share} {quantile(taken, part) * 1000:6.1f}" for share, part in shares)
        print(f"{label:10} {name:5} {figures} ms  ({len(taken)})", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--senders", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of each half of a round")
    parser.add_argument("--size", type=int, default=32_500, help="octets of each message")
    options = parser.parse_args()
    alone, beside, count = defaultdict(list), defaultdict(list), multiprocessing.Value("i")
    with (
        tempfile.TemporaryDirectory() as folder,
        systems.sink() as sink,
        systems.relay(sink.url, Path(folder)) as relay,
    ):
        for _ in range(options.rounds):
            for name, taken in watch(relay.port, options.seconds).items():
                alone[name] += taken
            with attacked(relay.port, options.senders, options.size, count, sink):
                for name, taken in watch(relay.port, options.seconds).items():
                    beside[name] += taken
    report("alone", alone)
    report(f"beside {options.senders}", beside)
    ratios = ", ".join(
        f"{name} {quantile(beside[name], 0.9) / quantile(alone[name], 0.9):.1f}" for name in alone
    )
    print(f"{count.value} hostile messages; p90 beside them by p90 alone: {ratios}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
