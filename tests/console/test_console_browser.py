"""A real browser looks at the console: its style and script are let in, and it follows what changes."""

import base64
import shutil
from dataclasses import replace

import httpx2 as httpx
import pytest
from playwright.async_api import async_playwright

from relay.console.app import build
from relay.console.server import serving
from relay.operator.state import Headline
from relay.sandbox import Sandbox
from tests.support.console import Relay

# One pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install Debian's chromium to run these tests"),
]


async def test_inline_images_load_behind_the_consoles_guard_too():
    """A sandboxed frame is of no origin: a resource policy of same-origin would keep its images out."""
    sandbox = Sandbox()
    token = sandbox.issue_grant("scanner@example.com")["access_token"]
    image = {"filename": "a.png", "fileType": "image/png", "cid": "a1", "inline": True}
    attachments = [image | {"data": base64.b64encode(PNG).decode()}]
    mail = {"to": "a@example.com", "subject": "a", "body": "<img src='cid:a1'>", "attachments": attachments}
    app = build(Relay(), beside=sandbox.app)
    async with serving(app) as server, async_playwright() as playwright:
        async with httpx.AsyncClient(trust_env=False, headers={"authorization": f"Bearer {token}"}) as http:
            answer = await http.post(f"{server.url}/v1.0/users/me/mail", json=mail)
            assert answer.status_code == 202
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(f"{server.url}/inbox", wait_until="networkidle")
        images = page.frame_locator("iframe").locator("img")
        assert await images.evaluate_all("all => all.map(one => one.naturalWidth)") == [1]
        await browser.close()
    sandbox.close()


async def test_the_page_is_styled_and_follows_what_changes():
    relay, problems = Relay(), []
    async with serving(build(relay)) as server, async_playwright() as playwright:
        # A container's root has no user namespaces for Chromium's own sandbox.
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.clock.install()
        await page.goto(server.url)
        assert await page.evaluate("getComputedStyle(document.querySelector('main')).display") == "grid"
        status = await page.query_selector("#problems[role=status]")
        headline = await page.query_selector("#headline")
        relay.troubles = ("the disk is full",)
        relay.seen = replace(relay.seen, headline=Headline("the disk is full"), concerns=())
        await page.clock.run_for(10_500)
        await page.wait_for_selector(".alert:has-text('the disk is full')")
        # What stands there was changed, and nothing put in its place: a screen reader says what is new.
        assert await status.inner_text() == "Not ready for new mail\nthe disk is full"
        assert await headline.inner_text() == "The disk is full"
        assert not await page.query_selector("#concerns")
        assert await page.inner_text("#live") == "live"
        await browser.close()
    assert problems == []
