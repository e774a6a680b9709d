"""Faults on demand, as a client at the socket sees them, and what was accepted all the same."""

import asyncio
import signal
import socket

import httpx2 as httpx
import pytest
import uvloop

from relay.console.server import serving
from relay.sandbox import Sandbox
from tests.support.sandbox import LOGIN, MAIL

BIG = MAIL | {"body": "x" * 3_000_000}


@pytest.mark.parametrize(
    ("kind", "accepted"), [("cut-before", 0), ("cut-in", 0), ("cut-after", 1), ("no-answer", 1)]
)
@pytest.mark.parametrize("mail", [MAIL, BIG], ids=["small", "big"])
async def test_a_connection_that_breaks(works, kind, accepted, mail):
    await works.fault(kind, seconds=0.05 if kind == "no-answer" else 0)
    with pytest.raises(httpx.TransportError):
        await works.send(mail)
    assert works.sandbox.counts()["accepted"] == accepted
    assert (await works.send(mail)).status_code == 202
    assert works.sandbox.counts()["accepted"] == accepted + 1


async def test_a_cut_is_a_reset_and_not_an_orderly_end(works):
    """An orderly end tells the client that nobody reads on; a router's reset tells it nothing."""
    await works.fault("cut-after")
    request = (
        f"POST /v1.0/users/me/mail HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {works.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 38\r\n\r\n"
        '{"to":"a@example.com","subject":"abc"}'
    ).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", works.port)
    writer.write(request)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert works.sandbox.counts()["accepted"] == 1


async def test_a_client_that_leaves_before_the_cut_is_no_fault_of_the_sandbox(works, caplog):
    """Its socket was looked for all the same: a traceback, or the reset of whoever has its number by now."""
    await works.fault("no-answer", seconds=0.5)
    with pytest.raises(httpx.ReadTimeout):
        await works.send(timeout=0.1)
    while works.sandbox.counts()["in_flight"]:
        await asyncio.sleep(0.01)
    assert caplog.records == []
    assert (await works.send()).status_code == 202


@pytest.mark.parametrize(
    ("kind", "code"),
    [("429", "TOO_MANY_REQUESTS"), ("500", "INTERNAL_SERVER_ERROR"), ("503", "SERVICE_UNAVAILABLE")],
)
async def test_an_answer_instead(works, kind, code):
    await works.fault(kind, times=2)
    for _ in range(2):
        answer = await works.send()
        assert (answer.status_code, answer.json()["code"]) == (int(kind), code)
    assert works.sandbox.counts()["accepted"] == 0
    assert (await works.send()).status_code == 202


async def test_a_500_may_have_accepted(works):
    await works.fault("500", accepted=True)
    assert (await works.send()).status_code == 500
    assert works.sandbox.counts()["accepted"] == 1


async def test_429_for_some_seconds(works):
    await works.fault("429", seconds=30)
    for left in ("30", "20"):
        answer = await works.send()
        assert (answer.status_code, answer.headers["ratelimit-reset"]) == (429, left)
        works.sandbox.clock.move(10)
    works.sandbox.clock.move(10)
    assert (await works.send()).status_code == 202


async def test_a_proxys_page_in_place_of_json(works):
    await works.fault("wrong-content-type", status=502)
    answer = await works.send()
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")


async def test_latency_delays_the_answer_and_not_the_acceptance(works):
    await works.fault("latency", seconds=30)
    with pytest.raises(httpx.ReadTimeout):
        await works.send(timeout=0.2)
    assert works.sandbox.counts()["accepted"] == 1
    await works.fault("latency", seconds=0.01)
    assert (await works.send()).status_code == 202


async def test_token_death_is_for_good(works):
    await works.fault("token-death")
    answer = await works.send()
    assert (answer.status_code, "invalid_token" in answer.headers["www-authenticate"]) == (401, True)
    answer = await works.ask_token(grant_type="refresh_token", refresh_token=works.refresh_token)
    assert answer.json()["error"] == "invalid_grant"
    works.token = works.sandbox.issue_grant(LOGIN)["access_token"]
    assert (await works.send()).status_code == 202


