#!/usr/bin/env python3
"""Too many sessions, and no file descriptors left: what clients hear, what is logged, how soon it is over."""

import asyncio
import json
import socket
import time
from collections import Counter
from contextlib import suppress

from tests_security import command, main, raise_file_limit, relay


def knock(port, count, seconds):
    """Open connections as fast as possible for so long, at most `count` at once; what they hear first."""
    heard, held = Counter(), []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if len(held) >= count:
            held.pop(0).close()
        with suppress(OSError):
            sock = socket.create_connection(("127.0.0.1", port), timeout=0.2)
            held.append(sock)
            with suppress(TimeoutError):
                sock.settimeout(0.05)
                heard[sock.recv(200)[:9].decode(errors="replace")] += 1
    return heard, held


async def is_normal(port):
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            banner = await command(reader, writer, None)
            answer = await command(reader, writer, "MAIL FROM:<a@example.com>")
            writer.close()
    except (OSError, TimeoutError):
        return False
    return banner.startswith("220") and answer.startswith("250")


def recover(port):
    """Seconds until a session is normal again."""
    began = time.monotonic()
    while not asyncio.run(is_normal(port)):
        if time.monotonic() - began > 20:
            break
        time.sleep(0.05)
    return round(time.monotonic() - began, 2)


def lines_a_second(lines):
    """The most log lines within one second."""
    seconds = Counter(json.loads(x)["timestamp"][:19] for x in lines if x.startswith("{"))
    return max(seconds.values(), default=0)


def flood(seconds, *, more="", files=None):
    with relay(more=more, files=files) as running:
        before = len(running.log_lines())
        heard, held = knock(running.port, 600, seconds)
        for sock in held:
            sock.close()
        after = recover(running.port)
        time.sleep(1.2)
        return heard, lines_a_second(running.log_lines()[before:]), after


def measure(*, short=False):
    raise_file_limit()
    seconds = 2 if short else 15
    full, full_lines, full_after = flood(seconds, more="[limits]\nsessions = 200\n")
    files, files_lines, files_after = flood(seconds, files=64)
    return {
        "over the limit: first words": dict(full),
        "over the limit: log lines/s": full_lines,
        "over the limit: normal after s": full_after,
        "64 files: first words": dict(files),
        "64 files: log lines/s": files_lines,
        "64 files: normal after s": files_after,
        "reached": full["421 4.7.0"] > 0
        and max(full_lines, files_lines) <= 10
        and max(full_after, files_after) <= 2,
    }


if __name__ == "__main__":
    main(measure, __doc__)
