"""The console's login: who gets in, who does not, and what no other site can do with somebody's session."""

import asyncio
import ssl
import time

import httpx2 as httpx
import pytest
from structlog.testing import capture_logs

from relay.config.load import ConfigError
from relay.config.load import build as build_config
from relay.config.model import ConsoleUser, Listener
from relay.console import sessions
from relay.console.access import OPEN, Access
from relay.console.app import build
from relay.console.server import Server
from relay.host.certificate import make, write
from relay.operator.check import Level, find_console_problems
from relay.smtp.tls import Certificate
from tests.support.cheap import hash_password
from tests.support.console import Relay
from tests.support.console_login import ADMIN, GUEST, PASSWORD, browsing, log_in, settings


class Browser:
    """A request, as far as sessions look at it."""

    client = None

    def __init__(self, session, **headers):
        self.session, self.headers = session, headers


MACHINES = ("/metrics", "/healthz", "/readyz")  # machines do not log in


async def test_nothing_is_shown_before_the_login_and_everything_after():
    async with browsing(settings(ADMIN)) as http:
        answer = await http.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/")
        assert "scanner" not in answer.text + (await http.get("/login")).text
        for path in MACHINES:
            assert (await http.get(path)).status_code == 200
        answer = await log_in(http)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        page = await http.get("/")
        assert page.status_code == 200
        assert "scanner@example.com" in page.text
        assert "admin" in page.text


@pytest.mark.parametrize(
    ("name", "password"), [("admin", "wrong"), ("nobody", PASSWORD), ("", ""), ("admin", "")]
)
async def test_a_wrong_name_and_a_wrong_password_are_refused_alike(name, password):
    async with browsing(settings(ADMIN)) as http:
        answer = await log_in(http, name, password)
        assert answer.status_code == 401
        assert "The name or the password is wrong." in answer.text
        assert "set-cookie" not in answer.headers
        assert (await http.get("/")).status_code == 303


async def test_refusals_take_longer_and_longer_and_at_last_nothing_is_looked_at():
    config = settings(ADMIN, delay=0.05)
    async with browsing(config) as http:
        times = []
        for _ in range(4):
            begun = time.monotonic()
            assert (await log_in(http, password="wrong")).status_code == 401
            times.append(time.monotonic() - begun)
        # Each waits twice as long; what it takes beside that only adds to it.
        assert all(took >= 0.05 * 2**number for number, took in enumerate(times))
    async with browsing(settings(ADMIN)) as http:
        for _ in range(config.limits.login_failures):
            await log_in(http, password="wrong")
        answer = await log_in(http)
        assert answer.status_code == 429
        assert "Too many passwords" in answer.text


async def test_many_logins_at_once_leave_connections_for_others(monkeypatch):
    """A refusal waits; fifty of them would take all connections of the console."""
    monkeypatch.setattr(sessions, "_MOST_WAITING", 1)
    config = settings(ADMIN, delay=30.0)
    held = sessions.Sessions(Access(lambda: config), config.limits)
    slow = asyncio.create_task(held.log_in(Browser({}), "admin", "wrong"))
    await asyncio.sleep(0)  # it has begun
    assert await held.log_in(Browser({}), "admin", PASSWORD) is sessions.LoginEnd.BUSY
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)


async def test_a_login_makes_a_session_of_its_own():
    """Session fixation: what a browser was given before the login is no key after it."""
    async with browsing(settings(ADMIN)) as http:
        await log_in(http)
        first = http.cookies["relay"]
        await log_in(http)
        assert http.cookies["relay"] != first
        http.cookies.clear()
        http.cookies.set("relay", first)
        assert (await http.get("/")).status_code == 303


async def test_a_logout_ends_the_session_wherever_its_cookie_is():
    async with browsing(settings(ADMIN)) as http:
        await log_in(http)
        stolen = http.cookies["relay"]
        assert (await http.get("/logout")).status_code == 405
        assert (await http.post("/logout")).headers["location"] == "/login"
        http.cookies.set("relay", stolen)
        assert (await http.get("/")).status_code == 303


