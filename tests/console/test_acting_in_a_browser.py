"""The console as its users meet it: a real browser before a real relay, with and without a mouse.

One browser and one relay serve all of these; each test has a message, or a window, of its own.
"""

import asyncio
import shutil
import smtplib
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import axe_playwright_python
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, Page, async_playwright, expect

from relay.console.app import build
from relay.console.server import Server, serving
from relay.console.service import ServiceStatus
from relay.spool import State
from tests.support.console_login import HASH, PASSWORD
from tests.support.ports import free_port
from tests.support.relay import Relay, relaying, until

CHROMIUM = shutil.which("chromium")
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install Debian's chromium to run these tests"),
    pytest.mark.asyncio(loop_scope="module"),
]
ROLES = {"admin": "operator", "guest": "viewer"}
# Which of axe's rules are asked; the other colours are all that the dark changes.
EVERY, CONTRAST = "", "{runOnly: ['color-contrast']}"
expect.set_options(timeout=30_000)  # a busy machine


@dataclass
class Place:
    relay: Relay
    browser: Browser
    url: str
    cookies: dict[str, list] = field(default_factory=dict)  # of sessions that have begun, by name

    async def window(self, name: str = "admin") -> Page:
        """A window of its own, logged in."""
        context = await self.browser.new_context()
        context.set_default_timeout(30_000)
        page = await context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        if name in self.cookies:
            await context.add_cookies(self.cookies[name])
        elif name:
            await log_in(page, f"{self.url}/", name)
            self.cookies[name] = await context.cookies()
        return page

    def learn_from(self) -> None:
        """Send by the listener that knows nobody."""
        with smtplib.SMTP(*self.relay.service.server.addresses[1], timeout=30) as client:
            client.ehlo("mfp.test")
            client.sendmail("nas@example.com", ["yamada@example.com"], b"Subject: scan\r\n\r\nx\r\n")


async def log_in(page: Page, url: str, name: str, password: str = PASSWORD) -> None:
    await page.goto(url)
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_label("Password").press("Enter")
    await page.wait_for_load_state()


async def follow(page: Page, *facts) -> None:
    """Have a page look for what is new until that is there: it does when somebody comes back to it."""
    for fact in facts:
        await until(lambda fact=fact: _come_back(page, fact))


async def _come_back(page: Page, fact) -> bool:
    try:
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await fact(timeout=300)
    except (AssertionError, Error):  # not yet; or the browser is on its way to another page
        return False
    return True


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory):
    port = free_port()
    url = f"http://localhost:{port}"
    users = [{"name": name, "password_hash": HASH, "role": role} for name, role in ROLES.items()]
    sections = {
        "works": {"scope": "mail user.read"},
        "account": [
            {"name": "scanner", "address": "scanner@example.com", "default": True},
            {"name": "erp", "address": "erp@example.com"},
            {"name": "spare", "address": "spare@example.com"},  # nobody ever consents: its mail waits
        ],
        "listener": [
            {"address": "127.0.0.1:0"},
            {"address": "127.0.0.1:0", "networks": ["192.168.1.0/24"]},
        ],
        "console": {"address": "", "url": url},
        "console_user": users,
        "delivery": {"wait": "0s", "on_unknown": "hold"},
        "limits": {"login_delay": "0s"},
    }
    async with AsyncExitStack() as stack:
        state = tmp_path_factory.mktemp("browser") / "state"
        relay = await stack.enter_async_context(relaying(state, grants=["scanner"], **sections))
        app = build(ServiceStatus(relay.service), relay.service.config, beside=relay.sandbox.app)
        server: Server = await stack.enter_async_context(serving(app, port=port))
        playwright = await stack.enter_async_context(async_playwright())
        # A container's root has no user namespaces for Chromium's own sandbox.
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        stack.push_async_callback(browser.close)
        assert server.port == port
        yield Place(relay, browser, url)


async def test_a_wrong_password_a_login_and_a_logout(place):
    page = await place.window(name="")
    await log_in(page, f"{place.url}/accounts", "admin", "wrong")
    await expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    await log_in(page, f"{place.url}/accounts", "admin")
    await expect(page).to_have_url(f"{place.url}/accounts")  # where it was on its way to
    (cookie,) = await page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    await page.get_by_role("button", name="Log out").click()
    await expect(page).to_have_url(f"{place.url}/login")
    await page.goto(f"{place.url}/messages")
    await expect(page).to_have_url(f"{place.url}/login?next=/messages")
    await page.context.close()


