"""What others notice beside senders of the worst messages.

    python -m tests.long.load.hostile [--senders 3] [--seconds 10] [--size 32500]

A relay, a Works that takes everything at once, and so many senders that send the worst messages known
(`tests/support/hostile.py`), one after the other. Prints, without them and beside them, how long another
session's RSET takes, and how long a small honest mail takes until its reply.
"""

import argparse
import multiprocessing
import smtplib
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.long.bench import systems
from tests.support.hostile import WORST

HONEST = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: UPS\r\n\r\nOn battery.\r\n"


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


def send_honest(port: int, seconds: float, queue) -> None:
    taken = []
    # Another device: the senders share one flow, it has its own.
    with smtplib.SMTP("127.0.0.1", port, timeout=60, source_address=("127.0.0.2", 0)) as client:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            began = time.perf_counter()
            client.sendmail("a@example.com", ["b@example.com"], HONEST)
            taken.append(time.perf_counter() - began)
            time.sleep(0.05)
    queue.put(("mail", taken))


def watch(port: int, seconds: float, label: str) -> None:
    queue = multiprocessing.Queue()
    watchers = [
        multiprocessing.Process(target=one, args=(port, seconds, queue)) for one in (probe, send_honest)
    ]
    for one in watchers:
        one.start()
    for name, taken in sorted(queue.get(timeout=seconds + 120) for _ in watchers):
        taken.sort()
        shares = [taken[min(len(taken) - 1, int(len(taken) * share))] for share in (0.5, 0.9, 0.99, 1)]
        figures = "  ".join(
            f"{share} {value * 1000:6.1f}"
            for share, value in zip(("p50", "p90", "p99", "max"), shares, strict=True)
        )
        print(f"{label:10} {name:5} {figures} ms  ({len(taken)})", flush=True)
    for one in watchers:
        one.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--senders", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--size", type=int, default=32_500, help="octets of each message")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        systems.sink() as sink,
        systems.relay(sink.url, Path(folder)) as relay,
    ):
        watch(relay.port, options.seconds, "alone")
        count = multiprocessing.Value("i")
        senders = [
            multiprocessing.Process(target=attack, args=(relay.port, number, options.size, count))
            for number in range(options.senders)
        ]
        for one in senders:
            one.start()
        time.sleep(1)
        watch(relay.port, options.seconds, f"beside {options.senders}")
        print(f"{count.value} hostile messages")
        for one in senders:
            one.kill()
            one.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
