"""Stored markup: whatever a client, a device or Works said, in every field of every page, it stays text."""

from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from enum import Enum

import httpx2 as httpx

from relay.console.access import OpenAccess
from relay.console.app import build
from relay.console.server import serving
from relay.console.service import ServiceStatus
from relay.operator.asking import ask
from relay.spool import State
from tests.support.relay import relaying, until

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}\u202e"
CONTENT = b"From: nas@example.com\r\nReply-To: c@example.net\r\nSubject: a\r\n\r\nHello\r\n"


def poison(value):
    """The value with markup in place of every text that is neither a time nor a word of a closed list."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return value if is_time(value) else EVIL
    if is_dataclass(value):
        return replace(
            value, **{one.name: poison(getattr(value, one.name)) for one in fields(value) if one.init}
        )
    if isinstance(value, dict):
        return {key: poison(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(poison(one) for one in value)
    return value


def is_time(text):
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return "T" in text


class Poisoned(ServiceStatus):
    """A relay all of whose texts are markup."""

    async def state(self):
        return poison(await super().state())

    async def ask(self, name, verb, **arguments):
        return poison(await super().ask(name, verb, **arguments))

    async def problems(self):
        return (EVIL,)


async def test_no_text_of_anybody_gets_into_a_page_as_markup(tmp_path):
    outside = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "networks": ["192.168.1.0/24"]}]
    async with relaying(tmp_path / "state", listener=outside, delivery={"wait": "0s"}) as relay:
        queue_id = await relay.put("yamada@example.com", content=CONTENT)
        await relay.reach(queue_id, State.RELAYED)
        verbs, person = relay.service.verbs, {"console_user": "admin"}
        await ask(verbs, person, "queue_hold", {"queue_ids": [queue_id]})
        await ask(verbs, person, "learn", {"network": "192.168.7.0/24", "seconds": 60.0})
        await until(lambda: relay.service.server.recorder.visits("127.0.0.1").last.ended)
        app = build(Poisoned(relay.service), access=OpenAccess())
        async with serving(app) as server, httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
            paths = ["/", "/messages", f"/messages/{queue_id}", "/devices", "/devices/127.0.0.1", "/accounts"]
            for path in (*paths, "/test", "/activity", f"/messages/{EVIL.replace('/', '')}"):
                answer = await http.get(path)
                assert "<script>alert" not in answer.text, path
                assert "<img src=x" not in answer.text, path
                assert ">49" not in answer.text, path
                assert "&lt;script&gt;alert(1)" in answer.text, path  # and it is there
                assert "script-src 'sha256-" in answer.headers["content-security-policy"]
            for path, form in (
                ("/devices/learn", {"network": EVIL, "seconds": "900"}),
                ("/test", {"account": EVIL, "to": EVIL}),
                ("/messages/none/hold", {}),
                ("/login", {"name": EVIL, "password": EVIL, "next": EVIL}),
                ("/devices/127.0.0.1/refuse", {}),
            ):
                assert "<script>alert" not in (await http.post(path, data=form)).text, path
