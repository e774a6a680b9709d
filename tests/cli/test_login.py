"""`relay login` and `relay accounts` as commands, against the simulated Works' consent page."""

import asyncio
import contextlib
import html
import json
import os
import re
import socket
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest

from relay.console.server import serving
from relay.sandbox import Sandbox, Settings
from relay.works.auth.files import FileGrants
from tests.support.ports import free_port

CONFIG = """
state_dir = "{state_dir}"
[works]
client_id = "sandbox"
client_secret = "{secret}"
api_url = "http://127.0.0.1:{port}/v1.0"
auth_url = "http://127.0.0.1:{port}/oauth2/v2.0"
redirect_url = "http://localhost:{redirect_port}/callback"
scope = "{scope}"
[[account]]
name = "scanner"
address = "scanner@example.com"
default = true
[[account]]
name = "erp"
address = "erp@example.com"
"""


class Machine:
    """A configured machine and the simulated Works that it talks to."""

    def __init__(self, directory, sandbox, port, **more):
        self.sandbox = sandbox
        self.state_dir = directory / "state"
        self.state_dir.mkdir()
        self.path = directory / "relay.toml"
        self.redirect_port = free_port()
        keys = {"scope": "mail", "secret": "sandbox-secret", "state_dir": self.state_dir} | more
        self.path.write_text(CONFIG.format(port=port, redirect_port=self.redirect_port, **keys))

    async def relay(self, *words):
        command = [sys.executable, "-m", "relay", *words, "--config", str(self.path)]
        pipe = asyncio.subprocess.PIPE
        env = {k: v for k, v in os.environ.items() if "DISPLAY" not in k and not k.startswith("RELAY_")}
        return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, env=env)

    @property
    def grant(self):
        return FileGrants(self.state_dir).load("scanner")


@contextlib.asynccontextmanager
async def machine(directory, **more):
    sandbox = Sandbox(Settings())
    try:
        async with serving(sandbox.app) as server:
            yield Machine(directory, sandbox, server.port, **more)
    finally:
        sandbox.close()
    await asyncio.sleep(0)


