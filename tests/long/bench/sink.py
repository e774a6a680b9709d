"""The far side, the same for all: takes requests, throws bodies away, answers 202 after a while.

    python -m tests.long.bench.sink

Prints its port. POST: Content-Length octets are read into one buffer that is never looked at.
GET /set?latency=0.05 sets the seconds from a body's end to its answer; GET /stats tells what came, as JSON.
"""

import asyncio
import json
import re
from urllib.parse import parse_qs, urlsplit

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_BUFFER = 256 * 1024
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"


class Counts:
    requests = 0
    octets = 0  # of bodies
    latency = 0.0  # seconds


class Sink(asyncio.BufferedProtocol):
    _shared = bytearray(_BUFFER)

    def __init__(self):
        self._head = bytearray()
        self._left = 0  # octets of the body that are still to come

    def connection_made(self, transport):
        self._transport = transport

    def get_buffer(self, sizehint):
        return self._shared

    def buffer_updated(self, nbytes):
        if self._left:
            self._body(nbytes)
            return
        self._head += memoryview(self._shared)[:nbytes]
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest = bytes(self._head[: end + 4]), len(self._head) - end - 4
        self._head.clear()
        if head.startswith(b"GET "):
            self._tell(head.split(b" ", 2)[1].decode())
            return
        found = _LENGTH.search(head)
        self._left = int(found[1]) if found else 0
        self._body(rest)

    def _body(self, octets):
        Counts.octets += octets
        self._left -= octets
        if self._left < 0:
            self._transport.abort()  # more than was announced: whoever sends so is broken
        elif not self._left:
            Counts.requests += 1
            if Counts.latency:
                asyncio.get_running_loop().call_later(Counts.latency, self._answer)
            else:
                self._answer()

    def _answer(self):
        if not self._transport.is_closing():
            self._transport.write(_ACCEPTED)

    def _tell(self, target):
        parts = urlsplit(target)
        if parts.path == "/set":
            Counts.latency = float(parse_qs(parts.query)["latency"][0])
        body = json.dumps({"requests": Counts.requests, "octets": Counts.octets}).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


async def main():
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
