"""The exchange on httpcore: its stream, its connections under cancellation, and proxies."""

import asyncio
import base64
import contextlib
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from relay.outcome import Action
from relay.works.client import Client
from relay.works.diagnosis import Answer, Failure
from relay.works.http import exchange
from relay.works.http.exchange import Exchanges, Request
from relay.works.http.proxy import Proxy
from tests.support.proxy import ESTABLISHED, ProxyPeer, make_tls
from tests.support.works import (
    ACCEPTED,
    ACCOUNT,
    FAST,
    HASTY,
    Body,
    FixedTokens,
    Peer,
    content_of,
    mail,
    reset,
    works_at,
)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A server's context, and a client's that trusts it."""
    return make_tls(tmp_path_factory.mktemp("tls"))


def request_to(url, octets=b"x" * 2000, block=65536):
    async def body():
        for at in range(0, len(octets), block):
            yield octets[at : at + block]

    url = urlsplit(url)
    head = [(b"Host", url.netloc.encode()), (b"Content-Length", b"%d" % len(octets))]
    return Request(url, head, len(octets), body)


def to(peer, octets=b"x" * 2000):
    return request_to(f"http://127.0.0.1:{peer.port}/x", octets)


async def accept(peer, reader, writer):
    while True:
        await peer.read_request(reader)
        writer.write(ACCEPTED)


# Of a head whose rest is to come, of bodies of either framing, and of interim answers.
ANSWERS = {
    "plain": (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", b""),
    "version 1.0": (b"HTTP/1.0 202 Accepted\r\nContent-Length: 0\r\n\r\n", b""),
    "without a reason": (b"HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n", b""),
    "lines that end with LF": (b"HTTP/1.1 202 Accepted\nContent-Length: 2\n\nab", b"ab"),
    "behind empty lines": (b"\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", b""),
    "of a length": (b"HTTP/1.1 400 No\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "chunked": (b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "interim answers before": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ACCEPTED,
        b"",
    ),
}


@pytest.mark.parametrize("piece", [1, 7, 10_000])
@pytest.mark.parametrize("kind", ANSWERS)
async def test_answers_however_they_are_cut(kind, piece):
    octets, body = ANSWERS[kind]
    seen = []

    async def answer(peer, reader, writer):
        await peer.read_request(reader)
        for at in range(0, len(octets), piece):
            writer.write(octets[at : at + piece])
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async def note(status):
        seen.append(status)

    async with Peer(answer).running() as peer:
        exchanges = Exchanges(timeouts=FAST)
        end = await exchanges.exchange(to(peer), note)
        await exchanges.aclose()
    assert seen == [end.status] == [400 if b"400" in octets else 202]
    assert (end.body, end.whole) == (body, True)


# What is none, or one that nobody has asked for.
NONE = {
    "another version": (b"HTTP/1.2 202 Accepted\r\nContent-Length: 0\r\n\r\n", Failure.CUT_AFTER),
    "version 2": (b"HTTP/2 202\r\n\r\n", Failure.CUT_AFTER),
    "in lower case": (b"http/1.1 202 accepted\r\n\r\n", Failure.NOT_HTTP),
    "two spaces": (b"HTTP/1.1  202 Accepted\r\n\r\n", Failure.CUT_AFTER),
    "four digits": (b"HTTP/1.1 2020 Accepted\r\n\r\n", Failure.CUT_AFTER),
    "another protocol": (b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", Failure.CUT_AFTER),
    "a banner": (b"220 mail.example ESMTP\r\n", Failure.NOT_HTTP),
    "a frame": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", Failure.NOT_HTTP),
    "a page": (b"<html>\r\n\r\n</html>", Failure.NOT_HTTP),
    "a line without end": (b"HTTP/1.1 202 " + b"x" * 100_000, Failure.CUT_AFTER),
}


@pytest.mark.parametrize("kind", NONE)
async def test_what_is_no_answer_is_not_waited_for(kind):
    octets, failure = NONE[kind]

    async def answer(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(octets)
        await reader.read()  # and leaves the connection open

    async with Peer(answer).running() as peer:
        exchanges = Exchanges(timeouts=FAST)
        end = await exchanges.exchange(to(peer))
        await exchanges.aclose()
    assert end is failure


# A body that only the end of the connection ends is cut by a reset; of a close nobody can tell.
@pytest.mark.parametrize(
    ("framing", "how"),
    [(b"Content-Length: 5\r\n", "close"), (b"Content-Length: 5\r\n", "reset"), (b"", "reset")],
)
async def test_a_body_that_is_cut_is_not_whole(framing, how):
    async def cut(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 400 No\r\nConnection: close\r\n" + framing + b"\r\nhel")
        await writer.drain()
        await asyncio.sleep(0.05)
        if how == "reset":
            reset(writer)

    async with Peer(cut).running() as peer:
        exchanges = Exchanges(timeouts=FAST)
        end = await exchanges.exchange(to(peer))
        await exchanges.aclose()
    assert (end.status, end.whole) == (400, False)


async def test_a_202_whose_rest_does_not_come_is_told_soon():
    """The session waited ten seconds for it, and heard "queued" at last."""

    async def half(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n")
        await reader.read()

    async with Peer(half).running() as peer:
        client = Client(works_at(peer.port), FixedTokens(), timeouts=FAST)
        async with asyncio.timeout(8):
            assert (await client.send(ACCOUNT, mail(), content_of())).action is Action.RELAYED
        await client.aclose()


@pytest.mark.parametrize(
    "tail",
    [b"Content-Length: 2\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"],
    ids=["of a length", "chunked"],
)
async def test_what_comes_with_an_answers_body_is_not_the_next_ones_answer(tail):
    """httpcore would give the second message the answer that lies in its buffer."""

    async def two(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 202 Accepted\r\n" + tail + b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with Peer(two).running() as peer:
        exchanges = Exchanges(timeouts=FAST)
        ends = [await exchanges.exchange(to(peer)) for _ in range(3)]
        await exchanges.aclose()
    assert [end.status for end in ends] == [202] * 3
    assert peer.connections == 3


async def test_a_connection_is_used_again_after_an_answer_with_a_body():
    async def answer(peer, reader, writer):
        while True:
            await peer.read_request(reader)
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nab")

    async with Peer(answer).running() as peer:
        exchanges = Exchanges(timeouts=FAST)
        for _ in range(3):
            assert (await exchanges.exchange(to(peer))).body == b"ab"
        await exchanges.aclose()
    assert peer.connections == 1


async def test_connections_that_no_request_needs_are_closed(monkeypatch):
    """The one used last is used again: the others would stay open, half closed, until a busier hour."""
    monkeypatch.setattr(exchange, "_IDLE", 0.5)
    open_ones, all_there = set(), asyncio.Event()

    async def answer(peer, reader, writer):
        open_ones.add(writer)
        try:
            while True:
                await peer.read_request(reader)
                if len(open_ones) == 5:
                    all_there.set()
                await all_there.wait()
                writer.write(ACCEPTED)
        finally:
            open_ones.discard(writer)

    async with Peer(answer).running() as peer:
        exchanges = Exchanges(timeouts=FAST)
        await asyncio.gather(*[exchanges.exchange(to(peer)) for _ in range(5)])
        async with asyncio.timeout(30):
            while len(open_ones) > 1:
                await asyncio.sleep(0.2)
                await exchanges.exchange(to(peer))
        await exchanges.aclose()


@pytest.mark.parametrize("size", [100, 400_000])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_connections_outlive_cancellation_at_every_step(tls, scheme, size):
    """The pool of httpx 0.28 never recovered from it: no request found a connection any more."""
    octets = b"x" * size

    async def slow(peer, reader, writer):
        while True:
            await peer.read_request(reader)
            writer.write(b"HTTP/1.1 202 Accepted\r\n")
            await asyncio.sleep(0)
            writer.write(b"Content-Length: 0\r\n\r\n")

    options = {"ssl": tls[0]} if scheme == "https" else {}
    async with Peer(slow).running(**options) as peer:
        exchanges = Exchanges(tls[1], FAST)
        url = f"{scheme}://localhost:{peer.port}/x"
        for steps in range(60):
            task = asyncio.create_task(exchanges.exchange(request_to(url, octets)))
            for _ in range(steps):
                await asyncio.sleep(0)
            # Now and then on a connection that was used before, else on a new one.
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                assert (await task).status == 202
        ends = await asyncio.gather(*[exchanges.exchange(request_to(url, octets)) for _ in range(20)])
        assert [end.status for end in ends] == [202] * 20
        [kept] = exchanges._kept._idle.values()
        assert len(kept) <= 20
        assert all(one.is_idle() for _, one in kept)
        await exchanges.aclose()


def through(proxy, tls, timeouts=FAST):
    return Exchanges(tls[1], timeouts, at(proxy))


def at(proxy, login=""):
    return Proxy.to("https://works", SecretStr(f"http://{login}127.0.0.1:{proxy.port}"))


@pytest.mark.parametrize("size", [100, 1_000_000])
async def test_a_request_goes_through_a_proxys_tunnel(tls, size):
    seen = []

    async def note(status):
        seen.append(status)

    async with Peer(accept).running(ssl=tls[0]) as peer, ProxyPeer(ESTABLISHED).running() as proxy:
        exchanges = through(proxy, tls)
        for _ in range(2):
            end = await exchanges.exchange(request_to(f"https://localhost:{peer.port}/x", b"x" * size), note)
            assert end.status == 202
        await exchanges.aclose()
    assert seen == [202, 202]
    assert (proxy.connections, peer.connections, len(peer.bodies)) == (1, 1, 2)
    assert proxy.requests[0].startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % peer.port)


@pytest.mark.parametrize(
    ("verdict", "failure"),
    [
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", Failure.TLS),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", Failure.PROXY_REFUSED),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\n{}{}{", Failure.PROXY_REFUSED),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", Failure.PROXY_LOGIN),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno", Failure.PROXY_REFUSED),
        (b"HTTP/1.1 20", Failure.PROXY_NOT_REACHED),
        (b"", Failure.PROXY_NOT_REACHED),
        (b"SOCKS?\r\n", Failure.PROXY_NOT_REACHED),
    ],
    ids=["202", "400", "403", "407", "502", "half a line", "nothing", "another protocol"],
)
async def test_a_proxys_answer_to_connect_is_never_the_requests(tls, verdict, failure):
    """A 202 would be a mail that was never sent; a 502 one that nobody knows of; a 400 a refusal."""
    seen = []

    async def note(status):
        seen.append(status)

    async with Peer(accept).running(ssl=tls[0]) as peer, ProxyPeer(verdict).running() as proxy:
        exchanges = through(proxy, tls)
        end = await exchanges.exchange(request_to(f"https://localhost:{peer.port}/x"), note)
        found = await exchanges.connect(urlsplit(f"https://localhost:{peer.port}/x"))
        await exchanges.aclose()
    assert end is failure or (failure is Failure.TLS and end in (Failure.TLS, Failure.NOT_REACHED))
    assert found.failure is end
    assert seen == []
    assert peer.bodies == []


async def test_a_proxy_that_is_not_there(tls):
    async with Peer(accept).running() as gone:
        pass
    exchanges = through(gone, tls)
    assert await exchanges.exchange(request_to("https://localhost:1/x")) is Failure.PROXY_NOT_REACHED
    found = await exchanges.connect(urlsplit("https://localhost:1/x"))
    assert isinstance(found.cause, ConnectionRefusedError)


async def test_the_login_goes_to_the_proxy_and_not_beyond(tls):
    async with Peer(accept).running(ssl=tls[0]) as peer, ProxyPeer(ESTABLISHED).running() as proxy:
        exchanges = Exchanges(tls[1], FAST, at(proxy, "w%40rks:%E5%90%88%3A1@"))
        assert (await exchanges.exchange(request_to(f"https://localhost:{peer.port}/x"))).status == 202
        await exchanges.aclose()
    login = base64.b64encode("w@rks:合:1".encode())
    assert b"proxy-authorization: basic " + login.lower() in proxy.requests[0].lower()
    assert b"authorization" not in peer.requests[0].lower()


async def test_trying_a_connection_sends_nothing(tls):
    async with Peer(accept).running(ssl=tls[0]) as peer, ProxyPeer(ESTABLISHED).running() as proxy:
        for exchanges in (through(proxy, tls), Exchanges(tls[1], FAST)):
            assert await exchanges.connect(urlsplit(f"https://localhost:{peer.port}/x")) is None
            await exchanges.aclose()
    assert peer.requests == []
    assert proxy.connections == 1


async def test_a_proxy_that_is_silent_is_not_waited_for_longer_than_for_a_connection(tls):
    async def silent(peer, reader, writer):
        await reader.read()

    async with Peer(silent).running() as proxy:
        exchanges = through(proxy, tls, HASTY)
        end = await exchanges.exchange(request_to("https://localhost:1/x"))
        await exchanges.aclose()
    assert end is Failure.PROXY_NOT_REACHED


@pytest.mark.parametrize(("tail", "status"), [(b"HTTP/1.1 202 Accepted\r\n", 202), (b"", None)])
async def test_what_breaks_behind_a_proxy_is_judged_as_without_one(tls, tail, status):
    async def cut(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(tail)
        await writer.drain()

    async with Peer(cut).running(ssl=tls[0]) as peer, ProxyPeer(ESTABLISHED).running() as proxy:
        exchanges = through(proxy, tls)
        end = await exchanges.exchange(request_to(f"https://localhost:{peer.port}/x"))
        await exchanges.aclose()
    assert end is Failure.CUT_AFTER if status is None else end == Answer(status, {})


async def test_plain_http_goes_without_a_proxy():
    """It is for this machine alone; and a proxy's own answer to it could not be told from the host's."""
    assert Proxy.to("http://127.0.0.1:8581/v1.0", SecretStr("http://proxy.example:3128")) is None


async def test_a_body_is_asked_for_no_faster_than_the_kernel_takes_it():
    """ "It left" means that the kernel has it: the peer reads nothing, so the body must not be used up."""

    async def stuck(peer, reader, writer):
        await peer.read_head(reader)
        reader._transport.pause_reading()
        await asyncio.sleep(5)

    body = Body(b"x" * 64_000_000)
    async with Peer(stuck).running() as peer:
        client = Client(works_at(peer.port), FixedTokens(), timeouts=HASTY)
        outcome = await client.send(ACCOUNT, body, content_of())
        await client.aclose()
    assert outcome.action is Action.DELAYED
    assert body.made < len(body.octets) // body.block // 2