async def test_token_death_meets_a_refresh_too(works):
    await works.fault("token-death")
    answer = await works.ask_token(grant_type="refresh_token", refresh_token=works.refresh_token)
    assert answer.json()["error"] == "invalid_grant"
    assert (await works.send()).status_code == 401


async def test_an_access_token_alone_can_die(works):
    await works.fault("token-death", access_only=True)
    assert (await works.send()).status_code == 401
    answer = await works.ask_token(grant_type="refresh_token", refresh_token=works.refresh_token)
    works.token = answer.json()["access_token"]
    assert (await works.send()).status_code == 202


async def test_the_token_endpoint_has_faults_of_its_own(works):
    await works.fault("503", at="token")
    assert (await works.send()).status_code == 202
    answer = await works.ask_token(grant_type="refresh_token", refresh_token=works.refresh_token)
    assert answer.status_code == 503


async def test_a_fault_for_one_account(works):
    await works.fault("503", account="erp@example.com", times=0)
    assert (await works.send()).status_code == 202
    works.token = works.sandbox.issue_grant("erp@example.com")["access_token"]
    assert (await works.send()).status_code == 503
    assert (await works.send()).status_code == 503


async def test_faults_are_listed_and_deleted(works):
    await works.fault("503", times=0)
    await works.fault("429", times=3)
    listed = (await works.http.get("/sandbox/faults")).json()
    assert [(one["kind"], one["times"], one["met"]) for one in listed] == [("503", 0, 0), ("429", 3, 0)]
    assert (await works.http.delete("/sandbox/faults", params={"kind": "503"})).status_code == 204
    assert (await works.send()).status_code == 429
    await works.http.delete("/sandbox/faults")
    assert (await works.http.get("/sandbox/faults")).json() == []
    assert (await works.send()).status_code == 202


@pytest.mark.parametrize(
    "wish",
    [
        {"kind": "flood"},
        {},
        [],
        {"kind": "500", "times": "3"},
        {"kind": "500", "times": True},
        {"kind": "500", "times": -1},
        {"kind": "500", "seconds": -0.1},
        {"kind": "500", "at": "moon"},
        {"kind": "500", "tmies": 1},
        {"kind": "wrong-content-type", "status": 99999},
    ],
    ids=str,
)
async def test_a_fault_that_is_none(works, wish):
    answer = await works.http.post("/sandbox/faults", json=wish)
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_a_silent_answer_does_not_hold_up_the_stop(works):
    """The stop is bounded: a connection in its silence is cut."""
    await works.fault("no-answer", seconds=3600)
    waiting = asyncio.create_task(works.send())
    while not (await works.http.get("/sandbox/counts")).json()["accepted"]:
        pass
    waiting.add_done_callback(lambda task: task.exception())


def test_everything_works_under_uvloop():
    async def run():
        sandbox = Sandbox()
        token = sandbox.issue_grant(LOGIN)["access_token"]
        headers = {"authorization": f"Bearer {token}"}
        async with serving(sandbox.app) as server, httpx.AsyncClient(trust_env=False) as http:
            url = f"{server.url}/v1.0/users/me/mail"
            for kind in ("cut-before", "cut-in", "cut-after"):
                sandbox.add_fault(kind)
                with pytest.raises(httpx.TransportError):
                    await http.post(url, json=BIG, headers=headers)
            assert (await http.post(url, json=BIG, headers=headers)).status_code == 202
        sandbox.close()
        return sandbox.counts()["accepted"]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == 2


async def test_a_port_in_use_is_an_os_error(works):
    with pytest.raises(OSError, match="in use"):
        async with serving(works.sandbox.app, port=works.port):
            pass


async def test_the_server_takes_no_signals_and_leaves_no_socket_behind(works):
    """The relay handles signals once for all that runs; uvicorn alone would take them."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with serving(works.sandbox.app) as server:
        port = server.port
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))
