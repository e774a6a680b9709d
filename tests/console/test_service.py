"""The console of a real service: a message goes through, and the page and the counters say so."""

import asyncio
import os
import re
import shutil
import signal
import smtplib
import sqlite3
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2 as httpx
import pytest
import structlog

from relay.config.load import build as build_config
from relay.console.server import Front, serving
from relay.console.service import ServiceStatus, open_console
from relay.grants import Grant
from relay.sandbox import Sandbox
from relay.service import Service
from relay.smtp.server import ListenError
from relay.works.auth.files import GrantFiles

MESSAGE = b"""\
From: scanner@example.com
To: a@example.net
Reply-To: b@example.net
Subject: geheim

Hello
"""


def settings(folder: Path, api: str, **more):
    works = {"client_id": "sandbox", "client_secret": "sandbox-secret", "requests_per_minute": 0}
    return build_config(
        {
            "hostname": "relay.test",
            "state_dir": str(folder),
            "works": {**works, "api_url": f"{api}/v1.0", "auth_url": f"{api}/oauth2/v2.0"},
            "account": [
                {"name": "scanner", "address": "scanner@example.com", "default": True},
                {"name": "erp", "address": "erp@example.com"},
            ],
            "listener": [{"address": "127.0.0.1:0"}],
            "console": {"address": "127.0.0.1:0"},
            **more,
        },
        environ={},
    )


def grant(sandbox: Sandbox, login_id: str, age: float = 0.0) -> Grant:
    tokens, now = sandbox.issue_grant(login_id), time.time()
    return Grant(
        access_token=tokens["access_token"],
        expires_at=now + 3600,
        refresh_token=tokens["refresh_token"],
        consented_at=now - age,
        issued_at=now,
        refresh_issued_at=now - age,
    )


@asynccontextmanager
async def relaying(folder: Path, **more):
    """A service with one grant and one account without, its console, and the simulated Works."""
    sandbox = Sandbox()
    try:
        async with serving(sandbox.app) as works:
            config = settings(folder, works.url, **more)
            GrantFiles(folder).write("scanner", grant(sandbox, "scanner@example.com", age=80 * 86400))
            service = Service(config)
            await service.start()
            try:
                async with (
                    open_console(service) as server,
                    httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
                ):
                    yield service, http
            finally:
                await service.stop()
    finally:
        sandbox.close()


