"""`relay login` as an administrator does it: a URL, a browser, a click."""

import asyncio
import re
import shutil
import tomllib

import pytest
from playwright.async_api import async_playwright

from relay.console.server import serving
from relay.sandbox import Sandbox
from tests.support import warm
from tests.support.ports import free_port
from tests.support.toml import to_toml
from tests.support.whole_relay import tree

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install Debian's chromium to run these tests"),
]


async def test_consent_is_clicked_through_and_the_grant_is_there(tmp_path):
    sandbox = Sandbox()
    async with serving(sandbox.app) as http:
        settings = tree(http, tmp_path / "state")
        settings["works"]["redirect_url"] = f"http://localhost:{free_port()}/callback"
        (tmp_path / "state").mkdir()
        path = tmp_path / "relay.toml"
        path.write_text(to_toml(settings))
        assert tomllib.loads(path.read_text())["hostname"] == "relay.test"
        command = warm.relay()
        login = await asyncio.create_subprocess_exec(
            *command, "login", "scanner", "--no-browser", "--config", path,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        url = ""
        while not (found := re.search(r"https?://\S+/authorize\S+", url)):
            line = await asyncio.wait_for(login.stdout.readline(), 20)
            assert line, "relay login printed no URL"
            url += line.decode()
        await click_consent(found[0])
        output, _ = await asyncio.wait_for(login.communicate(), 20)
        assert login.returncode == 0, output.decode()
        accounts = await asyncio.create_subprocess_exec(
            *command, "accounts", "--json", "--config", path, stdout=asyncio.subprocess.PIPE
        )
        shown, _ = await asyncio.wait_for(accounts.communicate(), 20)
        assert "scanner@example.com" in shown.decode()
        for grant in sandbox.grants.grants:
            for token in (grant.refresh_token, *grant.access_tokens):
                assert token not in shown.decode()
    sandbox.close()


async def click_consent(url):
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(url)
        member = page.locator("[name=login_id]").first
        if await member.count() and (await member.get_attribute("type")) == "radio":
            await page.locator('[name=login_id][value="scanner@example.com"]').check()
        await page.get_by_role("button", name=re.compile("agree|allow|consent", re.IGNORECASE)).first.click()
        await page.wait_for_load_state()
        await browser.close()
