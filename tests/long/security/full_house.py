"""Too many sessions, and no file descriptors left: what clients hear, what is logged, how soon it is over."""

import asyncio
import json
import os
import resource
import socket
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.long.security.harness import command, main, raise_file_limit, relay

_TURNED_AWAY = "421 4.7.0"
_PATIENCE = 60.0  # seconds


def knock(port, count, seconds):
    """Open connections as fast as possible, at most `count` at once; what they hear first.

    For so long, and until somebody was turned away: a busy machine is not full in a second.
    """
    heard, held, silent = Counter(), [], []
    until = time.monotonic() + seconds
    while time.monotonic() < until or (not heard[_TURNED_AWAY] and time.monotonic() < until + _PATIENCE):
        if len(held) >= count:
            held.pop(0).close()
        with suppress(OSError):
            sock = socket.create_connection(("127.0.0.1", port), timeout=0.2)
            held.append(sock)
            if not listen(sock, 0.05, heard):
                silent.append(sock)
        while silent and listen(silent[0], 0, heard):
            silent.pop(0)
    return heard, held


def listen(sock, patience, heard):
    """Add the first words that are heard within so many seconds; whether no more is to be waited for."""
    try:
        sock.settimeout(patience)
        heard[sock.recv(200)[:9].decode(errors="replace")] += 1
    except (TimeoutError, BlockingIOError):
        return False
    except OSError:
        pass  # it was closed, here or there
    return True


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
        if time.monotonic() - began > _PATIENCE:
            break
        time.sleep(0.05)
    return round(time.monotonic() - began, 2)


def lines_a_second(lines):
    """The most log lines within one second."""
    seconds = Counter(json.loads(x)["timestamp"][:19] for x in lines if x.startswith("{"))
    return max(seconds.values(), default=0)


def busy(pid, seconds):
    """The share of a core that the process takes."""

    def spent():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = spent()
    time.sleep(seconds)
    return round((spent() - before) / seconds, 2)


def flood(seconds, *, more="", files=None, later=None):
    """What is heard, log lines a second, seconds until it is over, and the work while all is full.

    `files` limits the relay's file descriptors from its start: it has fewer sessions then. `later` limits
    them when it runs, so that accept() itself finds none.
    """
    with relay(more=more, files=files) as running:
        if later:
            resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (later, later))
        before = len(running.log_lines())
        heard, held = knock(running.port, 600, seconds)
        work = busy(running.process.pid, 1)
        for sock in held:
            sock.close()
        after = recover(running.port)
        time.sleep(1.2)
        lines = running.log_lines()[before:]
        emptied = sum("no file descriptor is left" in line for line in lines)
        return heard, lines_a_second(lines), after, work, emptied


def measure(*, short=False):
    raise_file_limit()
    seconds = 1 if short else 15
    found = {
        "over the limit": flood(seconds, more="[limits]\nsessions = 200\n"),
        "64 files": flood(seconds, files=64),
        "no file left": flood(seconds, later=100),
    }
    result = {}
    for name, (heard, lines, after, work, _) in found.items():
        result |= {
            f"{name}: first words": dict(heard),
            f"{name}: log lines/s": lines,
            f"{name}: normal after s": after,
            f"{name}: part of a core, held full": work,
        }
    result["no file left: lines that say so"] = found["no file left"][4]
    result["reached"] = (
        all(
            heard[_TURNED_AWAY] > 0 and lines <= 10 and after <= 2 and work < 0.5
            for heard, lines, after, work, _ in found.values()
        )
        and result["no file left: lines that say so"] > 0
    )
    return result


if __name__ == "__main__":
    main(measure, __doc__)
