"""`relay doctor` and `relay learn` as a person types them, beside a running relay."""

import asyncio
import json
import subprocess

import pytest

from tests.support import warm
from tests.support.doctor import running


async def relay(tmp_path, *words):
    config = tmp_path / "commands.toml"
    config.write_text(f'state_dir = "{tmp_path}"\n')
    words = [*warm.relay(), *words, "--config", str(config)]
    return await asyncio.to_thread(
        subprocess.run,
        words,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
    )


async def knock(service, *lines):
    reader, writer = await asyncio.open_connection(*service.server.addresses[0])
    await reader.readline()
    for line in lines:
        writer.write(line.encode() + b"\r\n")
        await reader.readline()
    writer.close()
    await asyncio.sleep(0.05)


async def test_doctor_for_people(tmp_path):
    async with running(tmp_path, {}) as service:
        nobody = await relay(tmp_path, "doctor", "127.0.0.1")
        assert "nothing has come from 127.0.0.1 since" in nobody.stdout
        await knock(
            service, "HELO printer", "RCPT TO:<a@b>;<c@d>", "MAIL FROM:<a@b.example>", "RCPT TO:<yamada>"
        )
        one = await relay(tmp_path, "doctor", "127.0.0.1")
        assert "its recipient 'yamada' has no domain" in one.stdout
        assert " C RCPT TO:<yamada>\n" in one.stdout
        everyone = await relay(tmp_path, "doctor")
        assert everyone.stdout.startswith("127.0.0.1 (printer)")
        machine = json.loads((await relay(tmp_path, "doctor", "127.0.0.1", "--json")).stdout)
        assert machine["clients"][0]["last"]["advice"][0]["problem"] == "recipient-without-domain"


async def test_learn_for_people(tmp_path):
    async with running(tmp_path, {"networks": ["192.168.1.0/24"]}) as service:
        refused = await relay(tmp_path, "learn", "0.0.0.0/0")
        assert (refused.returncode, "is public" in refused.stderr) == (65, True)
        learning = await relay(tmp_path, "learn", "127.0.0.0/8", "--for", "1m")
        assert learning.stdout.startswith("learning 127.0.0.0/8 until ")
        script = ("EHLO", "MAIL FROM:<s@d.example>", "RCPT TO:<b@example.com>", "DATA", "x\r\n.")
        await knock(service, "HELO copier", *script[1:])
        shown = await relay(tmp_path, "learn")
        assert "127.0.0.1 (copier) sends as s@d.example to b@example.com; 1 message held" in shown.stdout
        adopted = await relay(tmp_path, "learn", "--adopt", "127.0.0.1")
        assert adopted.stdout.startswith("127.0.0.1 adopted, 1 message released; written to ")
        again = await relay(tmp_path, "learn", "--adopt", "127.0.0.1")
        assert "no mail of 127.0.0.1 is held" in again.stderr


@pytest.mark.parametrize("words", [("doctor",), ("doctor", "--live"), ("learn",)])
async def test_without_a_running_relay_they_say_so(tmp_path, words):
    done = await relay(tmp_path, *words)
    assert done.returncode == 69
    assert "relay serve" in done.stderr
