"""Clients that leave at every moment between the final dot and the reply, and a relay that is told to stop.

    python -m tests.long.crash.hang_up --clients 2000

Each client sends one message and then closes, half-closes, resets, or falls silent and closes later, after a
delay of nothing to 60 ms; some submit the same message again at once, as a client that heard nothing
must. Now and then the relay is told to stop (SIGTERM) in the midst of it. A client leaves in such a way
that it knows what its kernel took of our reply; with nothing of it, it must send again. (Who resets has a
moment in which it cannot know: such clients are counted, and do not send again.) Exit code 1 if a 250
has no row, an accepted message was lost, or a message was kept or sent twice.
"""

import asyncio
import ctypes
import socket
import struct
import sys
from collections import Counter
from contextlib import suppress

from tests.long.crash.harness import (
    LOGIN,
    Ledger,
    Nursery,
    Relay,
    chance_of,
    compose,
    finish,
    judge,
    kind_of,
    make_parser,
    say,
    start,
    works,
)

# asm-generic/socket.h, and linux/sock_diag.h for where SO_MEMINFO has what was dropped.
SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_MEMINFO, DROPS, MEMINFO_LENGTH = 26, 27, 55, 8, 36
ENDS = ("close", "half-close", "reset", "silence", "stay")
WRONG = (
    "lost",
    "sent_after_5yz",
    "250_without_a_row",
    "kept_twice",
    "duplicates",
    "never_kept_or_refused",
)


class Session:
    """One session on a bare socket: what the kernel has is seen at the moment of leaving."""

    def __init__(self, relay):
        self._relay, self._seen = relay, b""
        self._loop = asyncio.get_running_loop()
        self.socket = socket.socket()
        self.socket.setblocking(False)

    async def submit(self, number, octets, *, end, delay):
        """The reply, if the client was there to hear it."""
        try:
            await self._loop.sock_connect(self.socket, ("127.0.0.1", self._relay.port))
            await self._line()
            for line in ("HELO c", f"MAIL FROM:<{LOGIN}>", f"RCPT TO:<r{number}@example.com>", "DATA"):
                await self._loop.sock_sendall(self.socket, line.encode() + b"\r\n")
                answer = await self._line()
                if answer[:1] not in "23":
                    return answer
            await self._loop.sock_sendall(self.socket, octets + b"\r\n.\r\n")
            return await self._leave(end, delay)
        finally:
            self.socket.close()

    async def _line(self):
        async with asyncio.timeout(20):
            while b"\n" not in self._seen:
                octets = await self._loop.sock_recv(self.socket, 4096)
                if not octets:
                    raise EOFError
                self._seen += octets
        line, _, self._seen = self._seen.partition(b"\n")
        return line.decode()

    async def _leave(self, end, delay):
        if end == "stay":
            return await self._line()
        await asyncio.sleep(0.3 if end == "silence" else delay)
        if end == "half-close":
            self.socket.shutdown(socket.SHUT_WR)
            return await self._line()
        if end == "reset":
            return await self._reset()
        # From here on what comes is answered with a reset (RFC 9293 §3.10.7.4), and not taken.
        self.socket.shutdown(socket.SHUT_RDWR)
        return self._look_back()

    async def _reset(self):
        hear_no_more(self.socket)
        if count_dropped(self.socket):
            # It may be our reply, written when we were there still: the kernel sends it again.
            self.socket.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            return await self._line()
        answer = self._look_back()
        reset(self.socket)
        if answer is None and count_dropped(self.socket):
            raise WrittenInTimeError
        return answer

    def _look_back(self):
        """What lies in the socket was written before: the client has it, whatever it does with it."""
        with suppress(BlockingIOError):
            self._seen += self.socket.recv(4096)
        return self._seen.decode().partition("\r\n")[0] or None


class WrittenInTimeError(Exception):
    """The reply came between our last look and our reset: nobody can know that we have not heard it."""


def hear_no_more(connected):
    """Let the kernel drop whatever comes, so that nothing is taken between the last look and the end."""
    drop = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))  # BPF: return 0
    program = struct.pack("@HP", 1, ctypes.addressof(drop))
    connected.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def reset(connected):
    """Reset the connection at once, and keep its socket: what was dropped until then can still be counted."""
    nowhere = struct.pack("=H14x", socket.AF_UNSPEC)
    ctypes.CDLL(None).connect(connected.fileno(), nowhere, len(nowhere))


def count_dropped(connected):
    found = connected.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, MEMINFO_LENGTH)
    return struct.unpack("9I", found)[DROPS]


async def device(relay, ledger, number, chance, ends):
    """One message: leave once, then insist."""
    # Large content goes through threads, and what began later may be whole sooner.
    octets, end = compose(number, "large" if number % 4 == 0 else kind_of(number)), chance.choice(ENDS)
    ends[end] += 1
    tries = 0
    while True:
        tries += 1
        answer = None
        with suppress(OSError, EOFError, TimeoutError):
            delay = chance.choice([0, 0.06]) * chance.random()
            try:
                answer = await Session(relay).submit(number, octets, end=end, delay=delay)
            except WrittenInTimeError:
                ends["written in time"] += 1
                return
        if answer is not None and answer[0] in "25":
            ledger.enter(number, answer, tries)
            return
        end = "stay"
        await asyncio.sleep(chance.uniform(0, 0.1))


async def run(options, folder):
    chance, ledger, ends = chance_of(options.seed), Ledger(), Counter()
    nursery = Nursery()
    async with works() as (sandbox, url):
        relay = Relay(folder, url, wait="5s", nursery=nursery)
        relay.grant(sandbox)
        relay.start()
        await relay.listening()
        sandbox.add_fault("latency", seconds=0.03, times=0)
        numbers, stops = iter(range(1, options.clients + 1)), 0

        async def work():
            for number in numbers:
                await device(relay, ledger, number, chance, ends)

        workers = asyncio.gather(*(work() for _ in range(options.connections)))
        while not workers.done():
            await asyncio.wait({workers}, timeout=options.stop_every)
            if not workers.done():
                stops += 1
                await relay.stop()
                relay.start()
                await relay.listening()
                say(f"{stops} times stopped, {len(ledger.accepted)} accepted")
        await workers
        await relay.drain()
        await relay.stop()
        nursery.close()
        result = {
            "clients": options.clients,
            "ends": dict(ends),
            "times_stopped": stops,
            **judge(ledger, sandbox, relay),
            "never_kept_or_refused": options.clients
            - len(ledger.accepted)
            - len(ledger.refused)
            - ends["written in time"],
        }
    return finish(result, WRONG, as_json=options.json)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--stop-every", type=float, default=10.0, help="seconds between two SIGTERMs")
    return start(run, parser, "hang-up")


if __name__ == "__main__":
    sys.exit(main())
