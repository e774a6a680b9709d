"""The inbox: what a recipient sees, and what no message can do to the page."""

import pytest

from relay.sandbox import Settings
from tests.support.sandbox import MAIL, RICH, attach, png, running

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


async def test_the_page_shows_the_message_and_the_json(works):
    await works.send(RICH)
    page = (await works.http.get("/inbox")).text
    for text in ("見積書の件", "複合機 3F", "a@example.com", "c@example.com", "d@example.com", "ロゴ.png"):
        assert text in page
    assert "JVBERi0xLjc=… (Base64 of 8 B)" in page
    assert (await works.http.get("/inbox/1")).text.count("見積書の件") >= 3


async def test_inline_images_point_to_where_they_are_served(works):
    await works.send(RICH)
    body = (await works.http.get("/inbox/1/body")).text
    assert "src='attachments/0'" in body
    assert 'src="attachments/1"' in body
    assert "url(attachments/0)" in body
    image = await works.http.get("/inbox/1/attachments/0")
    assert (image.headers["content-type"], image.content) == ("image/png", png(24, 8))


async def test_attachments_are_saved_and_never_shown(works):
    """A file of html that came as an attachment must not run under the page's origin."""
    files = [attach(b"<script>alert(1)</script>", "a\u202egpj.html", "text/html; charset=utf-8")]
    await works.send(RICH | {"attachments": [*RICH["attachments"], *files]})
    answer = await works.http.get("/inbox/1/attachments/3")
    assert answer.content == b"<script>alert(1)</script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''a%E2%80%AE")
    assert "sandbox" in answer.headers["content-security-policy"]
    named = await works.http.get("/inbox/1/attachments/2")
    assert named.headers["content-disposition"].endswith(
        "%E8%A6%8B%E7%A9%8D%E6%9B%B8%3B%20%22%E6%9C%80%E7%B5%82%22.pdf"
    )


async def test_nothing_in_a_message_gets_into_the_page_as_markup(works):
    mail = RICH | {
        "subject": EVIL,
        "userName": EVIL,
        "body": EVIL,
        "attachments": [attach(b"x", EVIL, "a/b")],
    }
    assert (await works.send(mail)).status_code == 202
    page = await works.http.get("/inbox")
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    policy = page.headers["content-security-policy"]
    assert "script-src 'sha256-" in policy
    body = await works.http.get("/inbox/1/body")
    assert body.headers["content-security-policy"].startswith("default-src 'none'; img-src 'self' data:;")
    assert "allow-scripts" not in body.headers["content-security-policy"] + page.text


async def test_text_is_shown_as_it_is(works):
    await works.send(MAIL | {"body": "a <b>\n   c & d\n"})
    assert "<pre>\na &lt;b&gt;\n   c &amp; d\n</pre>" in (await works.http.get("/inbox/1/body")).text


async def test_a_subject_is_cut_at_180_utf16_units_and_never_in_a_character(works):
    await works.send(MAIL | {"subject": "a" * 179 + "😀 lost"})
    page = (await works.http.get("/inbox")).text
    assert f"<h1>{'a' * 179}</h1>" in page
    assert "longer than 180" in page


async def test_what_is_not_kept_is_a_404_and_an_empty_inbox_says_so(works):
    assert "No message yet" in (await works.http.get("/inbox")).text
    await works.send()
    for path in ("/inbox/2", "/inbox/2/body", "/inbox/1/attachments/0", "/inbox/2/attachments/0", "/inbox/0"):
        assert (await works.http.get(path)).status_code == 404
    assert (await works.http.get("/")).headers["location"] == "/inbox"


async def test_an_inbox_without_whole_messages_says_where_the_summaries_are():
    async with running(Settings(keep=0)) as works:
        await works.send()
        assert "Only their summaries are kept" in (await works.http.get("/inbox")).text


@pytest.mark.parametrize("path", ["/inbox", "/inbox/1"])
async def test_all_pages_are_closed_to_frames_and_caches(works, path):
    await works.send()
    headers = (await works.http.get(path)).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
