"""Find a message, look at it, and work on it: at a real relay, by the console's own forms."""

import re

import pytest

from relay.spool import State
from tests.support.console_login import ADMIN, GUEST, log_in
from tests.support.looking import looking, text_of, users

CONTENT = b"""\
From: nas@example.com
To: yamada@example.com
Reply-To: b@example.net
Subject: geheim

Hi
"""


def listed(page):
    return re.findall(r'href="/messages/(\w{17})"', page)


async def test_a_message_is_found_by_what_a_person_knows_of_it(tmp_path):
    async with looking(tmp_path / "state", account=TWO) as (relay, http):
        first = await relay.put("yamada@example.com", "suzuki@example.com", content=CONTENT)
        second = await relay.put("tanaka@example.com", sender="erp@example.com")
        await relay.reach(first, State.RELAYED)
        await relay.reach(second, State.RELAYED)
        for query, found in (
            ("", [second, first]),
            ("to=YAMADA", [first]),
            ("to=suzuki", [first]),
            ("from=erp", [second]),
            ("account=erp", [second]),
            ("source=127.0.0.1", [second, first]),
            ("state=relayed", [second, first]),
            ("state=failed", []),
            ("state=nonsense&since=nonsense&before=x&skip=-1&first=1e9", [second, first]),
            ("since=1h&to=yamada", [first]),
            (f"id={first[:15]}", [first] if first[:15] != second[:15] else [second, first]),
        ):
            assert listed(await text_of(http, f"/messages?{query}")) == found, query
        page = await text_of(http, f"/messages?id={first}")
        assert "yamada@example.com" in page  # its own page
        assert "1 recipient" not in page


TWO = [
    {"name": "scanner", "address": "scanner@example.com", "default": True},
    {"name": "erp", "address": "erp@example.com"},
]


async def test_pages_of_messages_lose_and_repeat_none(tmp_path, monkeypatch):
    """Messages of one second are told apart by how many of them were shown."""
    monkeypatch.setattr("relay.console.messages._ON_A_PAGE", 3)
    async with looking(tmp_path / "state") as (relay, http):
        ids = [await relay.put(f"a{number}@example.com") for number in range(8)]
        path, seen = "/messages", []
        while path:
            page = await text_of(http, path)
            seen += listed(page)
            assert "of 8, newest first" in page
            link = re.search(r'href="\?([^"]+)" rel="next"', page)
            path = link and f"/messages?{link[1]}"
    assert seen == ids[::-1]


async def test_a_message_tells_its_life_and_its_losses_in_words(tmp_path):
    async with looking(tmp_path / "state") as (relay, http):
        queue_id = await relay.put("yamada@example.com", content=CONTENT)
        await relay.reach(queue_id, State.RELAYED)
        await relay.reply(queue_id)
        page = await text_of(http, f"/messages/{queue_id}")
        for words in (
            "Works took the message",
            "Reply-To names somebody else",
            "From is not the account's address",
            "b@example.net",
            "HELO device.test",
            "without TLS",
            "Attempt 1 began, for 1 recipient",
            "HTTP 202",
            f"<dd><code>250 2.0.0 queued, id={queue_id}</code></dd>",
            "The client heard the reply",
            "yamada@example.com",
        ):
            assert words in page, words
        assert "geheim" not in page
        assert "No message has the queue id nothing" in await text_of(http, "/messages/nothing", 404)


async def test_whoever_does_not_log_in_sees_no_recipient(tmp_path):
    """Every user of the machine reaches a console on loopback."""
    async with looking(tmp_path / "state", users()) as (relay, http):
        queue_id = await relay.put("yamada@example.com", content=CONTENT)
        await relay.reach(queue_id, State.RELAYED)
        for path in ("/", "/messages", f"/messages/{queue_id}", "/messages?to=nobody"):
            page = await text_of(http, path)
            assert "yamada" not in page
            assert "b@example.net" not in page
            assert "1 recipient" in page
            assert "<button>Release" not in page


