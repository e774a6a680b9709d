"""`relay check` tries what the next days need, and not only what works today."""

import asyncio
import json
import os
import smtplib
import ssl
import subprocess

import pytest

from relay.console.server import serving
from relay.host import certificate
from relay.sandbox import Sandbox, Settings
from relay.works.auth.files import GrantFiles
from tests.support import warm
from tests.support.toml import to_toml
from tests.support.whole_relay import grant_of, tree, whole_relay


async def check(path):
    done = await asyncio.create_subprocess_exec(
        *warm.relay(),
        "check",
        "--json",
        "--config",
        str(path),
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
        GrantFiles(tmp_path).write("scanner", grant_of(sandbox, "scanner@example.com"))
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


def findings(path, **environment):
    done = subprocess.run(
        [*warm.relay(), "check", "--json", "--config", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)["findings"]


CLOSED = "http://127.0.0.1:9"
HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA"


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        (0o644, ["holds client_secret", "holds password_hash"]),
        (0o664, ["can be written", "holds client_secret", "can be written", "holds password_hash"]),
        (0o640, []),
        (0o600, []),
    ],
)
def test_hashes_and_secrets_that_others_can_read(tmp_path, mode, found):
    """Every user of the machine could try the hashes at leisure; check said "secret present"."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "relay.toml").write_text(
        f'state_dir = "{tmp_path}/state"\ninclude = ["users.toml"]\n[works]\nclient_secret = "s3cret-ours"\n'
        f'api_url = "{CLOSED}"\nauth_url = "{CLOSED}"\n'
    )
    (tmp_path / "users.toml").write_text(f'[[user]]\nname = "erp"\npassword_hash = "{HASH}"\n')
    for name in ("relay.toml", "users.toml"):
        (tmp_path / name).chmod(mode)
    said = [one for one in findings(tmp_path / "relay.toml") if one["subject"] == "configuration"]
    assert [one["level"] for one in said] == ["warning"] * len(found)
    for one, words in zip(said, found, strict=True):
        assert words in one["text"]
        assert "chmod" in one["remedy"]
        assert HASH not in one["text"]


@pytest.mark.parametrize(("login", "warns"), [("", False), ("relay:s3cret-proxy@", True)])
def test_a_proxys_password_that_others_can_read(tmp_path, login, warns):
    """Without a login its URL is no secret."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "relay.toml").write_text(
        f'state_dir = "{tmp_path}/state"\n[works]\napi_url = "{CLOSED}"\nauth_url = "{CLOSED}"\n'
        f'proxy = "http://{login}127.0.0.1:9"\n'
    )
    (tmp_path / "relay.toml").chmod(0o644)
    said = [one["text"] for one in findings(tmp_path / "relay.toml") if one["subject"] == "configuration"]
    assert [text.endswith("and holds proxy") for text in said] == [True] * warns


async def test_tls_is_looked_at_as_sending_does(tmp_path):
    """With SSL_CERT_FILE the check trusted what sending does not: "ok", and no mail went."""
    pair = certificate.make(["localhost"], 2)
    certificate.write(pair, tmp_path / "crt.pem", tmp_path / "key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt.pem", tmp_path / "key.pem")
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "relay.toml").write_text(
        f'state_dir = "{tmp_path}/state"\n[works]\napi_url = "{url}"\nauth_url = "{CLOSED}"\n'
    )
    async with server:
        said = await asyncio.to_thread(
            findings, tmp_path / "relay.toml", SSL_CERT_FILE=str(tmp_path / "crt.pem")
        )
    (found,) = [one for one in said if one["subject"] == "api_url"]
    assert "not trusted" in found["text"]