async def test_another_password_and_the_end_of_the_user_end_the_session():
    config = settings(ADMIN)
    now = [config]
    async with browsing(config, access=Access(lambda: now[0])) as http:
        await log_in(http)
        now[0] = settings(ConsoleUser(name="admin", password_hash=hash_password("another")))
        assert (await http.get("/")).status_code == 303
        now[0] = config
        assert (await http.get("/")).status_code == 303
        await log_in(http)
        now[0] = settings(GUEST)
        assert (await http.get("/")).status_code == 303


async def test_a_session_that_nobody_uses_ends_though_its_page_asks_for_itself():
    clock = [0.0]
    access = Access(lambda: settings(ADMIN))
    held = sessions.Sessions(access, settings().limits, lambda: clock[0])

    cookie = {}
    assert await held.log_in(Browser(cookie), "admin", PASSWORD) is sessions.LoginEnd.WELCOME
    clock[0] = 1700
    assert held.find(Browser(cookie))
    clock[0] = 3400
    assert held.find(Browser(cookie, **{sessions.LIVE: "1"}))
    clock[0] = 3600
    assert held.find(Browser(cookie)) is None
    await held.log_in(Browser(cookie), "admin", PASSWORD)
    for clock[0] in range(3600, 3600 + 12 * 3600, 1200):
        assert held.find(Browser(cookie))
    clock[0] += 1300
    assert held.find(Browser(cookie)) is None


async def test_the_cookie_is_for_the_server_alone_and_cannot_be_made():
    async with browsing(settings(ADMIN)) as http:
        answer = await log_in(http)
        words = answer.headers["set-cookie"].lower()
        assert "httponly" in words
        assert "samesite=lax" in words
        assert "max-age" not in words
        http.cookies.clear()
        for forged in ("null", "eyJzZXNzaW9uIjogIngifQ==", "a.b.c", "%00"):
            answer = await http.get("/", headers={"cookie": f"relay={forged}"})
            assert answer.status_code == 303


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, 303),
        ({"origin": "https://console.example.com"}, 303),
        ({}, 303),
    ],
)
async def test_what_another_sites_page_sends_changes_nothing(fields, status):
    """With the cookie of whoever is logged in, as a browser would send it."""
    async with browsing(settings(ADMIN, url="https://console.example.com")) as http:
        http.headers["host"] = "console.example.com"
        assert (await log_in(http)).status_code == 303
        answer = await http.post("/logout", headers=fields)
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers


async def test_a_path_that_is_none_says_so_and_nothing_else():
    async with browsing(settings(ADMIN)) as http:
        answer = await http.get("/nothing/here")
    assert (answer.status_code, "Nothing is here" in answer.text) == (404, True)
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_no_other_origin_may_read():
    """CORS: a preflight is not answered, and nothing says that another origin may read."""
    async with browsing(settings()) as http:
        for method in ("OPTIONS", "GET"):
            answer = await http.request(
                method,
                "/",
                headers={"origin": "https://evil.example", "access-control-request-method": "POST"},
            )
            assert not any(name.startswith("access-control") for name in answer.headers)
            assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "way", ["//evil.example", "https://evil.example", "/\\evil.example", "/\r\nset-cookie: a=b", ""]
)
async def test_a_login_leads_to_no_other_site(way):
    async with browsing(settings(ADMIN)) as http:
        assert (await log_in(http, next=way)).headers["location"] == "/"
        assert (await http.get("/login", params={"next": way})).headers["location"] == "/"
        assert (await log_in(http, next="/?a=b")).headers["location"] == "/?a=b"


@pytest.mark.parametrize("body", [b"x" * 70_000, b"\xff=\xff", b"a=1&" * 60])
async def test_a_form_that_is_none_logs_nobody_in(body):
    async with browsing(settings(ADMIN)) as http:
        assert (await http.post("/login", content=body)).status_code == 401


