"""Connect an account, and send a test by it: through the simulated consent, by the console's own forms."""

import html
import re
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest

from relay.console import accounts
from tests.support.console_login import ADMIN, log_in
from tests.support.looking import looking, text_of, users
from tests.support.relay import until

WORKS = {"scope": "mail user.read"}
REACHED = {"works": WORKS, "console": {"url": "http://localhost:8580"}}
TWO = [
    {"name": "scanner", "address": "scanner@example.com", "default": True},
    {"name": "erp", "address": "erp@example.com"},
]


async def consent(url, member):
    """Agree as this member, as the simulated page's form does; where the browser is sent."""
    async with httpx.AsyncClient(trust_env=False) as works:
        form = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        answer = await works.post(
            url.partition("?")[0], data=form | {"login_id": member, "decision": "allow"}
        )
        return answer.headers["location"]


async def begin(http, account="scanner"):
    """Press Connect; the page's path, and the address that the owner opens."""
    answer = await http.post(f"/accounts/{account}/connect")
    assert answer.status_code == 200, answer.text
    url = html.unescape(re.search(r'href="(http[^"]+authorize[^"]+)"', answer.text)[1])
    assert "code_challenge_method=S256" in url
    assert "<svg" in answer.text  # the QR code
    return answer.url.path, url


async def test_consent_comes_back_to_the_console(tmp_path):
    """As the administrator's browser does it, with a second redirect URL of the console's own."""
    async with looking(tmp_path / "state", users(ADMIN), grants=[], **REACHED) as (
        relay,
        http,
    ):
        await log_in(http)
        _, url = await begin(http)
        assert "redirect_uri=http%3A%2F%2Flocalhost%3A8580%2Fconsent" in url
        back = urlsplit(await consent(url, "scanner@example.com"))
        assert (back.path, "code=" in back.query) == ("/consent", True)
        forged = await http.get(f"/consent?{back.query.replace('state=', 'state=x')}")
        assert forged.status_code == 400
        answer = await http.get(f"/consent?{back.query}")
        assert answer.url.path == "/accounts"
        assert "scanner may send now, as scanner@example.com." in answer.text
        assert (await http.get(f"/consent?{back.query}")).url.path == "/accounts"  # a browser asks twice
        await until(lambda: relay.service.authorizer.can_send("scanner") or None)
        page = await text_of(http, "/accounts")
        assert "alive" in page
        records = (await relay.service.verbs.audit(10))["records"]
        assert ("admin", "login") in [(one["who"], one["verb"]) for one in records]
        assert back.query.partition("code=")[2].partition("&")[0] not in str(records)


async def test_the_owner_consents_at_a_telephone_which_has_no_session_here(tmp_path):
    async with looking(tmp_path / "state", users(ADMIN), grants=[], **REACHED) as (
        _,
        http,
    ):
        await log_in(http)
        path, url = await begin(http)
        back = urlsplit(await consent(url, "scanner@example.com"))
        async with httpx.AsyncClient(base_url=http.base_url, trust_env=False) as telephone:
            answer = await telephone.get(f"/consent?{back.query}")
            assert (answer.status_code, "This window can be closed" in answer.text) == (200, True)
            assert (await telephone.get(path)).status_code == 303
        assert "scanner may send now" in await text_of(http, path)  # the operator's page follows


async def test_another_members_mailbox_is_refused(tmp_path):
    """The administrator who is logged in as himself consented for the scanner, and nobody noticed."""
    async with looking(tmp_path / "state", users(ADMIN), grants=[], works=WORKS) as (_, http):
        await log_in(http)
        path, url = await begin(http)
        back = await consent(url, "erp@example.com")
        answer = await http.post(path, data={"address": back})
        assert answer.status_code == 409
        assert "erp@example.com consented, but the account's address is scanner@example.com" in html.unescape(
            answer.text
        )
        assert "missing" in await text_of(http, "/accounts")


