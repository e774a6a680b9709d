"""`relay.django.EmailBackend`: what a site sends, and what it hears.

Everything here runs on each supported release of Django: tests/long/clients/django_matrix.py.
"""

import asyncio
import hashlib
import logging
import smtplib
import subprocess
import sys
from email.message import MIMEPart
from email.mime.image import MIMEImage

import django
import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives, mail_admins, send_mail, send_mass_mail
from django.test import SimpleTestCase, override_settings
from django.utils.log import AdminEmailHandler

from relay.django import RelayError, Verdict
from relay.django.testing import RelayOutboxMixin
from tests.support.cheap import hash_password
from tests.support.django_site import NEW, at, connect
from tests.support.ports import free_port
from tests.support.smtp_server import fake_server
from tests.support.whole_relay import whole_relay

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)


def inline_image():
    if django.VERSION < (6,):
        image = MIMEImage(PNG)
        image.add_header("Content-ID", "<logo>")
        return image
    part = MIMEPart()
    part.set_content(PNG, maintype="image", subtype="png", disposition="inline", cid="<logo>")
    return part


def test_send_mail(outbox):
    assert (
        send_mail(
            "ご注文", "本文", "Shop <scanner@example.com>", ["a@example.com"], html_message="<p>本文</p>"
        )
        == 1
    )
    (request,) = outbox.requests
    assert (request["to"], request["subject"], request["contentType"]) == ("a@example.com", "ご注文", "html")
    assert request["userName"] == "Shop"


