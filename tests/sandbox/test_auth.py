"""Consent, tokens, scopes: the auth half, and what the API says to a token."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from relay.sandbox import Clock, Settings
from relay.sandbox.grants import AuthError
from tests.support.sandbox import LOGIN, MAIL, running

REDIRECT = "http://localhost:8484/callback"
WISH = {
    "client_id": "sandbox",
    "redirect_uri": REDIRECT,
    "scope": "mail",
    "response_type": "code",
    "state": "s-1 &",
}
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def decide(works, decision="allow", **more):
    form = WISH | {"login_id": LOGIN, "decision": decision} | more
    return await works.http.post("/oauth2/v2.0/authorize", data=form)


async def consent(works, **more):
    """The redirect URL's query after a click on Allow."""
    answer = await decide(works, **more)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(REDIRECT)
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def redeem(works, code, **more):
    return await works.ask_token(grant_type="authorization_code", code=code, redirect_uri=REDIRECT, **more)


async def test_a_consent_becomes_tokens_that_send(works):
    page = await works.http.get("/oauth2/v2.0/authorize", params=WISH)
    assert page.status_code == 200
    assert "simulation" in page.text
    answer = await consent(works)
    assert answer["state"] == WISH["state"]
    tokens = (await redeem(works, answer["code"])).json()
    assert tokens["expires_in"] == "86400"
    assert tokens["scope"] == "mail"
    works.token = tokens["access_token"]
    assert (await works.send()).status_code == 202


