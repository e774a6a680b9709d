"""X-Works fields at the door: where they count, and what a wrong value hears."""

import asyncio
import smtplib

import pytest

from tests.support.cheap import hash_password
from tests.support.relay import relaying

PASSWORD = "correct horse"
HASH = hash_password(PASSWORD)


def message(*fields, body="hello"):
    return "\r\n".join(["From: scanner@example.com", "To: a@example.net", *fields, "", body]).encode()


@pytest.mark.parametrize("level", ["user", "device", "listener", ""])
async def test_one_level_that_allows_them_is_enough(tmp_path, level):
    def own(name):
        return {"options_by_field": level == name}

    tables = {
        "user": [{"name": "erp", "password_hash": HASH, **own("user")}],
        "device": [{"address": "127.0.0.1", **own("device")}],
        "listener": [
            {"address": "127.0.0.1:0", "auth": "optional", "auth_without_tls": True, **own("listener")}
        ],
    }
    async with relaying(tmp_path / "state", **tables) as relay:
        content = message("X-Works-Tracking: yes", "X-Works-Security-Level: Confidential")
        queue_id = (await relay.send(content=content, login=("erp", PASSWORD)))[1].rpartition("id=")[2]
        assert queue_id
        (sent,) = [relay.sandbox.request(one.id) for one in relay.sandbox.messages]
    assert sent["isSaveTracking"] is bool(level)
    assert sent.get("securityLevel", "") == ("Confidential" if level else "")


async def test_a_program_can_ask_whether_they_count(tmp_path):
    """The keyword stands in EHLO's reply where they do: here for a user alone, after the login."""
    tables = {
        "user": [{"name": "erp", "password_hash": HASH, "options_by_field": True}],
        "listener": [{"address": "127.0.0.1:0", "auth": "optional", "auth_without_tls": True}],
    }

    def ask(address):
        with smtplib.SMTP(*address, timeout=30) as client:
            offered = []
            for step in (client.ehlo, lambda: client.login("erp", PASSWORD), client.ehlo):
                step()
                offered.append(client.has_extn("x-works-options"))
            return offered

    async with relaying(tmp_path / "state", **tables) as relay:
        assert await asyncio.to_thread(ask, relay.service.server.addresses[0]) == [False, False, True]


@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "in a file"])
async def test_a_wrong_value_is_refused_before_anything_is_kept(tmp_path, size):
    """Also where nobody waits for the outcome: a 250 and a notice later would be too late for a program."""
    listener = [{"address": "127.0.0.1:0", "options_by_field": True, "wait": "0s"}]
    async with relaying(tmp_path / "state", listener=listener) as relay:
        answer = await relay.send(content=message("X-Works-Tracking: maybe", body="x\r\n" * (size // 3)))
        assert answer == (554, "5.6.0 X-Works-Tracking: expected yes or no")
        assert not any((await relay.service.spool.counts()).values())


async def test_a_large_message_chooses_too(tmp_path):
    """It is converted in a process of its own, which tells what the fields ask for."""
    listener = [{"address": "127.0.0.1:0", "options_by_field": True}]
    async with relaying(tmp_path / "state", listener=listener) as relay:
        content = message("X-Works-Save-Sent: no", body="x y z\r\n" * 30_000)
        assert "relayed" in (await relay.send(content=content))[1]
        (sent,) = [relay.sandbox.request(one.id) for one in relay.sandbox.messages]
    assert sent["isSaveSentMail"] is False
