"""Every text of the pages goes through one catalogue: one that changes every letter leaves nothing plain."""

import re
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from gettext import NullTranslations
from html.parser import HTMLParser

import httpx2 as httpx
import pytest

from relay import __version__
from relay.cli.sandbox_originals import Originals
from relay.console.access import OPEN
from relay.console.app import build
from relay.console.server import serving
from relay.console.service import ServiceStatus
from relay.host.texts import gettext, install, say
from relay.operator.asking import ask
from relay.spool import State
from tests.support.console import NODES, STATE, Relay
from tests.support.console_login import ADMIN, browsing, log_in, settings
from tests.support.relay import relaying, until

PLAIN = {ord(letter): ord(letter) - 0x20 + 0xFF00 for letter in map(chr, range(ord("A"), ord("z") + 1))}
# What a text keeps: places for values, tags, and characters by their names.
KEPT = re.compile(r"(%\(\w+\)s|\{\w+\}|<[^>]*>|&\w+;|%%)")
# Whatever is data has one of these in it, or is the same in every language.
DATA = re.compile(
    r"qz|example|\.test|callback\?|^(?:1M[0-9A-Z]{15}|SMTP|TLS|HELO|HTTP|UTC|KB|MB|GB|html|text)$"
)
SILENT = {"script", "style", "code", "pre", "kbd"}
SHOWN = ("aria-label", "title", "placeholder", "alt", "data-lost", "data-label")
ACCOUNTS = [
    {"name": "qzscan", "address": "qzscan@qz.example", "default": True},
    {"name": "qzspare", "address": "qzspare@qz.example"},  # nobody consents: its mail is held
]
CONTENT = b"From: nas@qz.example\r\nReply-To: c@qz.example\r\nSubject: qz\r\n\r\nqz\r\n"


class Full(NullTranslations):
    """Every letter in its full-width form."""

    def gettext(self, message):
        parts = KEPT.split(message)
        return "".join(part if KEPT.fullmatch(part) else part.translate(PLAIN) for part in parts)

    def ngettext(self, msgid1, msgid2, n):
        return self.gettext(msgid1 if n == 1 else msgid2)


class Visible(HTMLParser):
    """The texts of a page that a person sees or hears."""

    def __init__(self, page):
        super().__init__()
        self.found, self._open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self._open.append(tag)
        self.found += [value for name, value in attrs if name in SHOWN and value]
        if tag in ("meta", "link", "input", "br", "meter", "rect", "line", "path", "base"):
            self._open.pop()

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if not SILENT & set(self._open):
            self.found.append(data)


def find_plain(page):
    """The words that no translation would reach."""
    words = {word for text in Visible(page).found for word in re.findall(r"\S*[A-Za-z]{2,}\S*", text)}
    bare = {word.strip("<>()[],;:·→●“”") for word in words}
    return {word for word in bare if not DATA.search(word)} - {__version__, *time.tzname}


@pytest.fixture
def full():
    install(Full())
    yield
    install(NullTranslations())


@asynccontextmanager
async def playing(folder):
    """A relay before a simulated Works, both with their pages, and a browser without script."""
    originals = Originals()
    sections = {"account": ACCOUNTS, "delivery": {"wait": "0s", "on_unknown": "hold"}}
    async with relaying(folder, grants=["qzscan"], originals=originals, **sections) as relay:
        works = relay.sandbox.app
        app = build(ServiceStatus(relay.service), access=OPEN, beside=works, links={"qz": "/inbox"})
        async with (
            serving(app) as server,
            httpx.AsyncClient(
                base_url=server.url, trust_env=False, follow_redirects=True, timeout=30
            ) as http,
        ):
            yield relay, http


async def test_every_text_of_every_page_is_translated(tmp_path, full):
    """Labels, states, troubles, remedies, what the doctor says, what is said after an act and of an error."""
    async with playing(tmp_path / "state") as (relay, http):
        ids = await fill(relay)
        plain = {}

        async def look(path, form=None):
            answer = await (http.get(path) if form is None else http.post(path, data=form))
            if found := find_plain(answer.text):
                plain[path] = found

        for path in (*CONSOLE, *INBOX, *(f"/messages/{one}" for one in ids.values())):
            await look(path)
        for path, form in acts(ids):
            await look(path, form)
        await look("/activity")
    assert plain == {}, plain