def test_alternatives_inline_images_and_attachments(outbox):
    message = EmailMultiAlternatives(
        "月次",
        "本文",
        "scanner@example.com",
        ["a@example.com"],
        bcc=["boss@example.com"],
        cc=["b@example.com"],
    )
    message.attach_alternative('<p>本文 <img src="cid:logo"></p>', "text/html")
    message.attach("月次レポート.csv", "日付,金額\n", "text/csv")
    message.attach(inline_image())
    assert message.send() == 1
    assert message.relay_verdict == "relayed"
    assert message.relay_id.isalnum()
    (request,) = outbox.requests
    assert (request["to"], request["cc"], request["bcc"]) == (
        "a@example.com",
        "b@example.com",
        "boss@example.com",
    )
    inline, file = sorted(request["attachments"], key=lambda one: not one.get("inline"))
    assert f"cid:{inline['cid']}" in request["body"]
    assert inline["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert file["filename"] == "月次レポート.csv"


def test_mass_mail_over_one_connection(outbox):
    letters = [(f"letter {n}", "text", "scanner@example.com", [f"{n}@example.com"]) for n in range(10)]
    assert send_mass_mail(letters) == 10
    assert [one["to"] for one in outbox.requests] == [f"{n}@example.com" for n in range(10)]


def test_mail_to_admins(outbox):
    """By hand and from the log, which must not fail because of its mail."""
    admins = ["root@example.com"] if django.VERSION >= (6,) else [("Root", "root@example.com")]
    with override_settings(ADMINS=admins, SERVER_EMAIL="scanner@example.com"):
        mail_admins("by hand", "text", html_message="<p>text</p>")
        record = logging.LogRecord("site", logging.ERROR, __file__, 1, "it broke", (), None)
        AdminEmailHandler(include_html=True).emit(record)
    assert [one["to"] for one in outbox.requests] == ["root@example.com"] * 2
    assert "it broke" in outbox[1]["subject"]


def test_a_refusal_says_why(outbox):
    """Nothing goes to the others either: Django's own backend sends to them and drops this one in silence."""
    message = EmailMessage("x", "x", "scanner@example.com", ["a@example.com", "root"])
    with pytest.raises(RelayError) as caught:
        message.send()
    assert isinstance(caught.value, smtplib.SMTPException)
    assert (caught.value.status, caught.value.temporary, message.relay_verdict) == ("5.1.3", False, "refused")
    assert "domain" in caught.value.reason
    assert outbox.requests == []


def test_a_loss_that_the_site_does_not_want(outbox):
    """By the message's own word, which goes before the site's, and not at all where nothing is lost."""
    message = EmailMessage("x", "x", "scanner@example.com", ["a@example.com"], reply_to=["b@example.com"])
    with at(outbox.port, fail_on_loss=["reply-to", "priority"]):
        with pytest.raises(RelayError) as caught:
            message.send()
        assert (caught.value.status, message.relay_verdict) == ("5.6.4", Verdict.REFUSED)
        message.relay_fail_on_loss = ["priority"]
        assert message.send() == 1
    assert len(outbox) == 1


def test_a_relay_that_would_not_obey_options():
    """It would drop them, and send what was to be refused, confidential or sent to each alone."""
    message = EmailMessage("x", "x", "scanner@example.com", ["a@example.com"])
    message.relay_security_level = "Confidential"
    with at(fake_server(b"250 fake\r\n", b"221 bye\r\n")), pytest.raises(RelayError) as caught:
        message.send()
    assert (caught.value.status, message.relay_verdict) == ("5.3.3", Verdict.REFUSED)
    assert "options_by_field" in caught.value.reason


def test_a_refusal_of_works(outbox):
    outbox.add_fault("400")
    message = EmailMessage("x", "x", "scanner@example.com", ["a@example.com"])
    with pytest.raises(RelayError) as caught:
        message.send()
    assert message.relay_verdict is Verdict.REFUSED
    assert message.relay_id == caught.value.queue_id != ""


class OutboxTests(RelayOutboxMixin, SimpleTestCase):
    """`relay.django.testing` as a site's own tests use it."""

    def test_a_message_is_kept_while_works_is_down(self):
        """No error, and the message says that it waits. The next test gets another relay, without it."""
        self.outbox.add_fault("503", times=0)
        message = EmailMessage("x", "x", "scanner@example.com", ["a@example.com"])
        assert message.send() == 1
        assert message.relay_verdict == "queued"

    def test_an_order_is_confirmed(self):
        send_mail("Order 17", "Thank you", "scanner@example.com", ["customer@example.com"])
        assert len(self.outbox) == 1
        assert self.outbox[0]["to"] == "customer@example.com"

    def test_each_test_begins_with_none(self):
        assert self.outbox.requests == []


def test_a_connection_that_breaks_after_the_content():
    """Nobody knows whether it was taken, and the program is told so."""
    port = fake_server(b"250 fake\r\n", b"250 OK\r\n", b"250 OK\r\n", b"354 go\r\n", None)
    message = EmailMessage("x", "x", "scanner@example.com", ["a@example.com"])
    with at(port), pytest.raises(RelayError) as caught:
        message.send()
    assert message.relay_verdict is caught.value.verdict is Verdict.UNKNOWN
    assert caught.value.temporary


def start_relay(port):
    ports = (f"--smtp-port={port}", "--http-port=0")
    process = subprocess.Popen(
        [sys.executable, "-m", "relay", "sandbox", "--json", *ports],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout.readline()
    return process


def stop(process):
    process.terminate()
    process.communicate()


def test_the_relay_is_down_and_comes_back():
    """A program that keeps its connection sends again as soon as the relay is back; it failed for ever."""
    port = free_port()
    letters = [EmailMessage(f"{n}", "x", "scanner@example.com", ["a@example.com"]) for n in range(3)]
    with at(port):
        with pytest.raises(RelayError) as caught:
            letters[0].send()
        assert (caught.value.temporary, letters[0].relay_verdict) == (True, "not-taken")
        assert str(port) in caught.value.reason
        relay = start_relay(port)
        connection = connect()
        try:
            with connection:
                assert connection.send_messages(letters[:1]) == 1
                stop(relay)
                with pytest.raises(RelayError):
                    connection.send_messages(letters[1:])
                assert {one.relay_verdict for one in letters[1:]} == {Verdict.NOT_TAKEN}
                relay = start_relay(port)
                assert connection.send_messages(letters[1:]) == 2
        finally:
            stop(relay)


async def test_a_login(tmp_path):
    """The user's rules hold, and a wrong password is no temporary trouble."""
    user = {"name": "shop", "password_hash": hash_password("right"), "user_name": "The shop"}
    listener = {"address": "127.0.0.1:0", "auth": "required", "auth_without_tls": True}
    tables = {"user": [user], "listener": [listener], "limits": {"login_delay": "0s"}}

    def send(password):
        message = EmailMessage("x", "x", "scanner@example.com", ["a@example.com"])
        with at(whole.smtp[1], username="shop", password=password):
            return message.send() and message.relay_verdict

    async with whole_relay(tmp_path / "state", **tables) as whole:
        with pytest.raises(RelayError) as caught:
            await asyncio.to_thread(send, "wrong")
        assert (caught.value.status, caught.value.temporary) == ("5.7.8", False)
        assert await asyncio.to_thread(send, "right") == "relayed"
        assert whole.last()["userName"] == "The shop"


def test_errors_that_are_to_pass_silently():
    """The message still tells what became of it."""
    port = free_port()
    message = EmailMessage("x", "x", "scanner@example.com", ["a@example.com"])
    with at(port, **({"fail_silently": True} if NEW else {})):
        connection = connect() if NEW else connect(fail_silently=True)
        assert connection.send_messages([message]) == 0
    assert message.relay_verdict == "not-taken"
    refused = fake_server(b"250 fake\r\n", b"550 5.7.1 not you\r\n", b"250 OK\r\n", b"221 bye\r\n")
    with at(refused, **({"fail_silently": True} if NEW else {})):
        connection = connect() if NEW else connect(fail_silently=True)
        assert connection.send_messages([message]) == 0
    assert message.relay_verdict == "refused"


def test_a_silent_host_does_not_hold_a_worker_for_ever():
    """Django's own backend waits without a limit unless EMAIL_TIMEOUT is set."""
    with at(25):
        assert connect().timeout == 60
    with at(25, timeout=5):
        assert connect().timeout == 5
