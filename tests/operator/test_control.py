"""Commands beside a running relay, by its real socket: whatever a verb answers comes back as it is."""

import asyncio
import inspect
import io
import json
import os
import subprocess
import sys

import pytest

from relay.console.journal import _VERBS
from relay.operator import calling
from relay.operator.asking import LOOKING
from relay.operator.verbs import Verbs
from relay.spool import State
from tests.support.relay import relaying, until

# Every verb, with what it is asked here; an id stands where a message's own has to.

ASKED = {
    "queue_list": {"states": ["held"], "limit": 10},
    "queue_show": {"queue_id": "ID"},
    "trace": {"queue_id": "ID"},
    "queue_hold": {"queue_ids": ["ID"]},
    "queue_retry": {"queue_ids": ["ID"]},
    "queue_release": {"queue_ids": ["ID"]},
    "queue_discard": {"queue_ids": ["ID"]},
    "send": {"reverse_path": "scanner@example.com", "forward_paths": ["a@example.net"]},
    "doctor": {},
    "doctor_live": {"after": 0, "patience": 0.0},
    "learn": {"network": "127.0.0.0/8", "seconds": 60},
    "learning": {},
    "troubles": {},
    "audit": {"limit": 10},
    "state": {},
    "learn_stop": {},
    "learn_refuse": {"address": "192.168.1.50"},
    "login_begin": {"account": "scanner"},
    "login": {"account": "scanner", "code": "none", "verifier": "v" * 43},
    "logout": {"account": "scanner"},
    "confirm": {"account": "scanner"},
    "devices": {},
}
# What says no here, in its own words: nothing has been learned.
REFUSED = {
    "learn_adopt": {"address": "192.168.1.50"},
    "learn_forget": {"address": "192.168.1.50"},
    "device_name": {"address": "192.168.1.50", "note": "a printer"},
}
_OF_THE_CLASS = {"find"}  # no verb, but how one is found


def asked(arguments, queue_id):
    return json.loads(json.dumps(arguments).replace("ID", queue_id))


@pytest.mark.parametrize("verb", ASKED)
async def test_every_verb_answers_by_the_socket(tmp_path, verb):
    """What has a key `refused` of its own, a message's recipients, was taken for a refusal."""
    path = tmp_path / "state" / "control.sock"
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("503", times=0)
        queue_id = await relay.put()
        await relay.reach(queue_id, State.DELAYED)
        await relay.reply(queue_id)
        if verb == "queue_release":
            await relay.service.verbs.queue_hold([queue_id])
        content = io.BytesIO(b"Subject: x\r\n\r\nx\r\n") if verb == "send" else None
        answer = await calling.call(path, verb, content, **asked(ASKED[verb], queue_id))
        if verb in ("queue_show", "trace"):
            own = await getattr(relay.service.verbs, verb)(queue_id)
            assert answer == json.loads(json.dumps(own))
        assert answer.get("problems", []) == []


@pytest.mark.parametrize("verb", REFUSED)
async def test_a_refusal_by_the_socket_is_the_verbs_own_sentence(tmp_path, verb):
    async with relaying(tmp_path / "state"):
        with pytest.raises(calling.Refused, match=r"192\.168\.1\.50"):
            await calling.call(tmp_path / "state" / "control.sock", verb, **REFUSED[verb])


async def test_no_verb_is_left_out_above(tmp_path):
    async with relaying(tmp_path / "state") as relay:
        own = {name for name, _ in inspect.getmembers(Verbs, inspect.isfunction) if name[0] != "_"}
        assert (own - _OF_THE_CLASS) | set(relay.service.verbs._more) == set(ASKED) | set(REFUSED)


def test_whatever_changes_something_has_its_words_in_the_console():
    """One that was added later stood there by its own name, `learn_forget`."""
    assert set(_VERBS) == (set(ASKED) | set(REFUSED)) - LOOKING


async def test_a_relay_of_another_version_is_no_fault_of_the_command(tmp_path):
    """Until it is restarted after an update, it answers in another form."""

    async def answer(reader, writer):
        await reader.readline()
        writer.write(b'{"messages": []}\n')
        writer.close()

    async with await asyncio.start_unix_server(answer, tmp_path / "control.sock"):
        with pytest.raises(calling.Refused, match="of another version; restart it"):
            await calling.call(tmp_path / "control.sock", "queue_list")


def test_a_command_that_only_asks_begins_without_the_relay():
    """Half of what `relay queue list` took beside a service was the import of what only the service needs."""
    loaded = "import sys, relay.operator.calling; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=60
    )
    assert not {"relay.spool", "relay.courier", "httpx2", "structlog"} & set(done.stdout.split())


async def test_a_large_message_goes_through_the_control_socket_block_by_block(tmp_path):
    async with relaying(tmp_path / "state", works={"attachment_limit": "0"}) as relay:
        large = tmp_path / "large.eml"
        large.write_bytes(b"Subject: large\r\n\r\n" + b"line of text\r\n" * 400_000)
        with large.open("rb") as file:
            answer = await calling.call(
                tmp_path / "state" / "control.sock",
                "send",
                file,
                reverse_path="scanner@example.com",
                forward_paths=["a@example.net"],
            )
        assert answer["code"] == 250
        assert relay.subjects() == ["large"]


@pytest.mark.parametrize(
    "path", ["a@b.c; evil@x.test", "a", "", "<a@b.c>", "a@b.c\r\nRCPT", "a＠x.test;a@b.c"]
)
async def test_addresses_are_held_to_the_doors_grammar(tmp_path, path):
    """Two addresses in one went to Works as two."""
    async with relaying(tmp_path / "state") as relay:
        socket = tmp_path / "state" / "control.sock"
        with pytest.raises(calling.Refused):
            await calling.call(socket, "send", b"Subject: x\r\n\r\nx", reverse_path="", forward_paths=[path])
        assert not relay.sandbox.messages


async def test_who_asked_is_recorded(tmp_path):
    """By the kernel's word: the process and its user (SO_PEERCRED)."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("503", times=0)
        queue_id = await relay.put()
        await relay.reach(queue_id, State.DELAYED)
        path = tmp_path / "state" / "control.sock"
        await calling.call(path, "queue_hold", queue_ids=[queue_id])

        async def noted():
            events = (await relay.service.verbs.trace(queue_id))["events"]
            return next((one["detail"] for one in events if one["event"] == "asked"), None)

        assert await until(noted) == {"verb": "hold", "uid": os.getuid(), "pid": os.getpid()}
