"""`relay login` and `relay accounts` as commands, against the simulated Works' consent page."""

import asyncio
import contextlib
import html
import json
import os
import re
import socket
from dataclasses import replace
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2 as httpx
import pytest

from relay.config.load import load
from relay.console.server import serving
from relay.sandbox import Sandbox, Settings
from relay.sandbox.answers import Refusal
from relay.service import Service
from relay.works.auth.files import GrantFiles
from tests.support import warm
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

    async def relay(self, *words, **environment):
        command = [*warm.relay(), *words, "--config", str(self.path)]
        pipe = asyncio.subprocess.PIPE
        env = {k: v for k, v in os.environ.items() if "DISPLAY" not in k and not k.startswith("RELAY_")}
        return await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, env=env | environment
        )

    async def consent(self, *words, says_url=True, **form):
        """`relay login --paste`, and a person who agrees: what the command said."""
        process = await self.relay("login", "scanner", "--paste", *words)
        url = (await process.stdout.readline()).decode().strip()
        if not says_url:
            return await ended(process)
        process.stdin.write((await click(url, **form)).encode() + b"\n")
        return await ended(process)

    @property
    def grant(self):
        return GrantFiles(self.state_dir).read("scanner")


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
    out, err = await asyncio.wait_for(process.communicate(), 60)
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
        base = f"http://localhost:{one.redirect_port}"
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
        process.stdin.write_eof()
        status, _, err = await ended(process)
        assert status == 69
        assert said in err
        assert "Traceback" not in err


async def test_a_bad_paste_is_asked_for_again(tmp_path):
    """It gave up after one, and the member had to log in anew."""
    async with machine(tmp_path) as one:
        process = await one.relay("login", "scanner", "--paste")
        url = (await process.stdout.readline()).decode().strip()
        location = await click(url)
        for pasted in ("", url, "http://localhost/callback?code=x&state=y", "no-such-code", location):
            process.stdin.write(pasted.encode() + b"\n")
        status, _, err = await ended(process)
        assert status == 0, err
        assert err.count("Then paste") == 5
        assert one.grant is not None


async def test_the_running_relay_makes_the_exchange(tmp_path):
    """`relay login scanner`, as every mail says it, asked root for a secret that the service has."""
    async with machine(tmp_path) as one:
        config = load(one.path, {}, learned=False)
        service = Service(config.model_copy(update={"listener": (), "hostname": "relay.test"}))
        one.path.write_text(one.path.read_text().replace("sandbox-secret", ""))
        await service.start()
        try:
            status, _, err = await one.consent()
            assert status == 0, err
            assert one.grant is not None
            # "may send now" was said, and for two seconds status and check said that nobody had consented.
            assert service.authorizer.can_send("scanner")
            assert "scanner" not in service.standing.held
            assert (await one.consent(login_id="erp@example.com"))[0] == 0
            code, _, err = await ended(await one.relay("logout", "scanner"))
            assert (code, one.grant) == (0, None), err
            assert "revoked and forgotten" in err
            assert not service.authorizer.can_send("scanner")
            code, _, err = await ended(await one.relay("logout", "scanner"))
            assert code == 66
        finally:
            await service.stop()
        status, _, err = await one.consent("--wait", "1", says_url=False)
        assert status == 78
        assert "start the relay, which has it" in err


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


async def test_a_browser_is_given_a_page_and_not_the_state(tmp_path):
    """Whoever reads /proc saw the state, and could bring the code of his own mailbox first."""
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\nprintf %s "$*" > {seen}.new && mv {seen}.new {seen}\n')
    browser.chmod(0o755)
    async with machine(tmp_path) as one:
        process = await one.relay("login", "scanner", DISPLAY=":99", BROWSER=f"{browser} %s")
        printed = (await process.stdout.readline()).decode().strip()
        async with asyncio.timeout(20):
            while not seen.exists():
                await asyncio.sleep(0.05)
        page = seen.read_text()
        assert page.startswith(f"http://localhost:{one.redirect_port}/login/")
        for secret in parse_qs(urlsplit(printed).query)["state"]:
            assert secret not in page
        answer = await follow(page)
        assert (answer.status_code, answer.headers["location"]) == (303, printed)
        assert (await follow(await click(printed))).status_code == 200
        code, _, err = await ended(process)
        assert code == 0, err