async def click(url, **form):
    """What a person does on the consent page; the redirected URL."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        page = await http.get(url)
        if page.status_code in (302, 303):
            return page.headers["location"]
        assert page.status_code == 200, page.text
        hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page.text))

        fields = {name: html.unescape(value) for name, value in hidden.items()}
        target = url.split("?")[0] + "?" + urlsplit(url).query
        choice = {"decision": "allow", "login_id": "scanner@example.com"} | form
        answer = await http.post(target, data=fields | choice)
        assert answer.status_code in (302, 303), answer.text
        return answer.headers["location"]


async def follow(location):
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        return await http.get(location)


async def ended(process):
    out, err = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, out.decode(), err.decode()


async def test_a_browser_consents(tmp_path):
    async with machine(tmp_path) as one:
        process = await one.relay("login", "scanner")
        url = (await process.stdout.readline()).decode().strip()
        query = parse_qs(urlsplit(url).query)
        assert query["scope"] == ["mail"]
        assert query["response_type"] == ["code"]
        assert len(query["state"][0]) >= 24
        answer = await follow(await click(url))
        assert answer.status_code == 200
        code, _, err = await ended(process)
        assert code == 0, err
        assert one.grant.scope == "mail"
        assert one.sandbox.grants.authenticate(f"Bearer {one.grant.access_token}")
        assert one.grant.access_token not in err


async def test_favicons_strangers_and_stale_answers_do_not_end_the_wait(tmp_path):
    async with machine(tmp_path) as one:
        process = await one.relay("login", "scanner")
        url = (await process.stdout.readline()).decode().strip()
        base = f"http://127.0.0.1:{one.redirect_port}"
        with socket.create_connection(("127.0.0.1", one.redirect_port)):  # a browser's silent connection
            assert (await follow(f"{base}/favicon.ico")).status_code == 404
            assert (await follow(f"{base}/callback?code=evil&state=wrong")).status_code == 400
            assert (await follow(f"{base}/callback?error=access_denied&state=wrong")).status_code == 400
            assert (await follow(f"{base}/callback")).status_code == 400
            assert (await follow(await click(url))).status_code == 200
        code, _, err = await ended(process)
        assert code == 0, err


async def test_a_refusal_in_the_browser_is_a_sentence(tmp_path):
    async with machine(tmp_path) as one:
        process = await one.relay("login", "scanner")
        url = (await process.stdout.readline()).decode().strip()
        await follow(await click(url, decision="deny"))
        code, _, err = await ended(process)
        assert code == 69
        assert "consent was refused" in err
        assert "Traceback" not in err
        assert one.grant is None


async def test_a_scope_that_the_app_lacks_is_named(tmp_path):
    async with machine(tmp_path, scope="mail contact") as one:
        process = await one.relay("login", "scanner")
        url = (await process.stdout.readline()).decode().strip()
        await follow(await click(url))
        code, _, err = await ended(process)
        assert code == 69
        assert "scope" in err


@pytest.mark.parametrize("what", ["url", "code", "query"])
async def test_paste(tmp_path, what):
    async with machine(tmp_path) as one:
        process = await one.relay("login", "scanner", "--paste")
        url = (await process.stdout.readline()).decode().strip()
        location = await click(url)
        code = parse_qs(urlsplit(location).query)["code"][0]
        pasted = {"url": location, "code": code, "query": urlsplit(location).query}[what]
        process.stdin.write(f"  {pasted}\n".encode())
        status, out, err = await ended(process)
        assert status == 0, err
        assert out == ""  # the URL was alone on its line, and nothing else is
        assert one.grant is not None


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        ("", "nothing was pasted"),
        ("http://localhost/callback?code=x&state=y", "state"),
        ("nonsense", "code is used"),
    ],
)
async def test_a_bad_paste_is_a_sentence(tmp_path, pasted, said):
    async with machine(tmp_path) as one:
        process = await one.relay("login", "scanner", "--paste")
        await process.stdout.readline()
        process.stdin.write(pasted.encode() + b"\n")
        status, _, err = await ended(process)
        assert status == 69
        assert said in err
        assert "Traceback" not in err


async def test_a_wrong_secret_is_named_and_not_shown(tmp_path):
    async with machine(tmp_path, secret="hunter2-secret") as one:
        process = await one.relay("login", "scanner", "--paste")
        url = (await process.stdout.readline()).decode().strip()
        process.stdin.write((await click(url)).encode() + b"\n")
        status, out, err = await ended(process)
        assert status == 69
        assert "client_secret" in err
        assert "hunter2" not in out + err


async def test_the_wrong_mailbox_is_refused_when_it_can_be_asked(tmp_path):
    async with machine(tmp_path, scope="mail user.read") as one:
        for more, status in (((), 69), (("--any-mailbox",), 0)):
            process = await one.relay("login", "scanner", "--paste", *more)
            url = (await process.stdout.readline()).decode().strip()
            process.stdin.write((await click(url, login_id="erp@example.com")).encode() + b"\n")
            code, _, err = await ended(process)
            assert code == status, err
            assert "erp@example.com" in err
        assert one.grant.whose == "erp@example.com"
        # Its mail goes out by another mailbox than the table shows.
        _, out, _ = await ended(await one.relay("accounts"))
        assert "scanner: the grant is erp@example.com's, not scanner@example.com's" in out


async def test_a_port_in_use_is_a_sentence(tmp_path):
    async with machine(tmp_path) as one:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", one.redirect_port))
            taken.listen()
            code, _, err = await ended(await one.relay("login", "scanner"))
        assert code == 69
        assert "--paste" in err
        assert "Traceback" not in err


async def test_mistakes_are_sentences(tmp_path):
    async with machine(tmp_path) as one:
        code, _, err = await ended(await one.relay("login", "nobody"))
        assert code == 64
        assert "scanner, erp" in err
        code, _, err = await ended(await one.relay("login", "scanner", "--wait", "0"))
        assert code == 69
        assert "in time" in err
        one.state_dir.rmdir()
        code, _, err = await ended(await one.relay("login", "scanner"))
        assert code == 73
        assert "no such directory" in err


async def test_an_app_that_is_not_configured_is_a_sentence(tmp_path):
    async with machine(tmp_path, secret="") as one:
        code, _, err = await ended(await one.relay("login", "scanner"))
        assert code == 78
        assert "works.client_secret" in err


async def test_accounts(tmp_path):
    async with machine(tmp_path) as one:
        process = await one.relay("login", "scanner", "--paste")
        url = (await process.stdout.readline()).decode().strip()
        process.stdin.write((await click(url)).encode() + b"\n")
        await ended(process)
        code, out, err = await ended(await one.relay("accounts", "--json"))
        assert code == 0, err
        scanner, erp = json.loads(out)
        assert scanner["name"] == "scanner"
        assert scanner["grant"]["days_left"] == pytest.approx(90, abs=0.2)
        assert scanner["grant"]["rotation"] is None
        assert scanner["problem"] is None
        assert erp["grant"] is None
        assert "relay login erp" in erp["problem"]
        assert one.grant.access_token not in out
        assert one.grant.refresh_token not in out
        code, out, _ = await ended(await one.relay("accounts"))
        assert code == 0
        assert "scanner@example.com" in out
        assert "never" in out
        assert "the grant is" not in out