async def test_another_sites_page_changes_nothing_with_the_administrators_cookie(place):
    """A form on a page elsewhere, sent by the browser of somebody who is logged in here."""
    queue_id = await place.relay.put("yamada@example.com", sender="spare@example.com")
    page = await place.window()
    form = (
        f'<form method=post action="{place.url}/messages/{queue_id}/discard"><input name=sure value=1></form>'
    )

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(form)}\r\n\r\n"
        writer.write((head + form).encode())
        await writer.drain()
        writer.close()

    elsewhere = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with elsewhere:
        await page.goto(f"http://127.0.0.1:{elsewhere.sockets[0].getsockname()[1]}/")
        async with page.expect_navigation() as navigation:
            await page.evaluate("document.forms[0].submit()")
        assert (await navigation.value).status == 403
    assert "nothing was changed" in await page.inner_text("body")
    assert (await place.relay.entry(queue_id)).state is not State.DISCARDED
    await page.goto(f"{place.url}/messages/{queue_id}")  # the session itself is good
    await expect(page.get_by_role("button", name="Discard")).to_be_visible()
    await page.context.close()


async def test_a_viewer_finds_and_sees_and_has_no_button(place):
    queue_id = await place.relay.put("tanaka@example.com", sender="spare@example.com")
    page = await place.window("guest")
    await page.goto(f"{place.url}/messages")
    await page.get_by_label("To, or a part of it").fill("TANAKA")
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("link", name=queue_id).click()
    await expect(page.get_by_role("heading", name=queue_id)).to_be_visible()
    assert await page.locator("main button").count() == 0
    await page.goto(f"{place.url}/accounts")
    assert await page.locator("main button").count() == 0
    await page.context.close()


async def test_an_account_is_connected_through_the_consent_page(place):
    page = await place.window()
    await page.goto(f"{place.url}/accounts")
    await page.locator("#erp").get_by_role("button", name="Connect").click()
    await expect(page.get_by_role("img", name="QR code of the address")).to_be_visible()
    for member, said in (
        (
            "scanner@example.com",
            "scanner@example.com consented, but the account's address is erp@example.com",
        ),
        ("erp@example.com", "erp may send now, as erp@example.com."),
    ):
        question = page.url
        await page.get_by_role("link", name="Go to Works").click()
        other = page.locator("[name=other]")
        if await other.count():
            await other.fill(member)
        else:
            await page.select_option("select[name=login_id]", member)
        await page.get_by_role("button", name="Allow").click()
        await expect(page.get_by_text(said)).to_be_visible()
        if member != "erp@example.com":
            await page.goto(question)
    await expect(page).to_have_url(f"{place.url}/accounts#erp")
    await page.context.close()


async def test_what_may_have_been_taken_is_sent_again_after_a_question(place):
    place.relay.sandbox.add_fault("cut-after", at="send", account="scanner@example.com")
    queue_id = await place.relay.put("twice@example.com")
    await place.relay.reach(queue_id, State.HELD)
    page = await place.window()
    await page.goto(f"{place.url}/messages/{queue_id}")
    await expect(page.get_by_text("it may have arrived already")).to_be_visible()
    await page.get_by_role("button", name="Release").click()
    await expect(page.get_by_role("heading", name="Send it again?")).to_be_visible()
    await page.get_by_role("link", name="Leave it").click()
    await page.get_by_role("button", name="Release").click()
    await page.get_by_role("button", name="Send it again").click()
    await expect(page.get_by_text("It is released, and goes out now.")).to_be_visible()
    # The page follows without a reload.
    await follow(page, partial(expect(page.locator("#message .head .chip")).to_have_text, "relayed"))
    await page.context.close()


async def test_a_message_is_discarded_without_a_mouse(place):
    """Tab and Enter alone, from the page's beginning; the skip link comes first."""
    queue_id = await place.relay.put("nobody@example.com", sender="spare@example.com")
    page = await place.window()
    await page.goto(f"{place.url}/messages/{queue_id}")
    await expect(page.get_by_role("link", name="Open the account")).to_be_visible()  # it waits for a consent
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await page.keyboard.press("Enter")
    await press_until(page, "Discard")
    await expect(page.get_by_role("heading", name="Throw this message away?")).to_be_visible()
    await press_until(page, "Discard")
    await expect(page.get_by_text("It is discarded.")).to_be_visible()
    assert (await place.relay.entry(queue_id)).state is State.DISCARDED
    await page.context.close()