async def test_verbs_do_what_their_buttons_say_and_are_recorded_with_the_name(tmp_path):
    async with looking(tmp_path / "state", users(ADMIN)) as (relay, http):
        await relay.service.courier.stop(0)  # nothing is claimed between two clicks
        queue_id = await relay.put("yamada@example.com")
        await log_in(http)
        for verb, said, state in (
            ("hold", "It is held until", State.HELD),
            ("release", "It is released", State.QUEUED),
        ):
            answer = await http.post(f"/messages/{queue_id}/{verb}")
            assert said in answer.text
            assert (await relay.entry(queue_id)).state is state
        page = await text_of(http, f"/messages/{queue_id}")
        assert "admin asked for it: hold" in page
        assert (await http.post(f"/messages/{queue_id}/hold")).status_code == 200
        question = await http.post(f"/messages/{queue_id}/discard")
        assert "Throw this message away?" in question.text
        assert (await relay.entry(queue_id)).state is State.HELD
        answer = await http.post(f"/messages/{queue_id}/discard", data={"sure": "1"})
        assert "It is discarded." in answer.text
        assert (await relay.entry(queue_id)).state is State.DISCARDED
        answer = await http.post(f"/messages/{queue_id}/release")
        assert answer.status_code == 409
        assert "is discarded, not held" in answer.text
        for path in (f"/messages/{queue_id}/nonsense", "/messages/nothing/hold"):
            assert (await http.post(path)).status_code == 404
        records = (await relay.service.verbs.audit(20))["records"]
    assert {one["who"] for one in records} == {"admin"}
    assert records[0] == records[0] | {"verb": "queue_release", "about": {"queue_ids": [queue_id]}}


@pytest.mark.parametrize("verb", ["release", "retry"])
async def test_what_could_double_is_asked_first(tmp_path, verb):
    """Nobody knows whether Works took it; one of two verbs sent it again without a word."""
    delivery = {"wait": "0s", "on_unknown": "hold" if verb == "release" else "retry", "give_up_after": "1s"}
    async with looking(tmp_path / "state", delivery=delivery) as (relay, http):
        relay.sandbox.add_fault("cut-after", times=1 if verb == "release" else 0)
        queue_id = await relay.put("yamada@example.com")
        await relay.reach(queue_id, State.HELD, State.DELAYED)
        if verb == "retry":
            relay.sandbox.faults.clear()
        accepted = len(relay.sandbox.messages)
        question = await http.post(f"/messages/{queue_id}/{verb}")
        assert "would get it twice" in question.text
        assert "sure" in question.text
        assert len(relay.sandbox.messages) == accepted
        await http.post(f"/messages/{queue_id}/{verb}", data={"sure": "1"})
        await relay.reach(queue_id, State.RELAYED)
        assert len(relay.sandbox.messages) == accepted + 1


async def test_a_viewer_and_a_stranger_change_nothing(tmp_path):
    async with looking(tmp_path / "state", users(GUEST)) as (relay, http):
        await relay.service.courier.stop(0)
        queue_id = await relay.put("yamada@example.com")
        answer = await http.post(f"/messages/{queue_id}/hold")
        assert answer.url.path == "/login"
        await log_in(http, "guest")
        page = await text_of(http, f"/messages/{queue_id}")
        assert "yamada@example.com" in page
        assert "Hold" not in page
        answer = await http.post(f"/messages/{queue_id}/hold")
        assert (answer.status_code, "You may look here, and not act" in answer.text) == (403, True)
        fields = {"sec-fetch-site": "cross-site"}
        assert (await http.post(f"/messages/{queue_id}/hold", headers=fields)).status_code == 403
        assert (await relay.entry(queue_id)).state is State.QUEUED
    async with looking(tmp_path / "other", users()) as (relay, http):
        queue_id = await relay.put("yamada@example.com")
        answer = await http.post(f"/messages/{queue_id}/hold")
        assert (answer.status_code, "Nobody logs in here" in answer.text) == (403, True)
