"""The send-mail call against the simulated Works and against a peer that breaks by the byte."""

import asyncio
import contextlib
import random
from collections import Counter
from types import SimpleNamespace

import pytest

from relay.outcome import Action, Blame, Scope
from relay.works.client import Client, Steps
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

SMALL = mail()
LARGE = b"x" * 4_000_000
LARGE_BODY = Body(LARGE)


async def attempt(peer, payload=None, timeouts=FAST, on_start=None, on_status=None, **options):
    steps = Steps(status=on_status, **({"start": on_start} if on_start else {}))
    client = Client(works_at(peer.port), FixedTokens(), timeouts=timeouts)
    try:
        return await client.send(ACCOUNT, payload or mail(), content_of(), steps, **options)
    finally:
        await client.aclose()


async def accept(peer, reader, writer):
    while True:
        await peer.read_request(reader)
        writer.write(ACCEPTED)


async def test_a_request_is_the_documented_one():
    async with Peer(accept).running() as peer:
        outcome = await attempt(peer)
    assert outcome.action is Action.RELAYED
    assert outcome.http_status == 202
    lines = peer.requests[0].split(b"\r\n")
    assert lines[0] == b"POST /v1.0/users/me/mail HTTP/1.1"
    assert b"Authorization: Bearer token-1" in lines
    assert b"Content-Type: application/json" in lines
    assert b"Content-Length: %d" % SMALL.length in lines
    assert peer.bodies == [SMALL.octets]


async def test_a_start_is_told_with_a_connection_and_before_the_first_octet():
    """What is told then is on disk before the request: earlier, every kill while connecting was a doubt."""
    connected = asyncio.Event()

    async def listen(peer, reader, writer):
        connected.set()
        await peer.read_request(reader)

    async def refuse():
        await asyncio.wait_for(connected.wait(), 30)
        raise LookupError("not to be recorded")

    async with Peer(listen).running() as peer:
        with pytest.raises(LookupError):
            await attempt(peer, on_start=refuse)
    assert (peer.connections, peer.requests) == (1, [])


async def test_a_start_is_told_of_each_request_and_not_without_a_connection():
    """One that is made again begins anew: meanwhile another node may send, and each counts at Works."""
    told = []

    async def start():
        told.append("start")

    async def cut_once(peer, reader, writer):
        if peer.connections > 1:
            await accept(peer, reader, writer)

    async with Peer(cut_once).running() as peer:
        outcome = await attempt(peer, LARGE_BODY, on_start=start)
        assert (outcome.action, peer.connections, told) == (Action.RELAYED, 2, ["start"] * 2)
    assert (await attempt(peer, on_start=start)).action is Action.DELAYED
    assert told == ["start"] * 2


async def test_the_user_id_cannot_leave_its_place_in_the_path():
    async with Peer(accept).running() as peer:
        client = Client(works_at(peer.port), FixedTokens(), timeouts=FAST)
        account = SimpleNamespace(name="a", user_id="a b/../c@example.com")
        await client.send(account, mail(), content_of())
        await client.aclose()
    assert peer.requests[0].startswith(b"POST /v1.0/users/a%20b%2F..%2Fc%40example.com/mail ")


async def test_a_large_body_arrives_whole_and_in_order():
    body = Body(bytes(range(256)) * 20_000)
    async with Peer(accept).running() as peer:
        outcome = await attempt(peer, body)
    assert outcome.action is Action.RELAYED
    assert peer.bodies == [body.octets]


async def test_connections_are_used_again():
    async with Peer(accept).running() as peer:
        client = Client(works_at(peer.port), FixedTokens(), timeouts=FAST)
        for _ in range(5):
            await client.send(ACCOUNT, mail(), content_of())
        await client.aclose()
    assert peer.connections == 1
    assert len(peer.bodies) == 5


