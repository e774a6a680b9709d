"""The inbox beside a relay: where a message came from, what it lost, its original; and faults at a click."""

import asyncio
import html
import smtplib
from dataclasses import dataclass
from types import SimpleNamespace

import httpx2 as httpx
import pytest

from relay.cli.sandbox_originals import Originals
from relay.config.load import build
from relay.console.server import serving
from relay.sandbox import Sandbox
from relay.sandbox.faults import KINDS
from relay.service import Service
from relay.stores import open_grants
from tests.support.relay import grant_of, tree, until
from tests.support.sandbox import MAIL, running

EVIL = '"><script>alert(1)</script>'


@dataclass
class Teller:
    """A relay that knows one story."""

    story: object

    def find_source(self, queue_id):
        return self.story

    async def tell(self, queue_id):
        return self.story


def story(text="", original=b"Subject: a\r\nX-Own: here\r\n\r\nthe body\r\n"):
    loss = SimpleNamespace(name="reply-to", meaning=f"Reply-To{text}", detail=f"b@c{text}", notable=True)
    return SimpleNamespace(
        page="/messages/1M8",
        device=f"192.0.2.7{text}",
        author=f"NAS{text}",
        losses=(loss,),
        original=original,
    )


async def text_of(works, path, status=200):
    answer = await works.http.get(path)
    assert answer.status_code == status
    return html.unescape(answer.text)


async def test_the_losses_stand_in_words_above_the_body_with_device_and_author():
    async with running(teller=Teller(story())) as works:
        await works.send()
        page = await text_of(works, "/inbox")
        for words in ("Reply-To", "b@c", "192.0.2.7", "NAS", 'href="/messages/1M8"', 'href="/">Console'):
            assert words in page, words
        assert page.index("What Works could not be given") < page.index("<iframe")
        head = await text_of(works, "/inbox/1?view=headers")
        assert "X-Own: here" in head
        assert "the body" not in head
        assert "the body" in await text_of(works, "/inbox/1?view=original")
        original = await works.http.get("/inbox/1/original")
        assert original.content.endswith(b"the body\r\n")
        assert original.headers["content-disposition"] == 'attachment; filename="1.eml"'
        assert (await works.http.get("/inbox/2/original")).status_code == 404


async def test_nothing_of_a_story_gets_into_the_page_as_markup():
    async with running(teller=Teller(story(EVIL, EVIL.encode()))) as works:
        await works.send(MAIL | {"body": EVIL, "contentType": "html"})
        for view in ("", "text", "source", "headers", "original", EVIL):
            answer = await works.http.get(
                "/inbox/1", params={"view": view, "q": view if view == EVIL else ""}
            )
            assert "<script>alert" not in answer.text


async def test_a_message_is_searched_and_all_are_cleared(works):
    await works.send(MAIL | {"subject": "Invoice 見積書", "to": "yamada@example.com"})
    await works.send(MAIL | {"subject": "Scan", "to": "suzuki@example.com"})
    for query, found in (("見積", 1), ("YAMADA invoice", 1), ("suzuki invoice", 0), ("example", 2)):
        page = await text_of(works, f"/inbox?q={query}")
        assert page.count('<span class="line">') == found, query
    assert "Nothing was found" in await text_of(works, "/inbox?q=nobody")
    assert (await works.http.post("/inbox/clear")).headers["location"] == "/inbox"
    assert "No message yet" in await text_of(works, "/inbox")
    answer = await works.http.post("/inbox/clear", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


async def test_html_can_be_looked_at_as_text_and_as_source(works):
    body = "<style>p {color: red}</style><p>Hello &amp; <b>World</b></p>"
    await works.send(MAIL | {"body": body, "contentType": "html"})
    assert "\n" + "Hello & World</pre>" in (await text_of(works, "/inbox/1?view=text")).replace(
        '<pre class="view" tabindex="0">', "\n"
    )
    assert "<style>p {color: red}</style><p>Hello" in await text_of(works, "/inbox/1?view=source")


async def test_faults_are_put_in_force_and_ended_at_a_click(works):
    page = await text_of(works, "/inbox/faults")
    for kind in KINDS:
        assert f'value="{kind}"' in page
    form = {"kind": "quota", "times": "2", "seconds": "", "at": "send", "account": ""}
    assert (await works.http.post("/inbox/faults", data=form)).status_code == 303
    answer = await works.send()
    assert (answer.status_code, answer.json()["code"]) == (403, "LIMIT_EXCEEDED")
    assert "1 of 2 requests have met it" in await text_of(works, "/inbox/faults")
    await works.http.post("/inbox/faults", data={"end": "quota"})
    assert (await works.send()).status_code == 202
    for wrong in ({"kind": "nonsense"}, {"kind": "503", "times": "x"}, {"kind": "503", "at": "moon"}, {}):
        answer = await works.http.post("/inbox/faults", data=wrong)
        assert (answer.status_code, 'role="alert"' in answer.text) == (400, True)


@pytest.mark.parametrize(("kind", "status", "code"), [("403", 403, "FORBIDDEN"), ("404", 404, "NOT_FOUND")])
async def test_refusals_of_the_mailbox_are_in_works_own_words(works, kind, status, code):
    works.sandbox.add_fault(kind)
    answer = await works.send()
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_the_bot_can_be_made_to_fail(works):
    works.sandbox.add_fault("503", at="bot")
    assert (await works.send()).status_code == 202
    answer = await works.http.post("/v1.0/bots/1/channels/a/messages", json={})
    assert answer.status_code == 503


def submit(address, name, content):
    with smtplib.SMTP(*address, timeout=30) as client:
        client.sendmail(f"{name}@example.com", ["a@example.com"], content)


async def test_a_relay_knows_again_what_works_accepted(tmp_path):
    """By its queue id, which each request carries; two equal messages of two devices are told apart."""
    originals = Originals()
    sandbox = Sandbox(teller=originals)
    (tmp_path / "state").mkdir()
    async with serving(sandbox.app) as http, httpx.AsyncClient(base_url=http.url, trust_env=False) as client:
        config = build(tree(http.url, tmp_path / "state", delivery={"wait": "10s"}), environ={})
        grant = grant_of(sandbox, "scanner@example.com", sandbox.clock.now())
        await open_grants(config).begin("scanner", grant)
        service = Service(config, on_kept=originals.keep)
        originals.watch(service)
        await service.start()
        try:
            for name in ("first", "second"):
                content = f"From: {name} <{name}@example.com>\r\nSubject: the same\r\n\r\nHello\r\n".encode()
                await asyncio.to_thread(submit, service.server.addresses[0], name, content)
            await until(lambda: len(sandbox.messages) == 2 or None)
            found = {}
            for message in sandbox.messages:
                source = originals.find_source(message.queue_id)
                found[source.author] = await originals.tell(message.queue_id)
            for unknown in ("", "1M8KQZ4T7XW0R2B5C"):
                assert originals.find_source(unknown) is await originals.tell(unknown) is None
            for query in ("first@example", "SECOND", "127.0.0.1 first", sandbox.messages[0].queue_id):
                page = await client.get("/inbox", params={"q": query})
                assert page.text.count('<span class="line">') == 1, query
        finally:
            await service.stop()
            sandbox.close()
    first, second = found["first <first@example.com>"], found["second <second@example.com>"]
    assert b"From: second" in second.original
    assert "originator" in [loss.name for loss in first.losses]
