"""`relay sandbox --api-only`: the simulated Works for somebody else's program, with faults by option."""

import asyncio
import json
import re
import signal
import smtplib
import subprocess
import sys

import httpx2 as httpx
import pytest

from relay.cli import Failure
from relay.cli import sandbox as sandbox_command
from tests.support import warm


def test_api_only_begins_with_the_faults_and_limits_it_is_given():
    """It answers to its own names alone, as the console does: DNS rebinding would lay the inbox open."""
    options = ["--api-only", "--fault", "503:times=2", "--requests-per-minute", "7", "--rotation"]
    command = [sys.executable, "-m", "relay", "sandbox", "--http-port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as works:
        try:
            url = next(
                found[0] for line in works.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line))
            )
            with httpx.Client(base_url=url, trust_env=False) as http:
                (fault,) = http.get("/sandbox/faults").json()
                assert (fault["kind"], fault["times"]) == ("503", 2)
                assert http.get("/inbox", headers={"host": "evil.example"}).status_code == 421
                tokens = http.post("/sandbox/grants", json={"login_id": "scanner@example.com"}).json()
                mail = {"to": "a@example.com", "subject": "a"}
                headers = {"authorization": f"Bearer {tokens['access_token']}"}
                answers = [http.post("/v1.0/users/me/mail", json=mail, headers=headers) for _ in range(3)]
                assert [answer.status_code for answer in answers] == [503, 503, 202]
                assert answers[2].headers["ratelimit-limit"] == "7"
                form = {
                    "client_id": "sandbox",
                    "client_secret": "sandbox-secret",
                    "grant_type": "refresh_token",
                }
                form["refresh_token"] = tokens["refresh_token"]
                assert "refresh_token" in http.post("/oauth2/v2.0/token", data=form).json()
        finally:
            works.send_signal(signal.SIGINT)
        assert works.wait(20) == 0


def test_the_relay_before_it_keeps_to_the_limits_that_it_is_given():
    """It kept to the usual ones: without a limit mail still waited, with a lower one Works had to say so."""
    command = [sys.executable, "-m", "relay", "sandbox", "--http-port", "0", "--smtp-port", "0"]
    with subprocess.Popen([*command, "--mails-per-minute", "2"], stderr=subprocess.PIPE, text=True) as both:
        try:
            text = ""
            while "Ctrl-C" not in text:
                text += both.stderr.readline()
            port = int(re.search(r"SMTP +127\.0\.0\.1:(\d+)", text)[1])
            url = re.search(r"(http://127\.0\.0\.1:\d+)/inbox", text)[1]
            for number in range(4):
                with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
                    client.sendmail("a@example.com", ["b@example.com"], f"Subject: {number}\r\n\r\nx\r\n")
            with httpx.Client(base_url=url, trust_env=False) as http:
                answers = http.get("/sandbox/counts").json()["answers"]
                assert set(answers) == {"202"}
                assert answers["202"] <= 2
        finally:
            both.send_signal(signal.SIGINT)
        assert both.wait(20) == 0


def test_a_fault_that_is_none_is_said_and_nothing_starts():
    command = [sys.executable, "-m", "relay", "sandbox", "--fault", "flood"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 64
    assert "kind must be one of latency, 400" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([], "did not take the sample: Connection unexpectedly closed"),
        (["220 x", "250 x", *["452 full"] * 5], "did not take the sample: (452, b'full')"),
        (["220 x", "250 x", None], "gave no answer in 0 s"),
    ],
    ids=["hangs up", "refuses", "is silent"],
)
async def test_a_relay_that_does_not_take_the_sample_is_told_from_a_port_in_use(monkeypatch, answers, said):
    """What smtplib raises is an OSError too, and became "cannot listen … choose another with --http-port"."""
    monkeypatch.setattr(sandbox_command, "_ONCE_PATIENCE", 0.2)

    async def serve(reader, writer):
        for answer in answers:
            if answer is None:
                await reader.read()  # until the client has no more patience
                break
            writer.write(f"{answer}\r\n".encode())
            await reader.readline()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        with pytest.raises(Failure) as caught:
            await sandbox_command._send_sample(*server.sockets[0].getsockname())
    assert said in str(caught.value)
    assert caught.value.exit_code == 70


def test_once_with_a_works_that_is_silent():
    """A page of traceback, then that a port could not be listened on. It was taken, and is shown."""
    words = ["sandbox", "--once", "--fault", "no-answer:seconds=20"]
    done = subprocess.run([*warm.relay(), *words], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "250 2.0.0 queued, id=" in done.stderr
    assert json.loads(done.stdout)["to"] == "yamada@example.com"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("503", "the sample is delayed: 4.4.5 Works is temporarily out of service"),
        ("400", "the relay's answer says why"),
        ("token-death:at=mail", "the sample is held: 4.7.0 the account's consent is no longer valid"),
    ],
)
def test_once_with_a_works_that_takes_nothing(fault, said):
    """It pointed to a log above, and there was none."""
    words = ["sandbox", "--once", "--fault", fault]
    done = subprocess.run([*warm.relay(), *words], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (70, ""), done.stderr
    assert f"relay: the simulated Works took nothing; {said}" in done.stderr


def test_each_mail_has_one_line_for_people():
    """Two long lines of the log for each, and none of them said where to look."""
    command = [sys.executable, "-m", "relay", "sandbox", "--http-port", "0", "--smtp-port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8") as both:
        try:
            said = ""
            while "Ctrl-C" not in said:
                said += both.stderr.readline()
            assert "listening" not in said
            port = int(re.search(r"SMTP +127\.0\.0\.1:(\d+)", said)[1])
            url = re.search(r"(http://127\.0\.0\.1:\d+)/inbox", said)[1]
            with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
                client.sendmail("nas@example.com", "admin@example.com", "Subject: x\r\n\r\ny")
            line = both.stderr.readline()
            assert line == "← 127.0.0.1 nas@example.com → admin@example.com relayed, see /inbox/1\n"
            httpx.post(f"{url}/sandbox/faults", json={"kind": "503", "times": 0}, trust_env=False)
            with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
                client.sendmail("nas@example.com", "admin@example.com", "Subject: x\r\n\r\nz")
            while "← " not in (line := both.stderr.readline()):
                assert line, "the sandbox ended"
            assert line.startswith("← 127.0.0.1 nas@example.com → admin@example.com delayed: ")
            assert "; see /messages/" in line
        finally:
            both.send_signal(signal.SIGINT)
            both.communicate(timeout=60)