async def press_until(page: Page, text: str) -> None:
    """Tab to the button of this name, and press it; what has the focus is seen."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.textContent.trim()") == text:
            assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            await page.keyboard.press("Enter")
            return
    raise AssertionError(f"no way to {text}")


async def test_a_device_is_learned_and_adopted(place):
    page = await place.window()
    await page.goto(f"{place.url}/devices")
    await page.get_by_label("Network").fill("127.0.0.0/8")
    await page.get_by_role("button", name="Learn", exact=True).click()
    await expect(page.get_by_role("heading", name="Learning")).to_be_visible()
    await asyncio.to_thread(place.learn_from)
    await follow(page, expect(page.get_by_role("heading", name="Wait to be adopted")).to_be_visible)
    await page.get_by_label("Name of 127.0.0.1").fill("MFP 3F")
    await page.get_by_role("button", name="Adopt").click()
    await expect(page.get_by_text("127.0.0.1 is adopted")).to_be_visible()
    await expect(page.get_by_text("MFP 3F")).to_be_visible()
    await page.get_by_role("button", name="Stop now").click()
    await expect(page.get_by_role("heading", name="Learning")).to_be_hidden()
    await page.context.close()


async def test_every_page_fits_and_breaks_no_rule_of_accessibility(place):
    """On a wide screen by light, and on a telephone in the dark, which changes room and colours alone."""
    done = await place.relay.put("a.rather.long.name.of.somebody@mail.example.com", content=LONG)
    held = await place.relay.put("b@example.com", sender="spare@example.com")
    await place.relay.reach(done, State.RELAYED)
    page, stranger = await place.window(), await place.window(name="")
    await stranger.goto(f"{place.url}/login")
    await look_at(stranger)
    pages = ["/", "/messages", f"/messages/{done}", f"/messages/{held}", "/messages/none", "/devices"]
    for path in (*pages, "/devices/127.0.0.1", "/accounts", "/test", "/activity", *INBOX):
        await page.goto(f"{place.url}{path}")
        await look_at(page)
    await page.goto(f"{place.url}/accounts")
    await page.locator("#scanner").get_by_role("button", name="Connect again").click()
    await look_at(page)
    await page.goto(f"{place.url}/messages/{held}")
    await page.get_by_role("button", name="Discard").click()
    await look_at(page)
    assert page.problems == []
    await page.context.close()
    await stranger.context.close()


LONG = b"From: nas@example.com\r\nReply-To: c@example.net\r\nSubject: " + b"x" * 300 + b"\r\n\r\nHello\r\n"
_EDGES = "Math.max(...[...document.querySelectorAll('body *')].map(one => one.getBoundingClientRect().right))"


INBOX = ("/inbox", "/inbox?q=nobody", "/inbox/1?view=source", "/inbox/faults")
VIEWS = ((1100, "light", EVERY), (390, "dark", CONTRAST))


async def look_at(page: Page) -> None:
    # The page's policy lets no script in but its own; the developer tools' way is not bound by it.
    tools = await page.context.new_cdp_session(page)
    await tools.send("Runtime.evaluate", {"expression": AXE})
    await tools.detach()
    for width, scheme, rules in VIEWS:
        await page.set_viewport_size({"width": width, "height": 800})
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert await page.evaluate(_EDGES) <= width, (page.url, width)
        found = await page.evaluate(f"axe.run({rules}).then((all) => all.violations.map((one) => one.id))")
        assert found == [], (page.url, width)


async def test_a_page_says_so_when_it_is_not_reached_and_goes_to_the_login_when_the_session_ends(place):
    page = await place.window()
    await page.goto(f"{place.url}/activity")
    await expect(page.locator("#live")).to_have_text("live")
    await page.context.set_offline(True)
    await follow(page, partial(expect(page.locator("#live")).to_have_text, "not reachable"))
    await page.context.set_offline(False)
    await follow(page, partial(expect(page.locator("#live")).to_have_text, "live"))
    await page.context.clear_cookies()
    await follow(page, partial(expect(page).to_have_url, f"{place.url}/login?next=/activity"))
    await page.context.close()