def send(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.sendmail("scanner@example.com", ["a@example.net", "c@example.net"], MESSAGE)


def counted(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def test_a_message_is_seen_and_counted_without_its_content(tmp_path):
    async with relaying(tmp_path) as (service, http):
        before = counted((await http.get("/metrics")).text)
        await asyncio.to_thread(send, service.server.addresses[0][1])
        page = (await http.get("/")).text
        after = counted((await http.get("/metrics")).text)
    for words in (
        "relayed",
        "reply-to",
        "127.0.0.1",
        "consent due",
        "consent is needed again in 9 days",
    ):
        assert words.lower() in page.lower(), words
    for secret in ("geheim", "Hello", "sandbox-secret", "a@example.net", "b@example.net"):
        assert secret not in page
    for series in (
        'relay_messages_total{reply="relayed"}',
        'relay_attempts_total{action="relayed",blame="remote"}',
        'relay_losses_total{loss="reply-to"}',
        'relay_api_seconds_count{answer="2xx"}',
        'relay_connections_total{result="accepted"}',
        'relay_queue_messages{state="relayed"}',
        "relay_reply_seconds_count",
    ):
        assert after[series] == before[series] + 1, series
    assert 9 < after['relay_grant_days_left{account="scanner"}'] < 10


async def test_who_sends_too_much_is_named(tmp_path):
    """Its messages are deferred with 450 4.7.1, and whoever looks after the relay sees whose they are."""
    async with relaying(tmp_path, limits={"messages_per_hour": 1}) as (service, http):
        port = service.server.addresses[0][1]
        before = counted((await http.get("/metrics")).text)
        assert "messages_per_hour" not in (await http.get("/")).text
        await asyncio.to_thread(send, port)
        with structlog.testing.capture_logs() as lines:
            for _ in range(2):
                with pytest.raises(smtplib.SMTPDataError, match="450"):
                    await asyncio.to_thread(send, port)
        after = counted((await http.get("/metrics")).text)
    (line,) = [one for one in lines if one["event"] == "source over its limit"]
    assert (line["source"], line["messages_per_hour"]) == ("127.0.0.1", 1)
    assert after["relay_over_limit_total"] == before["relay_over_limit_total"] + 2


async def test_what_needs_a_person_is_said_and_is_no_reason_to_be_unready(tmp_path):
    """A load balancer that took the relay out would only stop mail from being kept."""
    async with relaying(tmp_path) as (service, http):
        page = (await http.get("/")).text
        assert "sudo relay login erp" in page
        assert "consent is needed again in 9 days" in page
        assert (await http.get("/readyz")).text == "ready\n"
        assert (await http.get("/healthz")).text == "ok\n"
        await service.courier.stop(0)
        assert (await http.get("/healthz")).status_code == 503
        assert "nothing is sent any more" in (await http.get("/readyz")).text


async def test_a_disk_that_takes_no_mail_is_unready_and_no_reason_to_restart(tmp_path):
    """It was ready for as long as one message fitted, while every RCPT heard 452 for keep_free's sake."""
    too_much = shutil.disk_usage(tmp_path).free * 2
    for more, said in (
        ({"spool": {"keep_free": too_much}}, "gets 452"),
        ({"listener": [{"address": "127.0.0.1:0", "message_limit": too_much}]}, "of the largest size"),
    ):
        async with relaying(tmp_path, **more) as (_, http):
            answer = await http.get("/readyz")
            assert (answer.status_code, said in answer.text) == (503, True), answer.text
            assert (await http.get("/healthz")).status_code == 200


async def test_a_relay_whose_database_is_locked_is_not_ready(tmp_path):
    """Every message heard 451 for somebody's sqlite3 shell, and a balancer went on sending clients here."""
    async with relaying(tmp_path) as (service, http):
        assert (await http.get("/readyz")).text == "ready\n"
        lock = sqlite3.connect(service.config.state_dir / "spool" / "spool.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.text) == (
            503,
            "the spool cannot be written: OperationalError: database is locked\n",
        )
        lock.close()
        assert (await http.get("/readyz")).text == "ready\n"


async def test_a_relay_without_accounts_is_not_ready(tmp_path):
    async with relaying(tmp_path, account=[]) as (_, http):
        assert (await http.get("/readyz")).text == "no account is configured\n"


async def test_a_console_port_in_use_is_said_by_its_key(tmp_path, tmp_path_factory):
    second = tmp_path_factory.mktemp("second")
    async with relaying(tmp_path) as (_, http):
        address = f"127.0.0.1:{http.base_url.port}"
        with pytest.raises(ListenError, match=re.escape(f"[console] {address}: cannot listen")):
            async with relaying(second, console={"address": address}):
                pass


async def test_no_address_no_console(tmp_path):
    sandbox = Sandbox()
    service = Service(settings(tmp_path, "http://127.0.0.1:1", console={"address": ""}))
    async with open_console(service) as server:
        assert server is None
    sandbox.close()


async def test_console_and_simulation_live_on_one_port(tmp_path):
    """As `relay sandbox` serves them: one guard before both, faults still cut connections."""
    sandbox = Sandbox()
    front = Front(sandbox.app)
    try:
        async with serving(front) as server, httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
            assert (await http.get("/")).headers["location"] == "/inbox"
            service = Service(settings(tmp_path, server.url))
            await service.start()
            try:
                from relay.console.app import build

                front.replace(build(ServiceStatus(service), beside=sandbox.app, links={"Inbox": "/inbox"}))
                assert 'href="/inbox"' in (await http.get("/")).text
                assert "No message yet" in (await http.get("/inbox")).text
                assert (await http.get("/inbox", headers={"host": "evil.example"})).status_code == 421
                await http.post("/sandbox/faults", json={"kind": "cut-before"})
                with pytest.raises(httpx.TransportError):
                    await http.post("/v1.0/users/me/mail", json={})
            finally:
                await service.stop()
    finally:
        sandbox.close()


def test_serve_opens_the_console_and_stops_on_sigterm(tmp_path):
    config = tmp_path / "relay.toml"
    config.write_text(
        f'state_dir = "{tmp_path}/state"\n[works]\nclient_id = "x"\nclient_secret = "y"\n'
        '[[account]]\nname = "scanner"\naddress = "scanner@example.com"\n'
        '[[listener]]\naddress = "127.0.0.1:0"\n[console]\naddress = "127.0.0.1:0"\n[log]\nformat = "json"\n'
    )
    (tmp_path / "state").mkdir()
    command = [sys.executable, "-m", "relay", "serve", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as relay:
        try:
            url = next(
                found[0] for line in relay.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line))
            )
            with httpx.Client(trust_env=False, base_url=url) as http:
                assert "relay login scanner" in http.get("/").text
        finally:
            relay.send_signal(signal.SIGTERM)
        rest = relay.stderr.read()
        assert relay.wait(20) == 0
    assert "Traceback" not in rest