async def test_the_202_is_reported_before_its_body_is_read():
    """What is recorded late is sent twice after a crash."""
    release = asyncio.Event()
    seen = []

    async def slow_body(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\n")
        await release.wait()
        writer.write(b"hello")

    async def note(status):
        seen.append(status)
        release.set()

    async with Peer(slow_body).running() as peer:
        outcome = await attempt(peer, on_status=note)
    assert seen == [202]
    assert outcome.action is Action.RELAYED


async def test_the_202_is_reported_before_the_rest_of_its_head():
    """The status line alone is the verdict: what is recorded late is sent twice after a crash."""
    release = asyncio.Event()
    seen = []

    async def slow_head(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 202 Accepted\r\n")
        await release.wait()
        writer.write(b"rateLimit-limit: 7\r\nContent-Length: 0\r\n\r\n")

    async def note(status):
        seen.append(status)
        release.set()

    heard = []
    budget = SimpleNamespace(answered=heard.append)
    async with Peer(slow_head).running() as peer:
        outcome = await attempt(peer, on_status=note, budget=budget)
    assert seen == [202]
    assert outcome.action is Action.RELAYED
    assert heard[0].headers["ratelimit-limit"] == "7"


@pytest.mark.parametrize(
    "tail",
    [
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 50\r\n\r\nhalf",
        b"HTTP/1.1 202 Accepted\r\nContent-Le",
        b"HTTP/1.1 202 Accepted\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nX: y\r\n",
    ],
    ids=["body cut", "header cut", "status line alone", "after an interim answer"],
)
async def test_a_whole_status_line_is_the_verdict(tail):
    """202 and then a cut is accepted: to send it again would make two of it."""
    seen = []

    async def cut(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(tail)
        await writer.drain()

    async def note(status):
        seen.append(status)

    async with Peer(cut).running() as peer:
        outcome = await attempt(peer, on_status=note)
    assert outcome.action is Action.RELAYED
    assert seen == [202]


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"HTTP/1.1 20",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"\x00\xff garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
    ],
    ids=["nothing", "half a status line", "100 Continue only", "garbage", "another protocol"],
)
@pytest.mark.parametrize("close", ["close", "reset"])
async def test_broken_after_the_body_is_unknown(tail, close):
    async def cut(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(tail)
        await writer.drain()
        await asyncio.sleep(0.05)
        if close == "reset":
            reset(writer)

    async with Peer(cut).running() as peer:
        outcome = await attempt(peer)
    assert outcome.action is Action.UNKNOWN
    assert outcome.may_have_been_taken
    assert outcome.http_status is None
    assert peer.connections == 1  # never sent again here


async def test_silence_after_the_body_is_unknown():
    async def silent(peer, reader, writer):
        await peer.read_request(reader)
        await reader.read()

    async with Peer(silent).running() as peer:
        outcome = await attempt(peer, timeouts=HASTY)
    assert outcome.action is Action.UNKNOWN
    assert "did not answer in time" in outcome.reason


async def test_a_dripping_answer_ends():
    """A byte now and then resets a timeout for each read; a deadline for the answer does not care."""

    async def drip(peer, reader, writer):
        await peer.read_request(reader)
        for octet in b"HTTP/1.1 202 Accepted\r\nX: " + b"y" * 1000:
            writer.write(bytes([octet]))
            await writer.drain()
            await asyncio.sleep(0.1)

    async with Peer(drip).running() as peer:
        outcome = await attempt(peer, timeouts=HASTY)
    assert outcome.action is Action.UNKNOWN


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_broken_in_the_body_is_certain_and_tried_again_at_once(how):
    """The kernel never took all of it, so the peer cannot have: no duplicate is possible."""

    async def cut(peer, reader, writer):
        await peer.read_head(reader)
        if len(peer.requests) > 1:
            await accept_rest(reader, writer)
            return
        await reader.readexactly(1000)
        if how == "reset":
            reset(writer)

    async def accept_rest(reader, writer):
        await reader.readexactly(len(LARGE))
        writer.write(ACCEPTED)

    async with Peer(cut).running() as peer:
        outcome = await attempt(peer, Body(LARGE))
    assert outcome.action is Action.RELAYED
    assert peer.connections == 2


async def test_broken_in_the_body_twice_is_delayed():
    async def cut(peer, reader, writer):
        await peer.read_head(reader)
        reset(writer)

    async with Peer(cut).running() as peer:
        outcome = await attempt(peer, Body(LARGE))
    assert outcome.action is Action.DELAYED
    assert not outcome.may_have_been_taken
    assert outcome.blame is Blame.REMOTE
    assert peer.connections == 2


async def test_a_peer_that_stops_reading_is_delayed():
    async def stuck(peer, reader, writer):
        await peer.read_head(reader)
        reader._transport.pause_reading()
        await asyncio.sleep(5)

    async with Peer(stuck).running() as peer:
        outcome = await attempt(peer, Body(LARGE * 4), HASTY)
    assert outcome.action is Action.DELAYED
    assert "stopped reading" in outcome.reason


async def test_an_early_413_is_heard_and_the_rest_is_not_sent():
    async def refuse(peer, reader, writer):
        await peer.read_head(reader)
        writer.write(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        await reader.read()  # linger: reading on, as a server must to be heard

    body = Body(LARGE * 8)
    async with Peer(refuse).running() as peer:
        outcome = await attempt(peer, body)
    assert (outcome.action, outcome.http_status) == (Action.DELAYED, 413)
    assert body.made < len(body.octets) // body.block


async def test_refused_connections_are_delayed():
    async with Peer(accept).running() as peer:
        pass
    outcome = await attempt(peer)
    assert (outcome.action, outcome.status) == (Action.DELAYED, "4.4.1")
    assert outcome.if_repeated is Scope.API


async def test_an_unknown_host_is_delayed():
    client = Client(works_at(1, api_url="http://no-such-host.invalid/v1.0"), FixedTokens(), timeouts=FAST)
    outcome = await client.send(ACCOUNT, mail(), content_of())
    assert (outcome.action, outcome.status) == (Action.DELAYED, "4.4.3")


async def test_plain_text_where_tls_is_expected_is_delayed():
    async def talk(peer, reader, writer):
        writer.write(b"220 hello\r\n")
        await reader.read()

    async with Peer(talk).running() as peer:
        client = Client(
            works_at(1, api_url=f"https://127.0.0.1:{peer.port}/v1.0"), FixedTokens(), timeouts=FAST
        )
        outcome = await client.send(ACCOUNT, mail(), content_of())
    assert (outcome.action, outcome.status) == (Action.DELAYED, "4.7.5")


async def test_a_connection_closed_while_idle_is_not_used():
    """A request that meets a closing connection is the one nobody can know the fate of."""

    async def one_each(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(ACCEPTED)
        await writer.drain()
        await asyncio.sleep(0.1)

    async with Peer(one_each).running() as peer:
        client = Client(works_at(peer.port), FixedTokens(), timeouts=FAST)
        for _ in range(3):
            outcome = await client.send(ACCOUNT, mail(), content_of())
            assert outcome.action is Action.RELAYED
            await asyncio.sleep(0.2)
        await client.aclose()
    assert peer.connections == 3


async def test_a_request_that_meets_a_closing_connection_is_unknown_and_not_made_again():
    """The kernel took it all; whether the peer read it before it closed nobody can tell."""

    async def closes_on_the_second(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(ACCEPTED)
        await reader.readexactly(1)
        reset(writer)

    async with Peer(closes_on_the_second).running() as peer:
        client = Client(works_at(peer.port), FixedTokens(), timeouts=FAST)
        await client.send(ACCOUNT, mail(), content_of())
        outcome = await client.send(ACCOUNT, mail(), content_of())
        await client.aclose()
    assert outcome.action is Action.UNKNOWN
    assert peer.connections == 1


@pytest.mark.parametrize("tail", [b"more", ACCEPTED, b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_connection_with_more_than_the_answer_is_not_used_again(tail):
    """What follows the answer would be taken for the next message's."""

    async def answer(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(ACCEPTED + tail)
        await reader.read()

    async with Peer(answer).running() as peer:
        client = Client(works_at(peer.port), FixedTokens(), timeouts=FAST)
        outcomes = [await client.send(ACCOUNT, mail(), content_of()) for _ in range(2)]
        await client.aclose()
    assert [one.action for one in outcomes] == [Action.RELAYED] * 2
    assert peer.connections == 2


async def test_another_protocol_is_no_answer():
    """Nobody asked for one; whether the message was taken is not known."""

    async def switch(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
        await reader.read()

    async with Peer(switch).running() as peer:
        outcome = await attempt(peer)
    assert outcome.action is Action.UNKNOWN
    assert len(peer.requests) == 1


async def test_a_token_with_a_line_end_sends_nothing():
    """It would begin a field of its own, or a request."""
    tokens = FixedTokens(now="token\r\nX-Evil: 1")
    async with Peer(accept).running() as peer:
        client = Client(works_at(peer.port), tokens, timeouts=FAST)
        with pytest.raises(ValueError, match="cannot stand there"):
            await client.send(ACCOUNT, mail(), content_of())
        await client.aclose()
    assert peer.requests == []


async def test_an_answer_after_an_interim_one_is_heard_early():
    async def refuse(peer, reader, writer):
        await peer.read_head(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()

    body = Body(LARGE * 8)
    async with Peer(refuse).running() as peer:
        outcome = await attempt(peer, body)
    assert outcome.http_status == 413
    assert body.made < len(body.octets) // body.block


async def test_an_endless_answer_is_not_read_to_its_end():
    async def flood(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    async with Peer(flood).running() as peer:
        outcome = await attempt(peer)
    assert outcome.action is Action.UNKNOWN
    assert outcome.http_status == 500


async def test_an_endless_head_is_not_read_to_its_end():
    async def flood(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 202 Accepted\r\n")
        while True:
            writer.write(b"X: " + b"y" * 65536)
            await writer.drain()

    async with Peer(flood).running() as peer:
        outcome = await attempt(peer)
    assert outcome.action is Action.RELAYED


@pytest.mark.parametrize("field", [b"Content-Length: -3", b"X: a\x00b", b"no field at all"])
async def test_a_head_that_is_broken_behind_its_status_line_is_not_waited_for(field):
    """Nothing that can be read comes any more: the session and its slot need not wait for it."""

    async def broken(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 202 Accepted\r\n" + field + b"\r\n\r\n")
        await asyncio.sleep(60)

    async with Peer(broken).running() as peer, asyncio.timeout(5):
        outcome = await attempt(peer)
    assert outcome.action is Action.RELAYED


async def test_one_401_is_answered_with_a_fresh_token():
    async def once(peer, reader, writer):
        await peer.read_request(reader)
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        await accept(peer, reader, writer)

    seen = []

    async def note(status):
        seen.append(status)

    async with Peer(once).running() as peer:
        outcome = await attempt(peer, on_status=note)
    assert outcome.action is Action.RELAYED
    assert b"Bearer token-1\r\n" in peer.requests[0]
    assert b"Bearer token-2\r\n" in peer.requests[1]
    assert seen == [202]


async def test_a_second_401_holds_the_account():
    async def never(peer, reader, writer):
        while True:
            await peer.read_request(reader)
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    async with Peer(never).running() as peer:
        outcome = await attempt(peer)
    assert (outcome.action, outcome.scope, outcome.blame) == (Action.HELD, Scope.ACCOUNT, Blame.GATEWAY)
    assert len(peer.requests) == 2


async def test_what_the_payload_raises_is_raised_and_nothing_is_finished():
    """A content that is not what the payload was made from must never become a mail."""

    class Broken(Body):
        def blocks(self, _):
            yield self.octets[:10]
            raise ValueError("not the content")

    async with Peer(accept).running() as peer:
        with pytest.raises(ValueError, match="not the content"):
            await attempt(peer, Broken(b"x" * 100))
        await asyncio.sleep(0.05)
    assert peer.bodies == []


@pytest.mark.parametrize("size", [100, 3_000_000])
async def test_cancelling_closes_the_connection_and_the_client_goes_on(size):
    async def slow_once(peer, reader, writer):
        if peer.connections == 1:
            await peer.read_head(reader)
            await asyncio.sleep(1)
            return
        await accept(peer, reader, writer)

    async with Peer(slow_once).running() as peer:
        client = Client(works_at(peer.port), FixedTokens(), timeouts=FAST)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.send(ACCOUNT, Body(b"x" * size), content_of())
        outcome = await client.send(ACCOUNT, Body(b"x" * size), content_of())
        await client.aclose()
    assert outcome.action is Action.RELAYED
    assert peer.connections == 2


def break_at_random(dice, taken):
    """A peer that breaks wherever it may, and keeps book of which bodies it had whole."""

    async def serve(peer, reader, writer):
        while True:
            head = await peer.read_head(reader)
            length = int(
                next(line for line in head.split(b"\r\n") if b"Content-Length" in line).split(b":")[1]
            )
            fate = dice.choice(
                ["accept", "accept", "before", "in", "early", "after", "half", "status", "close"]
            )
            if fate == "early":
                writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
                return None
            if fate in ("before", "in"):
                await reader.readexactly(0 if fate == "before" else dice.randrange(length))
                return reset(writer) if dice.random() < 0.5 else None
            taken[(await reader.readexactly(length))[:12]] += 1
            if fate in ("after", "half", "status"):
                writer.write({"half": b"HTTP/1.1 2", "status": b"HTTP/1.1 202 Accepted\r\n"}.get(fate, b""))
                await writer.drain()
                await asyncio.sleep(0.01)
                return None
            writer.write(ACCEPTED)
            if fate == "close":
                await writer.drain()
                return None

    return serve


async def test_wherever_it_breaks_certainty_is_never_wrong():
    """Called certainly not taken: it was not. Called relayed: it was, once. And never two of one."""
    dice = random.Random(11)
    taken = Counter()
    async with Peer(break_at_random(dice, taken)).running() as peer:
        client = Client(works_at(peer.port), FixedTokens(), timeouts=FAST)
        numbers = iter(range(400))

        async def work():
            for number in numbers:
                key = b"%012d" % number
                body = Body(key + b"x" * dice.choice([20, 2000, 70_000, 300_000, 2_000_000]))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02 if dice.random() < 0.1 else 30):
                        outcome = await client.send(ACCOUNT, body, content_of())
                        assert not (outcome.action is Action.DELAYED and taken[key]), outcome
                        assert outcome.action is not Action.RELAYED or taken[key] == 1, outcome
                assert taken[key] <= 1

        await asyncio.gather(*[work() for _ in range(10)])
        # What was cancelled and broken has not worn the client out.
        ends = [(await client.send(ACCOUNT, mail(), content_of())).action for _ in range(30)]
        await client.aclose()
    assert Action.RELAYED in ends