CONSOLE = (
    *("/", "/messages", "/messages?state=failed", "/messages/qz", "/devices", "/devices/127.0.0.1"),
    *("/devices/192.0.2.9", "/accounts", "/test", "/activity"),
)
INBOX = (
    *("/inbox", "/inbox/1", "/inbox/999", "/inbox?q=nobody", "/inbox/1?view=source", "/inbox/faults"),
    "/oauth2/v2.0/authorize",
)


async def fill(relay):
    """Messages in all states that a person meets; a fault; learning; a record of who changed what."""
    relay.sandbox.add_fault("cut-after", at="send")
    ids = {"doubtful": await relay.put("y@qz.example", sender="nas@qz.example", content=CONTENT)}
    await relay.reach(ids["doubtful"], State.HELD)
    ids["held"] = await relay.put("y@qz.example", sender="qzspare@qz.example", subject="qz")
    ids["done"] = await relay.put("y@qz.example", "z@qz.example", sender="nas@qz.example", content=CONTENT)
    await relay.reach(ids["done"], State.RELAYED)
    relay.sandbox.add_fault("400", at="send")
    ids["failed"] = await relay.put("y@qz.example", sender="", content=CONTENT)  # nobody can be told
    await relay.reach(ids["failed"], State.FAILED)
    relay.sandbox.add_fault("503", at="send", times=9)
    ids["late"] = await relay.put("y@qz.example", sender="nas@qz.example", subject="qz")
    await relay.reach(ids["late"], State.DELAYED)
    for one in ids.values():
        await relay.reply(one)
    asker = {"console_user": "qzadmin"}
    await ask(relay.service.verbs, asker, "learn", {"network": "192.168.7.0/24", "seconds": 600.0})
    await ask(relay.service.verbs, asker, "queue_hold", {"queue_ids": [ids["late"]]})
    await until(lambda: relay.service.server.recorder.visits("127.0.0.1").last.ended)
    return ids


def acts(ids):
    """What a person does, with its questions and errors."""
    return (
        (f"/messages/{ids['late']}/release", {}),
        (f"/messages/{ids['held']}/discard", {}),
        (f"/messages/{ids['doubtful']}/release", {}),
        (f"/messages/{ids['done']}/hold", {}),
        (f"/messages/{ids['held']}/discard", {"sure": "1"}),
        ("/accounts/qzspare/connect", {}),
        ("/accounts/qzscan/disconnect", {}),
        ("/accounts/qznobody/confirm", {}),
        ("/devices/learn", {"network": "8.8.8.0/24", "seconds": "900"}),
        ("/devices/127.0.0.1/adopt", {"note": "qz"}),
        ("/devices/127.0.0.1/refuse", {}),
        ("/devices/learn/stop", {}),
        ("/test", {"account": "", "to": ""}),
        ("/test", {"account": "qzscan", "to": "nobody"}),
        ("/inbox/faults", {"kind": "nonsense"}),
        ("/inbox/faults", {"kind": "503", "times": "x"}),
    )


async def test_what_only_several_nodes_have_and_the_login_are_translated_too(full):
    async with browsing(settings(), Relay(seen=replace(STATE, nodes=NODES))) as http:
        page = (await http.get("/")).text
        (section,) = re.findall(r'<section aria-labelledby="nodes">.*?</section>', page, re.DOTALL)
        assert find_plain(section) == set()
    async with browsing(settings(ADMIN)) as http:
        assert find_plain((await http.get("/login")).text) == set()
        assert find_plain((await log_in(http, password="wrong")).text) == set()


def test_a_sentence_with_a_name_in_it_is_found_in_the_catalogue():
    """What the relay stored or made is English, with values in it."""

    class German(NullTranslations):
        def gettext(self, message):
            return {"{file} cannot be read": "{file} ist nicht lesbar", "held": "angehalten"}.get(
                message, message
            )

    install(German(), ["{file} cannot be read"])
    try:
        assert say("/etc/relay/a {b}.pem cannot be read") == "/etc/relay/a {b}.pem ist nicht lesbar"
        assert (say(State.HELD), say("unknown to it"), say("")) == ("angehalten", "unknown to it", "")
    finally:
        install(NullTranslations())
    assert gettext("held") == "held"
