"""`relay check` tries what the next days need, and not only what works today."""

import asyncio
import json
import smtplib
import sys

import pytest

from relay.console.server import serving
from relay.sandbox import Sandbox, Settings
from relay.works.auth.files import FileGrants
from tests.support.toml import to_toml
from tests.support.whole_relay import grant_of, tree, whole_relay


async def check(path):
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relay", "check", "--json", "--config", str(path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(done.communicate(), 30)
    assert b"Traceback" not in errors
    # Nothing but JSON on standard output, whatever the grants' keeper has to log.
    findings = {one["subject"]: one for one in json.loads(output)["findings"]}
    return done.returncode, findings["account scanner"]


@pytest.mark.parametrize(
    ("trouble", "code", "words"),
    [
        ("", 0, "may send as scanner@example.com"),
        ("dead", 69, "its grant is dead"),
        ("secret", 69, "Works refuses the app"),
    ],
)
async def test_a_living_access_token_proves_nothing(tmp_path, trouble, code, words):
    """It lives for a day: so long `relay check` said "ready" of a dead consent and of a wrong secret."""
    sandbox = Sandbox()
    async with serving(sandbox.app) as http:
        settings = tree(http, tmp_path)
        FileGrants(tmp_path).store("scanner", grant_of(sandbox, "scanner@example.com"))
        if trouble == "dead":
            sandbox.grants.kill(sandbox.grants.grants[0])
        if trouble == "secret":
            settings["works"]["client_secret"] = "an-old-one"
        (tmp_path / "relay.toml").write_text(to_toml(settings))
        found = await check(tmp_path / "relay.toml")
    sandbox.close()
    assert found[0] == code, found
    assert words in found[1]["text"]


async def test_what_the_running_relay_holds_is_told(tmp_path):
    """A quota that is used up is no fault of the grant, and keeps mail back all the same."""
    async with whole_relay(tmp_path, Settings(recipients_per_day=1)) as running:
        (tmp_path / "relay.toml").write_text(to_toml(tree(running.http, tmp_path)))
        assert (await check(tmp_path / "relay.toml"))[0] == 0
        await asyncio.to_thread(send, running.smtp)
        code, found = await check(tmp_path / "relay.toml")
    assert code == 69
    assert "the running relay holds its mail: the mailbox is over a limit" in found["text"]


def send(address):
    with smtplib.SMTP(*address, timeout=30) as client:
        client.sendmail("scanner@example.com", ["a@example.com", "b@example.com"], "Subject: x\n\nhello\n")
