"""307: another instance of the API, over TLS; the bearer token goes to the API's own domain alone."""

from urllib.parse import urlsplit

import pytest

from relay.outcome import Action
from relay.works.client import Client, _other_instance
from tests.support.proxy import make_tls
from tests.support.works import (
    ACCEPTED,
    ACCOUNT,
    FAST,
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


async def accept(peer, reader, writer):
    while True:
        await peer.read_request(reader)
        writer.write(ACCEPTED)


def pointing_to(location):
    async def redirect(peer, reader, writer):
        while True:
            await peer.read_request(reader)
            writer.write(
                b"HTTP/1.1 307 Temporary Redirect\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location()
            )

    return redirect


async def send(peer, client_tls, host="localhost"):
    client = Client(
        works_at(1, api_url=f"https://{host}:{peer.port}/v1.0"), FixedTokens(), timeouts=FAST, tls=client_tls
    )
    try:
        return await client.send(ACCOUNT, mail(), content_of())
    finally:
        await client.aclose()


async def test_over_tls(tls):
    async with Peer(accept).running(ssl=tls[0]) as peer:
        outcome = await send(peer, tls[1])
    assert outcome.action is Action.RELAYED


async def test_a_tls_connection_is_used_again(tls):
    """asyncio's TLS transport with a buffer limit of 0 pauses for ever after its first write."""
    octets = b"x" * 3_000_000
    async with Peer(accept).running(ssl=tls[0]) as peer:
        works = works_at(1, api_url=f"https://localhost:{peer.port}/v1.0")
        client = Client(works, FixedTokens(), timeouts=FAST, tls=tls[1])
        for body in (mail(), mail(), Body(octets), mail(), Body(octets)):
            assert (await client.send(ACCOUNT, body, content_of())).action is Action.RELAYED
        await client.aclose()
    assert peer.connections == 1
    assert [len(body) for body in peer.bodies].count(len(octets)) == 2


async def test_cut_in_the_body_over_tls_is_delayed(tls):
    async def cut(peer, reader, writer):
        await peer.read_head(reader)
        reset(writer)

    async with Peer(cut).running(ssl=tls[0]) as peer:
        works = works_at(1, api_url=f"https://localhost:{peer.port}/v1.0")
        client = Client(works, FixedTokens(), timeouts=FAST, tls=tls[1])
        outcome = await client.send(ACCOUNT, Body(b"x" * 8_000_000), content_of())
        await client.aclose()
    assert outcome.action is Action.DELAYED


async def test_a_certificate_for_another_name_is_not_spoken_to(tls):
    async with Peer(accept).running(ssl=tls[0]) as peer:
        outcome = await send(peer, tls[1], host="127.0.0.1")
    assert (outcome.action, outcome.status) == (Action.DELAYED, "4.7.5")
    assert peer.requests == []


async def test_a_307_to_the_same_host_is_followed_with_the_token(tls):
    async def accept_elsewhere(peer, reader, writer):
        while True:
            await peer.read_request(reader)
            if peer.requests[-1].startswith(b"POST /elsewhere/"):
                writer.write(ACCEPTED)
            else:
                location = b"https://localhost:%d/elsewhere/mail?x=1" % peer.port
                writer.write(
                    b"HTTP/1.1 307 Temporary Redirect\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location
                )

    async with Peer(accept_elsewhere).running(ssl=tls[0]) as peer:
        outcome = await send(peer, tls[1])
    assert outcome.action is Action.RELAYED
    assert peer.requests[1].startswith(b"POST /elsewhere/mail?x=1 HTTP/1.1\r\n")
    assert b"Authorization: Bearer token-1\r\n" in peer.requests[1]
    assert b"Host: localhost:%d\r\n" % peer.port in peer.requests[1]
    assert peer.bodies == [mail().octets] * 2


async def test_a_307_that_points_to_itself_ends(tls):
    peer = Peer(None)
    peer.script = pointing_to(lambda: b"https://localhost:%d/again" % peer.port)
    async with peer.running(ssl=tls[0]):
        outcome = await send(peer, tls[1])
    assert outcome.action is Action.DELAYED
    assert len(peer.requests) == 2


async def test_a_307_to_plain_http_is_not_followed():
    """Not even to a loopback address: the token would cross whatever is between in plain text."""
    async with Peer(accept).running() as other:
        here = pointing_to(lambda: b"http://127.0.0.1:%d/v1.0/users/me/mail" % other.port)
        async with Peer(here).running() as peer:
            client = Client(works_at(peer.port), FixedTokens(), timeouts=FAST)
            outcome = await client.send(ACCOUNT, mail(), content_of())
            await client.aclose()
    assert outcome.action is Action.DELAYED
    assert other.requests == []


API = urlsplit("https://www.worksapis.com/v1.0/users/me/mail")


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("https://www.worksapis.com/v1.0/x", "www.worksapis.com"),
        ("https://kr2.worksapis.com/v1.0/x", "kr2.worksapis.com"),
        ("https://worksapis.com/v1.0/x", "worksapis.com"),
        ("https://KR2.WorksAPIs.com:443/x", "kr2.worksapis.com:443"),
        ("/v1.0/elsewhere", "www.worksapis.com"),
    ],
)
def test_what_is_followed(location, host):
    assert _other_instance(API, location).netloc == host


@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://www.worksapis.com/x",
        "https://evil.example/x",
        "https://worksapis.com.evil.example/x",
        "https://evilworksapis.com/x",
        "https://www.worksapis.com@evil.example/x",
        "https://user:pass@www.worksapis.com/x",
        "https://www.worksapis.com:99999/x",
        "https://www.worksapis.com:8443/x",
        "https://evil.test\\.worksapis.com/x",
        "https://*.worksapis.com/x",
        "https://a_b.worksapis.com/x",
        "https://-.worksapis.com/x",
        "https://%65vil.worksapis.com/x",
        "https://[::1/x",
        "//evil.example/x",
        "javascript:alert(1)",
        "https://www.worksapis.com",
        "https://www.worksapis.com/\u3042",
    ],
)
def test_what_is_not_followed(location):
    assert _other_instance(API, location) is None


def test_a_public_suffix_is_nobodys_own_domain():
    """Everybody is under co.jp."""
    api = urlsplit("https://example.co.jp/v1.0/users/me/mail")
    assert _other_instance(api, "https://evil.co.jp/x") is None
    assert _other_instance(api, "https://example.co.jp/x") is not None
    assert _other_instance(urlsplit("https://10.0.0.1/x"), "https://9.0.0.1/x") is None
