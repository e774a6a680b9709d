"""What one request costs: httpx2's client, httpcore2's pool, and the relay's send-mail call.

    python -m tests.long.bench.http_client

All three post to the same sink in another process, 20 at a time; the relay's call also posts 18 MB bodies.
"""

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import time
from types import SimpleNamespace

import httpcore2 as httpcore
import httpx2 as httpx
import uvloop

from relay.config.model import Works
from relay.envelope import Content
from relay.outcome import Action
from relay.works.client import Client

CONNECTIONS = 20
BLOCK = 64 * 1024
NOTHING = Content(0, hashlib.sha256(b"").hexdigest(), data=b"")


class Sink(asyncio.Protocol):
    """Answers 202 when as many octets came as were announced."""

    def connection_made(self, transport):
        self._transport = transport
        self._head = b""
        self._left = -1

    def data_received(self, data):
        if self._left < 0:
            self._head += data
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            lines = head.lower().split(b"\r\n")
            length = next(line for line in lines if line.startswith(b"content-length:"))
            self._left, self._head = int(length.split(b":")[1]) - len(rest), b""
        else:
            self._left -= len(data)
        if self._left <= 0:
            self._left = -1
            self._transport.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")


async def sink():
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Payload:
    """So many octets."""

    def __init__(self, size):
        self.length = size
        self._block = b"x" * BLOCK

    def blocks(self, _):
        whole, rest = divmod(self.length, BLOCK)
        for _ in range(whole):
            yield self._block
        yield self._block[:rest]


class Tokens:
    """One token."""

    async def token(self, account, rejected=""):
        return "token"


async def stream_of(payload):
    for block in payload.blocks(None):
        yield block


def by_httpx(port, payload):
    client = httpx.AsyncClient(trust_env=False)
    headers = {"Content-Length": str(payload.length), "Authorization": "Bearer token"}

    async def send():
        url = f"http://127.0.0.1:{port}/v1.0/users/me/mail"
        async with client.stream("POST", url, content=stream_of(payload), headers=headers) as answer:
            assert answer.status_code == 202
            await answer.aread()

    return send, client.aclose


def by_httpcore(port, payload):
    pool = httpcore.AsyncConnectionPool(max_connections=CONNECTIONS)
    url = httpcore.URL(scheme=b"http", host=b"127.0.0.1", port=port, target=b"/v1.0/users/me/mail")
    headers = [(b"Host", b"127.0.0.1"), (b"Content-Length", b"%d" % payload.length)]

    async def send():
        request = httpcore.Request(b"POST", url, headers=headers, content=stream_of(payload))
        answer = await pool.handle_async_request(request)
        assert answer.status == 202
        await answer.aread()
        await answer.aclose()

    return send, pool.aclose


def by_relay(port, payload):
    works = Works(api_url=f"http://127.0.0.1:{port}/v1.0", connect_timeout="5s", read_timeout="60s")
    client = Client(works, Tokens())
    account = SimpleNamespace(name="a", user_id="me")

    async def send():
        assert (await client.send(account, payload, NOTHING)).action is Action.RELAYED

    return send, client.aclose


async def measure(way, port, size, count, at_once):
    send, close = way(port, Payload(size))
    await send()
    left = iter(range(count))

    async def work():
        for _ in left:
            await send()

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[work() for _ in range(at_once)])
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await close()
    return {
        "way": way.__name__,
        "size": size,
        "at_once": at_once,
        "per_second": round(count / took),
        "megabytes_per_second": round(count * size / took / 2**20),
        "cpu_us_each": round(cpu / count * 1e6),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    wish = parser.parse_args()
    if wish.sink:
        uvloop.run(sink())
    with subprocess.Popen([sys.executable, __file__, "--sink"], stdout=subprocess.PIPE) as other:
        port = int(other.stdout.readline())
        try:
            for way in (by_httpx, by_httpcore, by_relay):
                print(json.dumps(uvloop.run(measure(way, port, 2048, wish.requests, CONNECTIONS))))
            for at_once in (1, 4):
                print(json.dumps(uvloop.run(measure(by_relay, port, 18 * 2**20, 24, at_once))))
        finally:
            other.kill()


if __name__ == "__main__":
    main()