async def test_an_answer_that_is_no_form_is_refused(works):
    """It had the server fail with 500."""
    answer = await works.http.post("/oauth2/v2.0/authorize", params=WISH, json={"decision": "allow"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_whoever_has_no_browser_answers_at_the_printed_address(works):
    """curl, as docs/sandbox.md has it, sends the answer alone: the question stands in the address."""
    answered = {"login_id": LOGIN, "decision": "allow"}
    answer = await works.http.post("/oauth2/v2.0/authorize", params=WISH, data=answered)
    assert answer.headers["location"].startswith(f"{REDIRECT}?")
    assert "code=" in answer.headers["location"]


async def test_a_challenge_is_verified_when_there_is_one(works):
    """RFC 7636 §4.6, with the pair of its appendix B."""
    challenge = {
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    right = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    for asked, verifier, status in (
        (challenge, right, 200),
        (challenge, "x" * 43, 400),
        (challenge, None, 400),
        ({}, right, 400),
        ({}, None, 200),
    ):
        code = (await consent(works, **asked))["code"]
        more = {"code_verifier": verifier} if verifier else {}
        assert (await redeem(works, code, **more)).status_code == status
    for wrong in (challenge | {"code_challenge_method": "plain"}, challenge | {"code_challenge": "short"}):
        assert (await consent(works, **wrong))["error"] == "invalid_request"


async def test_a_code_holds_once_for_ten_minutes_and_for_its_redirect_url(works):
    code = (await consent(works))["code"]
    assert (await redeem(works, code)).status_code == 200
    assert (await redeem(works, code)).json()["error"] == "invalid_grant"
    code = (await consent(works))["code"]
    works.sandbox.clock.move(600)
    assert (await redeem(works, code)).json()["error"] == "invalid_grant"
    code = (await consent(works))["code"]
    other = await works.ask_token(
        grant_type="authorization_code", code=code, redirect_uri="http://localhost:1/callback"
    )
    assert other.json()["error"] == "invalid_grant"


async def test_a_no_and_a_wrong_scope_go_back_to_the_client(works):
    assert (await consent(works, decision="deny"))["error"] == "access_denied"
    assert (await consent(works, scope="mail bot"))["error"] == "invalid_scope"
    assert (await consent(works, response_type="token"))["error"] == "unsupported_response_type"
    answer = await works.http.get("/oauth2/v2.0/authorize", params=WISH | {"scope": ""})
    assert "error=invalid_scope" in answer.headers["location"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "other"},
        {"redirect_uri": "http://evil.example/callback"},
        {"redirect_uri": "javascript:alert(1)//localhost"},
        {"redirect_uri": "http://localhost@evil.example/"},
        {"redirect_uri": "http://localhost.evil.example/"},
        {"redirect_uri": "http://localhost:80;script-src */"},
        {"redirect_uri": "http://localhost/\r\nSet-Cookie: a=b"},
        {"redirect_uri": "http://localhost/#fragment"},
    ],
    ids=str,
)
async def test_nobody_is_sent_to_a_redirect_url_that_is_not_registered(works, wrong):
    answer = await works.http.get("/oauth2/v2.0/authorize", params=WISH | wrong)
    assert (answer.status_code, "location" in answer.headers) == (400, False)
    answer = await decide(works, **wrong)
    assert (answer.status_code, "location" in answer.headers) == (400, False)


async def test_registered_redirect_urls_are_compared_exactly():
    async with running(Settings(redirect_urls=(REDIRECT,))) as works:
        assert (await works.http.get("/oauth2/v2.0/authorize", params=WISH)).status_code == 200
        other = WISH | {"redirect_uri": REDIRECT + "/"}
        assert (await works.http.get("/oauth2/v2.0/authorize", params=other)).status_code == 400


async def test_a_new_login_id_may_join_unless_the_membership_is_closed(works):
    answer = await consent(works, other="new@example.org")
    assert (await redeem(works, answer["code"])).status_code == 200
    async with running(Settings(open_membership=False)) as closed:
        assert (await decide(closed, other="new@example.org")).status_code == 400
        with pytest.raises(AuthError):
            closed.sandbox.issue_grant("new@example.org")


async def test_what_the_page_is_given_cannot_break_out_of_it(works):
    wish = WISH | {"state": '"><script>alert(1)</script>'}
    page = await works.http.get("/oauth2/v2.0/authorize", params=wish)
    assert "<script" not in page.text
    policy = page.headers["content-security-policy"]
    assert "script-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


async def test_without_rotation_a_refresh_gives_no_refresh_token_and_the_old_one_stays(works):
    for _ in range(2):
        answer = await works.ask_token(grant_type="refresh_token", refresh_token=works.refresh_token)
        assert answer.status_code == 200
        assert "refresh_token" not in answer.json()


async def test_with_rotation_the_old_refresh_token_dies_at_once():
    async with running(Settings(rotation=True)) as works:
        first = await works.ask_token(grant_type="refresh_token", refresh_token=works.refresh_token)
        again = await works.ask_token(grant_type="refresh_token", refresh_token=works.refresh_token)
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
        following = first.json()["refresh_token"]
        answer = await works.ask_token(grant_type="refresh_token", refresh_token=following)
        assert answer.status_code == 200


async def test_an_unencoded_plus_gives_return_code_99(works):
    """The tokens hold all three characters that want encoding, so that nobody gets by without."""
    assert {"+", "/", "="} <= set(works.refresh_token)
    body = "client_id=sandbox&client_secret=sandbox-secret&grant_type=refresh_token&refresh_token="
    answer = await works.http.post(
        "/oauth2/v2.0/token", content=(body + works.refresh_token).encode(), headers=FORM
    )
    assert answer.json() == {"returnCode": "99", "returnMessage": "UnexpectedError"}


async def test_tokens_live_as_long_as_they_are_said_to():
    async with running(Settings(access_token_life=3600), clock=Clock()) as works:
        works.sandbox.clock.move(3599)
        assert (await works.send()).status_code == 202
        works.sandbox.clock.move(1)
        answer = await works.send()
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
        assert "expired" in answer.headers["www-authenticate"]
        answer = await works.ask_token(grant_type="refresh_token", refresh_token=works.refresh_token)
        assert answer.json()["expires_in"] == "3600"
        await works.http.post("/sandbox/clock", json={"seconds": 90 * 86400})
        answer = await works.ask_token(grant_type="refresh_token", refresh_token=works.refresh_token)
        assert answer.json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "wrong", "grant_type": "refresh_token"}, 401, "invalid_client"),
        ({"client_id": "wrong", "grant_type": "refresh_token"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant"),
        ({"grant_type": "authorization_code", "code": "x"}, 400, "invalid_grant"),
    ],
)
async def test_the_token_endpoint_says_no_as_rfc_6749_has_it(works, form, status, error):
    answer = await works.ask_token(**form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b'{"grant_type": "refresh_token"}', "application/json"),
        (b"grant_type=a&grant_type=b", FORM["content-type"]),
        (b"a" * 70_000, FORM["content-type"]),
        (b"\xff=%ff", FORM["content-type"]),
    ],
)
async def test_a_body_that_is_no_form_is_an_invalid_request(works, body, media_type):
    answer = await works.http.post("/oauth2/v2.0/token", content=body, headers={"content-type": media_type})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_the_other_shape_of_errors():
    async with running(Settings(return_code_errors=True)) as works:
        answer = await works.ask_token(grant_type="refresh_token", refresh_token="x")
        assert answer.json() == {"returnCode": "99", "returnMessage": "invalid_grant"}


