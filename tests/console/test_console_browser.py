"""A real browser looks at the console: its style and script are let in, and it follows what changes."""

import shutil

import pytest
from playwright.async_api import async_playwright
from test_console import OVERVIEW, Relay

from relay.console.app import build
from relay.console.server import serving

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install Debian's chromium to run these tests"),
]


async def test_the_page_is_styled_and_follows_what_changes():
    relay, problems = Relay(OVERVIEW), []
    async with serving(build(relay)) as server, async_playwright() as playwright:
        # A container's root has no user namespaces for Chromium's own sandbox.
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.clock.install()
        await page.goto(server.url)
        assert await page.evaluate("getComputedStyle(document.querySelector('main')).display") == "grid"
        relay.troubles = ("the disk is full",)
        await page.clock.run_for(10_500)
        await page.wait_for_selector(".alert:has-text('the disk is full')")
        assert await page.inner_text("#live") == "live"
        await browser.close()
    assert problems == []