@pytest.mark.parametrize(
    ("console", "users", "closed"),
    [
        ({"address": "0.0.0.0:8580"}, (), True),
        ({"address": "192.168.1.5:8580"}, (), True),
        ({"address": "[::]:8580"}, (), True),
        ({"address": "127.0.0.1:8580", "url": "http://relay.example.com"}, (), True),
        ({"address": "0.0.0.0:8580"}, (ADMIN,), False),
        ({"address": "0.0.0.0:8580", "url": "https://relay.example.com"}, (), False),
        ({"address": "0.0.0.0:8580", "certificate_file": "/cert.pem"}, (), False),
        ({"address": "127.0.0.1:8580"}, (), False),
        ({"address": "[::1]:8580", "url": "http://localhost:8580"}, (), False),
    ],
)
async def test_a_console_that_others_reach_is_closed_until_there_are_users_or_tls(console, users, closed):
    config = settings(*users, **console)
    async with browsing(config) as http:
        for path in ("/", "/login"):
            answer = await http.get(path)
            assert (answer.status_code == 403) is closed
            assert ("[[console_user]]" in answer.text) is closed
        assert (await log_in(http)).status_code == (403 if closed else 303 if users else 401)
        for path in MACHINES:
            assert (await http.get(path)).status_code == 200
    levels = [one.level for one in find_console_problems(config)]
    assert (Level.PROBLEM in levels) is closed


async def test_without_users_the_console_only_reads_and_an_open_one_needs_no_login():
    async with browsing(settings()) as http:
        assert "Log out" not in (await http.get("/")).text
    async with browsing(settings(), access=OPEN) as http:
        assert (await http.get("/")).status_code == 200


async def test_the_console_speaks_https_with_limits_of_its_own(tmp_path):
    """Handshakes that never end took a descriptor each for a minute."""
    certificate, private_key = tmp_path / "relay.pem", tmp_path / "relay.key"
    write(make(["localhost"], 1), certificate, private_key)
    files = {"certificate_file": str(certificate), "private_key_file": str(private_key)}
    config = settings(ADMIN, **files)
    made = Certificate(Listener(address="127.0.0.1:0", tls="implicit", **files))
    server = Server(build(Relay(), config), connections=3, certificate=made)
    await server.start()
    try:
        assert server.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(certificate))
        url = f"https://localhost:{server.port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, verify=context) as http:
            answer = await log_in(http)
            assert answer.status_code == 303
            assert "__Host-relay=" in answer.headers["set-cookie"]
            assert "secure" in answer.headers["set-cookie"].lower()
            assert (await http.get("/")).status_code == 200
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
        assert await silent[-1][0].read() == b""  # one too many, at once
        for _, writer in silent:
            writer.close()
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"name": "a"}, "[[console_user]] no. 1 (a), password_hash: is missing"),
        ({"name": "a", "password_hash": "secret"}, "expected what `relay passwd` prints"),
        ({"name": "", "password_hash": "$argon2id$x"}, "expected a text that is not empty"),
        (
            {"name": "a", "password_hash": "$argon2id$x", "role": "root"},
            "role: expected 'operator'",
        ),
    ],
)
def test_a_user_that_is_none_is_told_by_its_key(user, said):
    with pytest.raises(ConfigError) as caught:
        build_config({"console_user": [user]}, environ={})
    assert said in str(caught.value)
    assert "secret" not in str(caught.value).replace("a secret", "")


def test_two_users_of_one_name_are_refused():
    users = [
        {"name": "Admin", "password_hash": "$argon2id$x"},
        {"name": "admin", "password_hash": "$argon2id$x"},
    ]
    with pytest.raises(ConfigError, match="there twice"):
        build_config({"console_user": users}, environ={})


def test_a_password_that_crosses_the_network_in_plain_text_is_a_warning():
    (found,) = find_console_problems(settings(ADMIN, address="0.0.0.0:8580"))
    assert (found.level, "plain text" in found.text) == (Level.WARNING, True)


async def test_logins_leave_lines_in_the_log_without_what_was_typed():
    async with browsing(settings(ADMIN)) as http:
        with capture_logs() as lines:
            await log_in(http, "hunter2", "hunter3")
            await log_in(http, "admin", "hunter3")
            await log_in(http)
    said = [(one["event"], one.get("user"), one.get("reason")) for one in lines]
    assert said == [
        ("console login refused", None, "no such user"),
        ("console login refused", "admin", "wrong password"),
        ("console login", "admin", None),
    ]
    assert "hunter" not in repr(lines)
