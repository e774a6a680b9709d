"""Whoever may send only as some may not say otherwise in the message's own fields."""

import base64

import pytest

from relay.config.model import Listener
from relay.reply import Rejected
from relay.smtp import policy
from tests.support.smtp import LOOPBACK, PASSWORD, House

OWN, OTHER = "a@example.com", "evil@other.test"
LOGIN = base64.b64encode(f"\0erp\0{PASSWORD}".encode()).decode()


def submit(house, fields):
    with house.connect("login") as client:
        client.greet()
        assert client.ask(f"AUTH PLAIN {LOGIN}").startswith("235")
        content = fields.encode() + b"\r\nTo: a@example.net\r\nSubject: s\r\n\r\nhi"
        return client.send_mail(content, sender=OWN)


@pytest.mark.parametrize(
    "fields",
    [
        f"From: {OTHER}",
        f"From:\r\n {OTHER}",
        f"fRoM : {OTHER}",
        f"From: {OWN}\r\nFrom: {OTHER}",
        f"From: {OWN}, {OTHER}",
        f"From: {OWN}; {OTHER}",
        f"From: some: {OWN};, {OTHER}",
        f"From: {OTHER} ({OWN})",
        f'From: "{OWN}" <{OTHER}>',
        f"From: ({OWN}) <{OTHER}>",
        f"From: =?utf-8?q?a=40example.com?= <{OTHER}>",
        "From: =?utf-8?q?evil=40other.test?=",
        f"From: {OWN} <{OTHER}",
        f"From: {OWN}\nFrom: {OTHER}",
        f"From: {OWN}\0, {OTHER}",
        f"From: {OWN}\r\nSender: {OTHER}",
        f"From: {OWN}\r\nSender: {OWN}\r\nSender: {OTHER}",
        f"From x@y Mon\r\nFrom: {OTHER}",
        "From: CEO@Example.COM",
        'From: "ceo"@example.com',
        'From: "c\\eo"@example.com',
        "From: ceo(x)@example.com",
        "From: ceo @ example.com",
        "From: <@a,@b:ceo@example.com>",
        "From: ceo@ｅxample.com",
        "From: ｃｅｏ@example.com",
    ],
)
def test_no_spelling_of_another_originator_is_a_way_round(house, fields):
    """A refused address in a quoted local part with a backslash was another one, and passed."""
    assert submit(house, fields).startswith("550 5.7.1 ")


@pytest.mark.parametrize("fields", [f"From: {OWN}", f'From: "{OTHER}" <{OWN}>', "X-No-From: x", "From: "])
def test_own_originators_pass(house, fields):
    assert submit(house, fields).startswith("250 ")


@pytest.mark.parametrize(
    ("allowed", "address", "passes"),
    [
        ("strasse.example", "a@straße.example", False),
        ("straße.example", "a@straße.example", True),
        ("straße.example", "a@STRASSE.example", False),
        ("straße.example", "a@xn--strae-oqa.example", True),
        ("bücher.example", "a@xn--bcher-kva.example", True),
        ("xn--bcher-kva.example", "a@BÜCHER.example", True),
        ("example.com", "a@ｅxample.com", True),
        ("example.com", "a@example.com.evil.test", False),
        ("*.example.com", "a@example.com", False),
    ],
)
def test_a_domain_is_the_same_in_all_its_spellings_and_no_other(allowed, address, passes):
    """IDNA's first edition took ß for ss: mail went to a domain that nobody had allowed."""
    listener = Listener(address="127.0.0.1:0", recipient_domains=[allowed])
    if passes:
        policy.check_recipient(listener, None, address)
    else:
        with pytest.raises(Rejected, match=r"^550 5\.7\.1 "):
            policy.check_recipient(listener, None, address)


def test_a_login_where_there_is_no_tls_is_not_told_to_start_it(tmp_path):
    """A panel was told to start TLS on a port that has none."""
    kinds = {"plain": {"address": "127.0.0.1:0", "networks": LOOPBACK, "auth": "optional"}}
    with House(tmp_path, kinds=kinds) as house, house.connect("plain") as client:
        assert "AUTH" not in client.greet()
        answer = client.ask(f"AUTH PLAIN {LOGIN}")
        assert answer.startswith("538 5.7.11 ")
        assert "choose no authentication, or another port" in answer
        assert client.ask("MAIL FROM:<scanner@example.com>").startswith("250")
