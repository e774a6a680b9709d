"""Devices: seen, adopted by a name, refused, learned for a while."""

from relay.spool import State
from tests.support.console_login import ADMIN, GUEST, log_in
from tests.support.looking import looking, text_of, users
from tests.support.relay import until

OUTSIDE = [{"address": "127.0.0.1:0", "networks": ["192.168.1.0/24"]}]


async def learned(relay, http):
    """A device of 127.0.0.0/8 that is let in for a while, and whose mail is held."""
    answer = await http.post("/devices/learn", data={"network": "127.0.0.0/8", "seconds": "900"})
    assert "their mail is held until you adopt them" in answer.text
    assert "left, until " in answer.text
    return await relay.put("yamada@example.com")


async def test_a_device_is_learned_adopted_by_a_name_and_named_again(tmp_path):
    async with looking(tmp_path / "state", users(ADMIN), listener=OUTSIDE) as (relay, http):
        await log_in(http)
        queue_id = await learned(relay, http)
        page = await text_of(http, "/devices")
        for words in (
            "Wait to be adopted",
            "127.0.0.1",
            "HELO device.test",
            "to yamada@example.com",
            "plain",
        ):
            assert words in page, words
        assert 'href="/devices/127.0.0.1">Open the device<' in await text_of(http, f"/messages/{queue_id}")
        answer = await http.post("/devices/127.0.0.1/adopt", data={"note": 'MFP "3F" \u8907\u5408\u6a5f'})
        assert "127.0.0.1 is adopted" in answer.text
        await relay.reach(queue_id, State.RELAYED)
        page = await text_of(http, "/devices")
        assert "Wait to be adopted" not in page
        assert 'MFP "3F" 複合機' in page
        file = tmp_path / "state" / "learned.toml"
        file.write_text(file.read_text() + "# a note of mine\n")
        answer = await http.post("/devices/127.0.0.1/name", data={"note": "Reception"})
        assert "Its name is changed." in answer.text
        assert "Reception" in await text_of(http, "/devices/127.0.0.1")
        assert "# a note of mine" in file.read_text()
        assert file.read_text().count("note =") == 1
        answer = await http.post("/devices/127.0.0.9/name", data={"note": "x"})
        assert (answer.status_code, "was not adopted here" in answer.text) == (409, True)
        answer = await http.post("/devices/127.0.0.1/name", data={"note": "x" * 201})
        assert answer.status_code == 409
        await http.post("/devices/learn/stop")
        assert "left, until" not in await text_of(http, "/devices")
        assert "Forget 127.0.0.1?" in (await http.post("/devices/127.0.0.1/forget")).text
        answer = await http.post("/devices/127.0.0.1/forget", data={"sure": "1"})
        assert "It is adopted no longer" in answer.text
        assert (relay.service.config.device, "# a note of mine" in file.read_text()) == ((), True)


async def test_a_device_is_refused_after_a_question(tmp_path):
    async with looking(tmp_path / "state", users(ADMIN), listener=OUTSIDE) as (relay, http):
        await log_in(http)
        queue_id = await learned(relay, http)
        question = await http.post("/devices/127.0.0.1/refuse")
        assert "Refuse 127.0.0.1?" in question.text
        assert (await relay.entry(queue_id)).state is State.HELD
        answer = await http.post("/devices/127.0.0.1/refuse", data={"sure": "1"})
        assert "is thrown away: 1." in answer.text
        assert (await relay.entry(queue_id)).state is State.DISCARDED
        answer = await http.post("/devices/127.0.0.1/adopt")
        assert (answer.status_code, "no mail of 127.0.0.1 is held" in answer.text) == (409, True)


async def test_a_device_tells_what_the_doctor_says_and_what_was_said(tmp_path):
    async with looking(tmp_path / "state", users(GUEST)) as (relay, http):
        await log_in(http, "guest")
        await relay.put("yamada@example.com")
        await until(lambda: relay.service.server.recorder.visits("127.0.0.1").last.ended)
        page = await text_of(http, "/devices/127.0.0.1")
        for words in ("Its last session", "HELO", "device.test", "What was said", "C EHLO device.test"):
            assert words in page, words
        assert "Nothing has come from this address" in await text_of(http, "/devices/192.168.1.50")
        assert (await http.get("/devices/nonsense")).status_code == 409
        for path in ("/devices/learn", "/devices/learn/stop", "/devices/127.0.0.1/adopt"):
            assert (
                await http.post(path, data={"network": "127.0.0.0/8", "seconds": "900"})
            ).status_code == 403
    async with looking(tmp_path / "other", users()) as (relay, http):
        await relay.put("yamada@example.com")
        page = await text_of(http, "/devices/127.0.0.1")
        assert "yamada" not in page
        assert "Its last session" in page
