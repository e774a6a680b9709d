"""Answers that are not Works' own: nobody's message fails by them, whatever stands in the way."""

import asyncio
import gzip

import pytest

from relay.outcome import Action, Cause
from relay.works.client import Client
from tests.support.works import ACCOUNT, FAST, Body, FixedTokens, Peer, content_of, mail, works_at

OWN = b'{"code": "INVALID_PARAMETER", "description": "subject must not be empty"}'
PAGE = b"<html><head><title>Error</title></head><body><h1>Error</h1></body></html>"
HTML = b"Content-Type: text/html\r\n"
JSON = b"Content-Type: application/json\r\n"
LOGIN = b"Location: http://portal.example/login\r\n"
# What is answered, the rest of its head, its body; then the action.
KINDS = {
    "a proxy's 400": (b"400 Bad Request", HTML, PAGE, Action.DELAYED),
    "a proxy's 403": (b"403 Forbidden", HTML, PAGE, Action.DELAYED),
    "a proxy's 407": (b"407 Proxy Authentication Required", HTML, PAGE, Action.DELAYED),
    "a gateway's 413": (b"413 Request Entity Too Large", HTML, PAGE, Action.DELAYED),
    "a gateway's 431": (b"431 Too Large", HTML, PAGE, Action.DELAYED),
    "a gateway's 502": (b"502 Bad Gateway", HTML, PAGE, Action.UNKNOWN),
    "a gateway's 520": (b"520 ", HTML, PAGE, Action.UNKNOWN),
    "a portal's page": (b"200 OK", HTML, PAGE, Action.UNKNOWN),
    "a portal's redirect": (b"302 Found", LOGIN, b"", Action.DELAYED),
    "a portal's 511": (b"511 Network Authentication Required", HTML, PAGE, Action.UNKNOWN),
    "a filter's 403": (b"403 Forbidden", b"", b"Request blocked. Incident 4711", Action.DELAYED),
    "a filter's 406": (b"406 Not Acceptable", HTML, PAGE, Action.DELAYED),
    "a filter's 429": (b"429 Too Many Requests", HTML, PAGE, Action.DELAYED),
    "an empty 400": (b"400 Bad Request", b"", b"", Action.DELAYED),
    "an empty 413": (b"413 Too Large", b"", b"", Action.DELAYED),
    "a 400 in plain text": (
        b"400 Bad Request",
        b"Content-Type: text/plain\r\n",
        b"Bad Request",
        Action.DELAYED,
    ),
    "a packed 400": (
        b"400 Bad Request",
        JSON + b"Content-Encoding: gzip\r\n",
        gzip.compress(OWN),
        Action.DELAYED,
    ),
    "JSON of another shape": (b"400 Bad Request", JSON, b'{"message": "no", "status": 400}', Action.DELAYED),
    "JSON in an array": (b"400 Bad Request", JSON, b"[" + OWN + b"]", Action.DELAYED),
    "cut JSON of its own length": (b"400 Bad Request", JSON, OWN[:20], Action.DELAYED),
    "an endless 400": (b"400 Bad Request", JSON, OWN[:-1] + b" " * 100_000 + b"}", Action.DELAYED),
    "a server of the web": (b"404 Not Found", HTML, PAGE, Action.HELD),
    "a 405 of the web": (b"405 Method Not Allowed", HTML, PAGE, Action.DELAYED),
}


def saying(status, head, body, *, length=None):
    async def answer(peer, reader, writer):
        while True:
            await peer.read_request(reader)
            size = len(body) if length is None else length
            writer.write(b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, head, size, body))
            if length is not None:
                await writer.drain()
                return

    return answer


async def send(peer, *payloads):
    client = Client(works_at(peer.port), FixedTokens(), timeouts=FAST)
    try:
        return [await client.send(ACCOUNT, one, content_of()) for one in payloads]
    finally:
        await client.aclose()


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_that_is_not_works_own_fails_a_message(kind):
    """A proxy that answered 400 to everything bounced 30 of 30."""
    status, head, body, action = KINDS[kind]
    async with Peer(saying(status, head, body)).running() as peer:
        outcomes = await send(peer, mail(), Body(b"x" * 300_000))
    assert [outcome.action for outcome in outcomes] == [action] * 2


@pytest.mark.parametrize(("status", "enhanced"), [(b"400 Bad Request", "5.6.0"), (b"413 Too Large", "5.3.4")])
async def test_works_own_words_fail_it(status, enhanced):
    async with Peer(saying(status, JSON, OWN)).running() as peer:
        (outcome,) = await send(peer, mail())
    assert (outcome.action, outcome.status, outcome.code) == (Action.FAILED, enhanced, "INVALID_PARAMETER")


async def test_an_error_object_whose_answer_was_cut_fails_nothing():
    """The length says that more was to come."""
    async with Peer(saying(b"400 Bad Request", JSON, OWN, length=len(OWN) + 1)).running() as peer:
        (outcome,) = await send(peer, mail())
    assert (outcome.action, outcome.cause) == (Action.DELAYED, Cause.FOREIGN)


async def test_an_error_object_in_pieces_is_read_whole():
    async def slow(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(OWN), 30):
            piece = OWN[at : at + 30]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(b"0\r\n\r\n")

    async with Peer(slow).running() as peer:
        (outcome,) = await send(peer, mail())
    assert (outcome.action, outcome.code) == (Action.FAILED, "INVALID_PARAMETER")


async def test_an_answer_is_asked_for_unpacked():
    async with Peer(saying(b"202 Accepted", b"", b"")).running() as peer:
        await send(peer, mail())
    assert b"accept-encoding: identity\r\n" in peer.requests[0].lower()
