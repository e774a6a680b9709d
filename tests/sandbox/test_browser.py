"""A real browser: the consent page clicked through, the inbox with its images."""

import asyncio
import shutil
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import async_playwright

from tests.support.sandbox import LOGIN, RICH, running

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install Debian's chromium to run these tests"),
]


@asynccontextmanager
async def browsing():
    async with async_playwright() as playwright:
        # A container's root has no user namespaces for Chromium's own sandbox.
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield await browser.new_page()
        finally:
            await browser.close()


@asynccontextmanager
async def redirect_url():
    """What `relay login` listens on: the query of the first request that comes."""
    heard = asyncio.get_running_loop().create_future()

    async def hear(reader, writer):
        line = await reader.readline()
        if not heard.done():
            heard.set_result(line.split()[1].decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with server:
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}/callback", heard


async def test_the_consent_page_is_clicked_through():
    async with running() as works, browsing() as page, redirect_url() as (url, heard):
        query = f"client_id=sandbox&redirect_uri={url}&scope=mail&response_type=code&state=abc"
        await page.goto(f"{works.http.base_url}/oauth2/v2.0/authorize?{query}")
        assert "This is a simulation" in await page.inner_text("main")
        await page.select_option("select[name=login_id]", "erp@example.com")
        await page.click("text=Allow")
        path = await asyncio.wait_for(heard, 10)
        assert path.startswith("/callback?code=")
        assert path.endswith("&state=abc")
        code = path.partition("code=")[2].partition("&")[0]
        answer = await works.ask_token(grant_type="authorization_code", code=code, redirect_uri=url)
        works.token = answer.json()["access_token"]
        await works.send()
        assert works.sandbox.messages[0].account == "erp@example.com"


async def test_the_inbox_shows_inline_images_and_follows_what_comes():
    async with running() as works, browsing() as page:
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        await page.goto(f"{works.http.base_url}/inbox")
        await works.send(RICH | {"body": RICH["body"] + "<script>alert(1)</script>"})
        await page.wait_for_selector("h1:has-text('見積書の件')")
        frame = page.frame_locator("iframe")
        await frame.locator("img").first.wait_for()
        widths = await frame.locator("img").evaluate_all("all => all.map(one => one.naturalWidth)")
        assert widths == [24, 12]
        async with page.expect_download() as download:
            await page.click("text=最終")
        assert (await (await download.value).path()).read_bytes() == b"%PDF-1.7"
        assert (await download.value).suggested_filename.startswith("見積書; ")
        assert LOGIN in await page.inner_text("dl")
        assert problems == []