async def test_a_code_of_another_request_is_refused(tmp_path):
    """The sandbox verifies the challenge: a code that a stranger was given for a URL of his own is no use."""
    async with machine(tmp_path) as one:
        process = await one.relay("login", "scanner")
        url = (await process.stdout.readline()).decode().strip()
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["code_challenge_method"] == "S256"
        theirs = query | {"code_challenge": "A" * 43}
        assert (await follow(await click(url.split("?")[0] + "?" + urlencode(theirs)))).status_code == 200
        code, _, err = await ended(process)
        assert code == 69
        assert "not this app's" in err
        assert one.grant is None


async def test_a_grant_is_unverified_until_a_person_confirms_it(tmp_path):
    """With the scope `mail` nobody is asked whose mailbox it is, and any member may have consented."""
    async with machine(tmp_path) as one:
        said = "unverified whose mailbox consented for scanner"
        code, _, err = await one.consent()
        assert code == 0
        assert said in err
        assert said in (await ended(await one.relay("accounts")))[1]
        code, out, _ = await ended(await one.relay("check", "--json"))
        (found,) = [x for x in json.loads(out)["findings"] if x["subject"] == "account scanner"]
        assert found["level"] == "warning"
        assert said in found["remedy"]
        before = one.grant
        code, out, err = await ended(await one.relay("accounts", "--confirm", "scanner"))
        assert (code, err) == (0, "")
        assert said not in out
        assert one.grant == replace(before, confirmed_at=one.grant.confirmed_at)
        scanner, _ = json.loads((await ended(await one.relay("accounts", "--json")))[1])
        assert scanner["grant"]["verified"]
        assert scanner["grant"]["confirmed_at"]
        await one.consent()
        assert not one.grant.is_verified  # somebody else may have consented now
        for name, status in (("nobody", 64), ("erp", 73)):
            assert (await ended(await one.relay("accounts", "--confirm", name)))[0] == status


async def test_a_mailbox_that_was_asked_needs_no_confirmation(tmp_path):
    async with machine(tmp_path, scope="mail user.read") as one:
        code, _, err = await one.consent()
        assert code == 0
        assert "as scanner@example.com" in err
        assert "unverified" not in err + (await ended(await one.relay("accounts")))[1]


async def test_logout_revokes_and_forgets(tmp_path):
    """A grant of a stolen backup is good for up to 90 days, and no command took it back."""
    async with machine(tmp_path) as one:
        await one.consent()
        stolen = one.grant
        left = one.state_dir / "grants" / ".scanner.json.abc.new"
        left.write_text("of a power cut")
        assert one.sandbox.grants.of_refresh_token(stolen.refresh_token)
        code, out, err = await ended(await one.relay("logout", "scanner"))
        assert (code, out) == (0, "")
        assert "revoked and forgotten" in err
        assert one.grant is None
        assert not left.exists()
        assert one.sandbox.grants.of_refresh_token(stolen.refresh_token) is None
        with pytest.raises(Refusal):
            one.sandbox.grants.authenticate(f"Bearer {stolen.access_token}")
        code, _, err = await ended(await one.relay("logout", "scanner"))
        assert code == 66
        assert "nothing to revoke" in err
        assert (await ended(await one.relay("logout", "nobody")))[0] == 64


async def test_logout_without_works(tmp_path):
    """What could not be revoked is kept, so that it can be tried again; --force forgets it here."""
    async with machine(tmp_path) as one:
        await one.consent()
        text = one.path.read_text()
        one.path.write_text(re.sub(r'auth_url = ".*"', f'auth_url = "http://127.0.0.1:{free_port()}"', text))
        code, _, err = await ended(await one.relay("logout", "scanner"))
        assert code == 69
        assert "did not revoke the grant (ConnectError), and it is kept here" in err
        assert one.grant is not None
        code, _, err = await ended(await one.relay("logout", "scanner", "--force"))
        assert code == 0
        assert "was not revoked at Works" in err
        assert one.grant is None


async def test_logout_of_an_app_that_works_refuses(tmp_path):
    async with machine(tmp_path) as one:
        await one.consent()
        one.path.write_text(one.path.read_text().replace("sandbox-secret", "wrong-secret-9"))
        code, _, err = await ended(await one.relay("logout", "scanner"))
        assert code == 69
        assert "invalid_client" in err
        assert "wrong-secret-9" not in err
        assert one.grant is not None


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