async def test_a_revoked_token_is_dead(works):
    form = {"client_id": "sandbox", "client_secret": "sandbox-secret", "token_type_hint": "refresh_token"}
    for token in (works.refresh_token, "unknown"):
        answer = await works.http.post("/oauth2/v2.0/revoke", data=form | {"token": token})
        assert answer.status_code == 200
    assert (await works.send()).status_code == 401
    answer = await works.ask_token(grant_type="refresh_token", refresh_token=works.refresh_token)
    assert answer.json()["error"] == "invalid_grant"


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Basic x", "Bearer \u00e9"])
async def test_no_token_is_a_401_with_its_cause(works, authorization):
    answer = await works.http.post(
        "/v1.0/users/me/mail", json=MAIL, headers={"authorization": authorization.encode("latin-1")}
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
    assert re.match(r'Bearer .*error="invalid_(token|request)"', answer.headers["www-authenticate"])


@pytest.mark.parametrize(
    ("user", "status", "code"),
    [
        ("nobody@example.com", 403, "ACCESS_DENIED"),
        ("erp@example.com", 403, "FORBIDDEN"),
        ("scanner%40example.com", 202, ""),
        ("SCANNER@example.com", 202, ""),
    ],
)
async def test_the_user_in_the_url(works, user, status, code):
    answer = await works.send(user=user)
    assert answer.status_code == status
    assert not code or answer.json()["code"] == code


async def test_a_members_id_is_as_good_as_the_login_id(works):
    works.token = works.sandbox.issue_grant(LOGIN, ("mail", "user.read"))["access_token"]
    me = await works.http.get("/v1.0/users/me", headers={"authorization": f"Bearer {works.token}"})
    assert me.json()["email"] == LOGIN
    assert (await works.send(user=me.json()["userId"])).status_code == 202


async def test_a_missing_scope_is_a_403(works):
    works.token = works.sandbox.issue_grant(LOGIN, ("mail.read",))["access_token"]
    answer = await works.send()
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    me = await works.http.get("/v1.0/users/me", headers={"authorization": f"Bearer {works.token}"})
    assert me.status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1.0/users/me/mail"), ("POST", "/v1.0/users/me/mails"), ("GET", "/v1.0/")],
)
async def test_anything_else_is_an_api_that_does_not_exist(works, method, path):
    answer = await works.http.request(method, path)
    assert (answer.status_code, answer.json()["description"]) == (404, "Api not exists")


async def test_grants_are_listed_without_their_tokens(works):
    answer = await works.http.get("/sandbox/grants")
    (grant,) = answer.json()
    assert grant["login_id"] == LOGIN
    assert works.refresh_token not in answer.text
    minted = await works.http.post("/sandbox/grants", json={"login_id": "erp@example.com"})
    assert minted.json()["token_type"] == "Bearer"
    assert (await works.http.post("/sandbox/grants", json={})).status_code == 400
    await works.http.delete("/sandbox/grants", params={"login_id": LOGIN})
    assert [one["login_id"] for one in (await works.http.get("/sandbox/grants")).json()] == [
        "erp@example.com"
    ]
    assert (await works.send()).status_code == 401
