"""Options that a message chooses by X-Works fields: obeyed where they may be, shown to nobody."""

import base64
import json
from dataclasses import replace

import pytest

from relay.mail import Conversion, Policy, Unconvertible
from relay.message import check_options, convert

ALLOWED = Conversion(account_address="scanner@example.com", options_by_field=True)
TO = ["a@example.com"]


def message(*fields, body="hello"):
    return "\r\n".join(["From: scanner@example.com", "To: a@example.com", *fields, "", body]).encode()


def request_of(content, conversion):
    converted = convert(content, TO, conversion)
    octets = b"".join(converted.requests[0].payload.blocks(content))
    return octets, json.loads(octets), [loss.loss for loss in converted.losses]


@pytest.mark.parametrize(
    ("field", "key", "value"),
    [
        ("X-Works-Security-Level: Restricted", "securityLevel", "Restricted"),
        ("x-works-security-level:  non-BUSINESS ", "securityLevel", "Non-business"),
        ("X-Works-Send-Separately: yes", "isSendSeparately", True),
        ("X-Works-Save-Sent: no", "isSaveSentMail", False),
        ("X-Works-Tracking:\r\n YES", "isSaveTracking", True),
    ],
)
def test_a_field_goes_before_the_accounts_setting(field, key, value):
    _, request, losses = request_of(message(field), ALLOWED)
    assert request[key] == value
    assert not {"options", "other-fields"} & set(losses)


def test_what_the_message_does_not_say_is_the_accounts():
    account = replace(ALLOWED, tracking=True, save_sent=False, security_level="General", send_separately=True)
    _, request, _ = request_of(message("X-Works-Tracking: no"), account)
    assert request["isSaveTracking"] is False
    assert (request["isSaveSentMail"], request["securityLevel"], request["isSendSeparately"]) == (
        False,
        "General",
        True,
    )


WRONG = [
    "X-Works-Security-Level: Secret",
    "X-Works-Security-Level:",
    "X-Works-Tracking: maybe",
    "X-Works-Save-Sent: =?utf-8?q?no?=",
    "X-Works-Send-Separately: ja",
    "X-Works-Tracking: yes\r\nX-Works-Tracking: no",
]


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_value_is_refused_and_not_repeated(field):
    """It is content, which no reply and no log may have."""
    for look in (check_options, lambda content: convert(content, TO, ALLOWED)):
        with pytest.raises(Unconvertible) as caught:
            look(message(field))
        assert caught.value.status == "5.6.0"
        name = field.partition(":")[0]
        assert caught.value.reason.startswith(name)
        assert "Secret" not in caught.value.reason
        assert "maybe" not in caught.value.reason
    check_options(message(name + "-Not: x"))


@pytest.mark.parametrize("conversion", [Conversion(), ALLOWED], ids=["not allowed", "allowed"])
@pytest.mark.parametrize("policy", Policy)
def test_no_recipient_sees_them(conversion, policy):
    """Not in the body, not in message.eml, whatever is to be done about losses."""
    fields = ["X-Works-Tracking: yes", "X-Works-Security-Level: General", "X-Mailer: Printer 1"]
    losses = {"other_fields": Policy.ATTACH, "date": policy} if policy is not Policy.REJECT else {}
    octets, request, _ = request_of(message(*fields, "Date: x"), replace(conversion, losses=losses))
    plain = octets + b"".join(_decode(one) for one in request.get("attachments", ()))
    assert b"x-works" not in plain.lower()
    if losses:
        assert b"X-Mailer: Printer 1" in plain


def _decode(attachment):
    return base64.b64decode(attachment["data"])


def test_where_they_are_not_allowed_they_change_nothing_and_are_a_loss():
    fields = ["X-Works-Tracking: maybe", "X-Works-Save-Sent: no"]
    _, request, losses = request_of(message(*fields), Conversion())
    assert (request["isSaveTracking"], request["isSaveSentMail"]) == (False, True)
    assert "options" in losses
    with pytest.raises(Unconvertible) as caught:
        convert(message(*fields), TO, Conversion(losses={"options": Policy.REJECT}))
    assert "X-Works-Tracking, X-Works-Save-Sent" in caught.value.reason


def test_other_fields_of_that_kind_are_other_fields():
    """Works marks its own mail so; nothing is refused for them."""
    _, _, losses = request_of(message("X-Works-Smtp-Source: abc"), ALLOWED)
    assert "other-fields" in losses


def test_a_message_that_would_rather_be_refused_than_lose_something():
    """The loss is named, and who does not want it."""
    fields = ("Reply-To: other@example.com", "X-Works-Fail-On-Loss: priority, Reply-To")
    with pytest.raises(Unconvertible) as caught:
        convert(message(*fields), TO, ALLOWED)
    assert caught.value.status == "5.6.4"
    assert "its sender refuses that" in caught.value.reason
    assert convert(message(*fields[1:]), TO, ALLOWED).requests
    elsewhere = convert(message(*fields), TO, replace(ALLOWED, options_by_field=False))
    assert {"reply-to", "options"} <= {loss.loss for loss in elsewhere.losses}


def test_a_loss_that_there_is_not():
    """A name that nobody knows would refuse nothing."""
    for value in ("reply-too", "", "reply-to,"):
        with pytest.raises(Unconvertible, match="X-Works-Fail-On-Loss: expected names of losses"):
            check_options(message(f"X-Works-Fail-On-Loss: {value}"))