@pytest.mark.parametrize(
    "pasted", ["", "nonsense?", "https://example.com/?code=a&state=b", "x" * 9_000, "a\tb c"]
)
async def test_a_paste_that_is_no_answer_can_be_tried_again(tmp_path, pasted):
    async with looking(tmp_path / "state", users(ADMIN), grants=[], works=WORKS) as (_, http):
        await log_in(http)
        path, url = await begin(http)
        answer = await http.post(path, data={"address": pasted})
        assert answer.status_code == 409
        assert 'role="alert"' in answer.text
        back = await consent(url, "scanner@example.com")
        answer = await http.post(path, data={"address": back})
        assert "scanner may send now, as scanner@example.com." in answer.text


async def test_a_question_is_open_for_half_an_hour_and_for_its_own_account(tmp_path, monkeypatch):
    async with looking(tmp_path / "state", users(ADMIN), grants=[], account=TWO) as (_, http):
        await log_in(http)
        path, url = await begin(http)
        assert (await http.get(path.replace("scanner", "erp"))).status_code == 409
        assert (await http.post("/accounts/nobody/connect")).status_code == 409
        back = urlsplit(await consent(url, "scanner@example.com"))
        monkeypatch.setattr(accounts, "_PATIENCE", -1.0)
        assert (await http.get(path)).status_code == 409
        assert (await http.get(f"/consent?{back.query}")).status_code == 400


async def test_a_grant_without_a_name_is_confirmed_and_one_that_is_not_wanted_revoked(tmp_path):
    """With the scope "mail" alone nobody can be asked whose mailbox consented."""
    async with looking(tmp_path / "state", users(ADMIN), grants=[]) as (relay, http):
        await log_in(http)
        path, url = await begin(http)
        answer = await http.post(path, data={"address": await consent(url, "scanner@example.com")})
        assert "Nobody could be asked whose mailbox it is" in answer.text
        await relay.notice_grants()
        assert "nobody knows whose mailbox consented" in await text_of(http, "/accounts")
        answer = await http.post("/accounts/scanner/confirm")
        assert "It is noted that you have seen" in answer.text
        await relay.notice_grants()
        assert "confirmed by a person" in await text_of(http, "/accounts")
        question = await http.post("/accounts/scanner/disconnect")
        assert "Disconnect scanner?" in question.text
        answer = await http.post("/accounts/scanner/disconnect", data={"sure": "1"})
        assert "its consent is revoked at Works" in answer.text
        await relay.notice_grants()
        assert "missing" in await text_of(http, "/accounts")


async def test_a_test_mail_goes_through_everything(tmp_path):
    async with looking(tmp_path / "state", users(ADMIN), delivery={"wait": "10s"}) as (relay, http):
        await log_in(http)
        answer = await http.post("/test", data={"account": "scanner", "to": "me@example.com"})
        assert answer.url.path.startswith("/messages/1")
        assert "250 relayed" in answer.text
        (sent,) = [relay.sandbox.request(one.id) for one in relay.sandbox.messages]
        assert sent["to"] == "me@example.com"
        assert sent["subject"].startswith("Test of the relay relay.test")
        assert "should come from scanner@example.com." in sent["body"]
        for form in (
            {"account": "nobody", "to": "me@example.com"},
            {"account": "scanner", "to": ""},
            {"account": "scanner", "to": "no address"},
            {"account": "scanner", "to": "a@example.com\r\nBcc: b@example.com"},
            {},
        ):
            answer = await http.post("/test", data=form)
            assert (answer.status_code, 'role="alert"' in answer.text) == (409, True), form
        assert len(relay.sandbox.messages) == 1


async def test_what_was_done_is_listed(tmp_path):
    async with looking(tmp_path / "state", users(ADMIN)) as (_, http):
        await log_in(http)
        assert "Nothing was changed yet." in await text_of(http, "/activity")
        await http.post("/messages/nothing/hold")
        await http.post("/devices/learn", data={"network": "8.8.8.0/24", "seconds": "900"})
        await http.post("/devices/learn", data={"network": "192.168.7.0/24", "seconds": "900"})
        page = await text_of(http, "/activity")
        for words in ("admin", "console", "learn", "192.168.7.0/24", "is public", "refused"):
            assert words in page
