"""Django's own SMTP EMAIL_BACKEND, with the settings that docs/programs.md gives."""

import asyncio
import hashlib
import re
from email.message import MIMEPart
from email.mime.image import MIMEImage
from pathlib import Path

import django
import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives, send_mass_mail
from django.test import override_settings

from relay.spool import State
from tests.support.django_site import configure

PAGE = (Path(__file__).parents[2] / "docs/programs.md").read_text(encoding="utf-8")

BOSS = "boss@example.com"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)


@pytest.fixture
def own_settings(whole):
    """The page's settings for this Django: 6.1 has others, and calls those before deprecated."""
    blocks = r"^<!-- django-own-\w+ -->\n```python\n(.*?)^```"
    new, old = re.findall(blocks, PAGE, re.DOTALL | re.MULTILINE)
    host, port = whole.smtp
    text = (new if hasattr(mail, "mailers") else old).replace("2525", str(port))
    values = {}
    exec(text, {}, values)  # what a reader copies into settings.py
    assert host in text
    configure()
    with override_settings(**values):
        yield


def inline_image(cid):
    if django.VERSION < (6,):
        image = MIMEImage(PNG)
        image.add_header("Content-ID", cid)
        return image
    part = MIMEPart()  # in place of MIMEBase since Django 6.0
    part.set_content(PNG, maintype="image", subtype="png", disposition="inline", cid=cid)
    return part


@pytest.mark.usefixtures("own_settings")
async def test_bcc_attachment_and_inline_image(whole):
    message = EmailMultiAlternatives(
        "【重要】月次レポート",
        "本文です",
        "経理システム <keiri@example.com>",
        ["a@example.com"],
        bcc=[BOSS],
        cc=["b@example.com"],
        reply_to=["support@example.com"],
    )
    message.attach_alternative('<p>本文です <img src="cid:logo"></p>', "text/html")
    message.attach("月次レポート.csv", "日付,金額\n", "text/csv")
    message.attach(inline_image("<logo>"))
    assert await asyncio.to_thread(message.send) == 1
    request = whole.last()
    assert [request[key] for key in ("to", "cc", "bcc")] == ["a@example.com", "b@example.com", BOSS]
    assert request["subject"] == "【重要】月次レポート"
    assert request["userName"] == "経理システム"
    assert request["contentType"] == "html"
    assert "support@example.com" in request["body"], "a Reply-To that cannot be carried is noted in the body"
    inline = [a for a in request["attachments"] if a.get("inline")]
    files = [a for a in request["attachments"] if not a.get("inline")]
    assert f"cid:{inline[0]['cid']}" in request["body"]
    assert inline[0]["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert [a["filename"] for a in files] == ["月次レポート.csv"]


@pytest.mark.usefixtures("own_settings")
async def test_only_bcc(whole):
    """Nobody but the recipients is told, and none of them sees another."""
    message = EmailMultiAlternatives("news", "text", bcc=["a@example.com", "b@example.com"])
    assert await asyncio.to_thread(message.send) == 1
    requests = [whole.sandbox.request(m.id) for m in whole.sandbox.messages]
    assert {a for r in requests for a in r["to"].split("; ")} == {"a@example.com", "b@example.com"}
    for request in requests:
        assert ";" not in request["to"] or request["isSendSeparately"] is True
        assert "cc" not in request
        assert "bcc" not in request


@pytest.mark.usefixtures("own_settings")
async def test_mass_mail_is_not_held_up_by_the_budget(whole):
    """Each message waited for a slot of the mailbox's 60 a minute: a hundred of them took 98 seconds."""
    mails = [(f"No. {number}", "Hello", "scanner@example.com", ["a@example.com"]) for number in range(100)]
    assert await asyncio.to_thread(send_mass_mail, mails) == 100
    waiting = (await whole.service.spool.counts())[State.QUEUED]
    assert waiting > 0  # what was beyond the rate is kept, and Django has not waited for it
