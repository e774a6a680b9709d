"""Stored markup: whatever a client, a device or Works said, in every field of every page, it stays text."""

from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from enum import Enum
from urllib.parse import quote

import httpx2 as httpx
import pytest

from relay.console.access import OPEN
from relay.console.app import build
from relay.console.server import serving
from relay.console.service import ServiceStatus
from relay.operator.asking import ask
from relay.operator.calling import Refused
from relay.operator.state import Disk, Told
from relay.spool import State
from tests.support.console import NODES, STATE
from tests.support.relay import relaying, until

# Without a slash: it stands in paths too.
EVIL = "\"'><script>alert(1)<img src=x onerror=alert(2)>{{7*7}}\u202e"
CONTENT = b"From: nas@example.com\r\nReply-To: c@example.net\r\nSubject: a\r\n\r\nHello\r\n"


def poison(value):
    """The value with markup in place of every text that is neither a time nor a word of a closed list."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return value if is_time(value) or value in ("notable", "usual") else EVIL
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
    """A relay all of whose texts are markup, and which has one of everything."""

    async def state(self):
        disk = Disk(0, 1, accepting=False, reason="full")
        account = replace(STATE.accounts[1], default=True, address=NAME, name=NAME)
        listener = replace(STATE.listeners[0], remarks=("remark",))
        seen = replace(STATE, accounts=(*STATE.accounts, account), listeners=(listener,), disk=disk)
        told = replace(STATE.concerns[0], told=(Told("t", STATE.now),))
        return poison(replace(seen, concerns=(told,), nodes=NODES, archive=("a@example.com",)))

    async def ask(self, name, verb, **arguments):
        if verb == "doctor" and "address" in arguments:
            arguments = {"address": "127.0.0.1"}  # whatever it is, somebody came from there
        found = CANNED.get(verb) or await super().ask(name, verb, **arguments)
        for one in found.get("clients", ()):
            one["last"] = one["troubled"] = one["last"] | SAID
        return poison(found)

    def account_names(self):
        return (EVIL,)

    async def problems(self):
        return (EVIL,)


NAME = "an account"
SAID = {
    "advice": [{"text": "advice", "problem": True}],
    "user": "user",
    "tls": "TLSv1.3 x",
    "offered": "TLSv1.2",
}
CANNED = {
    "login_begin": {"url": "u", "state": "s", "verifier": "v", "redirect_url": "r", "address": "a"},
    "login": {"whose": "w", "again": "", "account": "a"},
    "learn_adopt": {"released": []},
    "devices": {"devices": [{"address": one, "note": "n"} for one in ("127.0.0.1", "192.0.2.9")]},
    "logout": {"found": True},
    "learn": {"until": "2027-01-15T07:50:00+00:00"},
}


async def every_page(http, queue_id):
    """Each page that shows what others said: its path, and the answer."""
    evil = quote(EVIL)
    paths = ["/", "/messages", f"/messages/{queue_id}", "/devices", "/devices/127.0.0.1", "/accounts"]
    for path in (*paths, f"/devices/{evil}", "/test", "/activity", f"/messages/{evil}"):
        yield path, await http.get(path)
    for path, form in (
        ("/devices/learn", {"network": EVIL, "seconds": "900"}),
        ("/test", {"account": EVIL, "to": EVIL}),
        (f"/messages/{queue_id}/discard", {}),
        (f"/messages/{queue_id}/hold", {}),
        ("/login", {"name": EVIL, "password": EVIL, "next": EVIL}),
        (f"/devices/{evil}/refuse", {}),
        (f"/devices/{evil}/adopt", {"note": "n"}),  # what is said afterwards
        (f"/accounts/{evil}/disconnect", {}),
        (f"/accounts/{evil}/connect", {}),
    ):
        yield path, (answer := await http.post(path, data=form))
    yield "what is pasted", await http.post(answer.url, data={"address": EVIL})


@asynccontextmanager
async def poisoned(folder):
    """A browser without script before such a relay, and the id of a message."""
    outside = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "networks": ["192.168.1.0/24"]}]
    async with relaying(folder, listener=outside, delivery={"wait": "0s"}) as relay:
        queue_id = await relay.put("yamada@example.com", content=CONTENT)
        await relay.reach(queue_id, State.RELAYED)
        verbs, person = relay.service.verbs, {"console_user": "admin"}
        await ask(verbs, person, "queue_hold", {"queue_ids": [queue_id]})
        await ask(verbs, person, "learn", {"network": "192.168.7.0/24", "seconds": 60.0})
        with pytest.raises(Refused):
            await ask(verbs, person, "learn", {"network": "8.8.8.0/24", "seconds": 60.0})
        await until(lambda: relay.service.server.recorder.visits("127.0.0.1").last.ended)
        app = build(Poisoned(relay.service), access=OPEN)
        async with (
            serving(app) as server,
            httpx.AsyncClient(
                base_url=server.url, trust_env=False, follow_redirects=True, timeout=30
            ) as http,
        ):
            yield http, queue_id


async def test_no_text_of_anybody_gets_into_a_page_as_markup(tmp_path):
    async with poisoned(tmp_path / "state") as (http, queue_id):
        async for path, answer in every_page(http, queue_id):
            assert "<script>alert" not in answer.text, path
            assert "<img src=x" not in answer.text, path
            assert ">49" not in answer.text, path
            assert "script-src 'sha256-" in answer.headers["content-security-policy"]
            if path != "/login":
                assert "&lt;script&gt;alert(1)" in answer.text, path  # and it is there
