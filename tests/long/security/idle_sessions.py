"""Idle sessions: memory of each, plain, TLS and STARTTLS, with uvloop and asyncio; latency of active ones.

Memory is the private memory of the relay's process before and after, divided. Latency is that of a
whole transaction, from MAIL to the reply to the final dot, of fifty clients that send one after the
other, with no idle session and with all of them, by turns; the figure is the median of the rounds.
"""

import asyncio
import socket
import ssl
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from tests.long.security.harness import command, main, percentile, raise_file_limit, relay

_KIB = 1024
_SOURCES = 50  # addresses of loopback, because one may have a thousand sessions


def open_idle(number, port, tls):
    """A session that has said EHLO and waits; the client's own TLS memory is let go."""
    source = f"127.9.0.{number % _SOURCES + 1}"
    sock = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(source, 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if tls == "implicit":
        sock = context.wrap_socket(sock)
    sock.recv(4096)
    sock.sendall(b"EHLO idle\r\n")
    sock.recv(4096)
    if tls == "starttls":
        sock.sendall(b"STARTTLS\r\n")
        sock.recv(4096)
        sock = context.wrap_socket(sock)
        sock.sendall(b"EHLO idle\r\n")
        sock.recv(4096)
    return socket.socket(fileno=sock.detach())


def memory(tls, count, *, uvloop):
    with (
        relay(listener=f'tls = "{tls}"\n', tls=tls != "none", uvloop=uvloop) as running,
        ThreadPoolExecutor(8) as pool,
    ):
        for sock in list(pool.map(lambda n: open_idle(n, running.port, tls), range(100))):
            sock.close()  # what the first sessions need for ever is not of each session
        time.sleep(1.5)
        before = running.rss
        idle = list(pool.map(lambda n: open_idle(n, running.port, tls), range(count)))
        time.sleep(1)
        each = (running.rss - before) / count
        for sock in idle:
            sock.close()
        return each


async def active(port, seconds, latencies):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await command(reader, writer, None)
    await command(reader, writer, "EHLO active")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        await command(reader, writer, "MAIL FROM:<a@example.com>")
        await command(reader, writer, "RCPT TO:<b@example.com>")
        await command(reader, writer, "DATA")
        await command(reader, writer, "Subject: x\r\n\r\nx\r\n.")
        latencies.append(time.perf_counter() - began)
        await asyncio.sleep(0.1)
    writer.close()


def latency(port, seconds):
    async def run():
        latencies = []
        await asyncio.gather(*(active(port, seconds, latencies) for _ in range(50)))
        return latencies

    latencies = asyncio.run(run())
    return percentile(latencies, 0.5) * 1000


def alternate(count, rounds, seconds):
    """Median latency without and with so many idle sessions, by turns: both are disturbed alike."""
    alone, among = [], []
    with relay() as running, ThreadPoolExecutor(8) as pool:
        latency(running.port, seconds / 3)
        for _ in range(rounds):
            alone.append(latency(running.port, seconds))
            idle = list(pool.map(lambda n: open_idle(n, running.port, "none"), range(count)))
            time.sleep(0.5)
            among.append(latency(running.port, seconds))
            for sock in idle:
                sock.close()
            time.sleep(1)
    return alone, among


def measure(*, short=False):
    raise_file_limit()
    count = 200 if short else 5000
    result = {"sessions": count}
    for tls in ("none", "starttls") if short else ("none", "implicit", "starttls"):
        for uvloop in (True,) if short else (True, False):
            name = f"KiB each, {tls}, {'uvloop' if uvloop else 'asyncio'}"
            result[name] = round(memory(tls, count, uvloop=uvloop) / _KIB, 1)
    alone, among = alternate(count, *((1, 0.3) if short else (5, 6)))
    result["ms p50 with none idle"] = [round(x, 1) for x in alone]
    result["ms p50 with all idle"] = [round(x, 1) for x in among]
    times = [b / a for a, b in zip(alone, among, strict=True)]
    result["latency, times, each round"] = [round(x, 2) for x in times]
    result["latency, times"] = round(statistics.median(times), 2)
    result["reached"] = (
        result["KiB each, none, uvloop"] <= 15
        and result.get("KiB each, implicit, uvloop", 0) <= 60
        and result["KiB each, starttls, uvloop"] <= 60
        and result["latency, times"] <= 2
    )
    return result


if __name__ == "__main__":
    main(measure, __doc__)
