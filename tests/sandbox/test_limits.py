"""The domain's requests a minute, the mailbox's mails and recipients."""

import pytest

from relay.sandbox import Settings
from tests.support.sandbox import MAIL, running

FREE = Settings(requests_per_minute=3, mails_per_minute=0)


def limits(answer):
    return tuple(int(answer.headers[f"ratelimit-{name}"]) for name in ("limit", "remaining", "ssed"))


async def test_the_fields_count_down_and_the_fourth_is_a_429():
    async with running(FREE) as works:
        assert [limits(await works.send()) for _ in range(3)] == [(3, 2, 1), (3, 1, 2), (3, 0, 3)]
        answer = await works.send()
        assert answer.status_code == 429
        assert answer.json() == {"code": "TOO_MANY_REQUESTS", "description": "API rate limit exceeded"}
        assert limits(answer) == (3, 0, 3)
        assert 1 <= int(answer.headers["ratelimit-reset"]) <= 60
        works.sandbox.clock.move(61)
        assert limits(await works.send()) == (3, 2, 1)


async def test_refused_mails_count_as_requests_and_all_accounts_share_one_limit():
    async with running(FREE) as works:
        assert limits(await works.send({})) == (3, 2, 1)
        works.token = works.sandbox.issue_grant("erp@example.com")["access_token"]
        assert limits(await works.send()) == (3, 1, 2)
        works.token = "unknown"
        assert "ratelimit-limit" not in (await works.send()).headers


@pytest.mark.parametrize(
    "wish", [b'{"seconds": NaN}', b'{"seconds": 1e300}', b"{}", b"[]", b'{"seconds": "x"}', b"x"]
)
async def test_a_clock_that_cannot_be_moved_so(works, wish):
    assert (
        await works.http.post("/sandbox/clock", content=wish, headers={"content-type": "application/json"})
    ).status_code == 400
    assert (await works.http.get("/sandbox/clock")).json()["offset"] == 0


async def test_no_limit_no_fields():
    async with running(Settings(requests_per_minute=0, mails_per_minute=0, recipients_per_day=0)) as works:
        for _ in range(70):
            answer = await works.send()
            assert (answer.status_code, "ratelimit-limit" in answer.headers) == (202, False)


async def test_sixty_mails_a_minute_for_a_mailbox():
    async with running(Settings(mails_per_minute=2)) as works:
        await works.send()
        works.sandbox.clock.move(30)
        await works.send()
        answer = await works.send()
        assert (answer.status_code, answer.json()["code"]) == (403, "LIMIT_EXCEEDED")
        works.sandbox.clock.move(31)
        assert (await works.send()).status_code == 202
        assert (await works.send()).status_code == 403


async def test_recipients_a_day_for_a_mailbox():
    async with running(Settings(recipients_per_day=4, access_token_life=7 * 86400)) as works:
        three = MAIL | {"cc": "b@example.com", "bcc": "c@example.com"}
        assert (await works.send(three)).status_code == 202
        works.sandbox.clock.move(3600)
        answer = await works.send(three)
        assert (answer.status_code, answer.json()["code"]) == (403, "LIMIT_EXCEEDED")
        assert (await works.send()).status_code == 202
        works.sandbox.clock.move(86400 - 3600 + 1)
        assert (await works.send(three)).status_code == 202
