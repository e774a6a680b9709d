"""Handshakes that are begun on a TLS port and never finished, as many as the file limit allows.

Half of the attackers send the first octets of a ClientHello, half a whole one and then nothing. Who is
cut off comes again. They take every session that the relay has; after six seconds the oldest one has to go
for whoever knocks. Beside them an honest client holds TLS sessions: its time for a whole one, from
connecting to the reply to its mail, without and with the attack; the relay's memory; its log lines.
"""

import contextlib
import socket
import ssl
import statistics
import threading
import time

from tests.long.security.harness import main, percentile, raise_file_limit, relay

_SOURCES = 100  # addresses of loopback, because one may have a thousand sessions
_SHAPES = 2


def client_hello():
    """What a client of today sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


HELLO = client_hello()


def begin(number, port):
    sock = socket.socket()
    sock.bind((f"127.8.0.{number % _SOURCES + 1}", 0))
    sock.settimeout(10)
    sock.connect(("127.0.0.1", port))
    sock.sendall(HELLO if number % _SHAPES else HELLO[:6])
    sock.setblocking(False)
    return sock


def is_cut(sock):
    try:
        while sock.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def attack(port, count, over, socks):
    """Keep so many handshakes open until it is over."""
    number = 0
    while not over.is_set():
        with contextlib.suppress(OSError):
            while len(socks) < count and not over.is_set():
                socks.append(begin(number, port))
                number += 1
        gone = [sock for sock in socks if is_cut(sock)]
        for sock in gone:
            socks.remove(sock)
            sock.close()
        time.sleep(0.2)


def converse(port):
    """Seconds that a whole honest session takes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    began = time.perf_counter()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as sock,
        context.wrap_socket(sock) as secure,
        secure.makefile("rwb") as file,
    ):
        words = [b"", b"HELO x", b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.net>", b"DATA"]
        for word in [*words, b"Subject: x\r\n\r\nx\r\n."]:
            if word:
                file.write(word + b"\r\n")
                file.flush()
            answer = file.readline()
            assert answer[:1] in b"23", answer
    return time.perf_counter() - began


def honest(port, seconds):
    until = time.monotonic() + seconds
    times, refused = [], 0
    while time.monotonic() < until:
        try:
            times.append(converse(port) * 1000)
        except OSError:
            refused += 1
        time.sleep(0.05)
    middle = statistics.median(times) if times else 0.0
    return [round(middle, 1), round(percentile(times, 0.99), 1), refused]


def measure(*, short=False):
    limit = raise_file_limit()
    count, seconds = (100, 1) if short else (min(10_000, limit - 500), 45)
    more = f"[limits]\nsessions = {count}\n"
    with relay(listener='tls = "implicit"\n', more=more, tls=True) as running:
        converse(running.port)
        before, alone = running.rss, honest(running.port, min(seconds, 10))
        over, socks = threading.Event(), []
        attacker = threading.Thread(target=attack, args=(running.port, count, over, socks))
        attacker.start()
        until, held = time.monotonic() + 60, 0
        while held < count and time.monotonic() < until:
            time.sleep(0.05)
            held = max(held, len(socks))  # those that are cut are begun anew
        time.sleep(6.5)
        lines = len(running.log_lines())
        among = honest(running.port, seconds)
        memory = running.rss - before
        over.set()
        attacker.join()
        for sock in socks:
            sock.close()
        # The honest client's mail is logged as well.
        about = sum("127.8.0." in x or "lines left out" in x for x in running.log_lines()[lines:])
        after = honest(running.port, 1)
    return {
        "file limit": limit,
        "handshakes held open": held,
        "ms p50, p99; refused: before": alone,
        "ms p50, p99; refused: attacked": among,
        "ms p50, p99; refused: after": after,
        "KiB a handshake": round(memory / 1024 / max(held, 1), 1),
        "MiB in all": round(memory / 2**20, 1),
        "log lines a second": round(about / seconds, 1),
        "reached": held == count
        and among[2] <= 0.01 * seconds / 0.06
        and memory / held <= 90 * 1024
        and about <= 10 * seconds,
    }


if __name__ == "__main__":
    main(measure, __doc__)
