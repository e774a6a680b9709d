"""Losses: the closed list, its policies, and exactly what is put into the body."""

import base64
import json

import pytest

from relay.mail import KINDS, Conversion, Policy, Unconvertible, Weight
from relay.message import convert, make_mail, make_requests

FIELDS = b"From: Scan <scan@example.com>\r\nTo: Kimura <a@example.com>\r\nSubject: report\r\n"
REPLY_TO = FIELDS + b"Reply-To: Desk <desk@example.net>\r\n\r\nHello\r\n"


def run(content, **options):
    converted = convert(content, ["a@example.com"], Conversion(**options))
    body = json.loads(b"".join(converted.requests[0].payload.blocks(content)))
    return body, {loss.loss: loss for loss in converted.losses}


def test_the_list_is_closed_and_consistent():
    for kind in KINDS.values():
        assert kind.default in kind.policies
        assert kind.status.startswith("5.")
    names = set(KINDS)
    wanted = {"originator", "unreadable", "no-recipient", "reply-to", "charset-guessed", "empty-attachment"}
    assert wanted <= names
    assert all(name == name.lower() and "_" not in name for name in names)


def test_reply_to_and_originator_add_one_line():
    body, losses = run(REPLY_TO, account_address="office@example.com")
    assert losses["reply-to"].added == "Reply-To: Desk <desk@example.net>\n\n"
    assert body["body"] == losses["reply-to"].added + "Hello\n"
    assert losses["originator"].added == ""


def test_from_stands_for_a_missing_reply_to():
    body, losses = run(FIELDS + b"\r\nHello\r\n", account_address="office@example.com")
    assert losses["originator"].added == "Reply-To: Scan <scan@example.com>\n\n"
    assert body["body"] == losses["originator"].added + "Hello\n"


def test_a_from_that_is_the_account_loses_nothing():
    _, losses = run(FIELDS + b"\r\nHello\r\n", account_address="SCAN@Example.com")
    assert "originator" not in losses
    assert "reply-to" not in losses


@pytest.mark.parametrize("address", [b"scan@example.com", b"SCAN@EXAMPLE.COM", b"office@example.com"])
def test_a_reply_to_that_changes_nothing_is_no_loss(address):
    _, losses = run(FIELDS + b"Reply-To: " + address + b"\r\n\r\nx", account_address="office@example.com")
    assert "reply-to" not in losses


def test_a_mailbox_that_is_named_twice_stands_in_the_line_once():
    content = FIELDS + b"Reply-To: Desk <desk@example.net> <desk@example.net>, DESK@example.net\r\n\r\nx"
    _, losses = run(content)
    assert losses["reply-to"].added == "Reply-To: Desk <desk@example.net>\n\n"


@pytest.mark.parametrize("name", ["reply_to", "reply-to"])
def test_drop(name):
    body, losses = run(REPLY_TO, losses={name: Policy.DROP})
    assert body["body"] == "Hello\n"
    assert losses["reply-to"].added == ""


def test_reject():
    with pytest.raises(Unconvertible) as refused:
        run(REPLY_TO, losses={"reply_to": Policy.REJECT})
    assert refused.value.status == "5.6.4"


def test_attach():
    body, losses = run(REPLY_TO, losses={"date": Policy.ATTACH, "reply_to": Policy.ATTACH})
    (original,) = body["attachments"]
    assert (original["filename"], original["fileType"]) == ("message.eml", "message/rfc822")
    assert "reply-to" in losses


def test_attach_beside_a_forwarded_message():
    """A file of the original's name in the message is not the original."""
    content = FIELDS + b"Date: x\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nz\r\n"
    body, _ = run(content, losses={"date": Policy.ATTACH})
    files = [(one["filename"], base64.b64decode(one["data"])) for one in body["attachments"]]
    assert files == [("message.eml", b"Subject: y\r\n\r\nz\r\n"), ("message (2).eml", content)]


def convert_unread(content, paths, how):
    """As for a message that takes too much to be understood."""
    return make_requests(make_mail(content, paths, how, unread=True), paths, how)


def test_what_is_not_read_says_what_its_header_does():
    """A scan whose conversion failed twice arrived as "(no subject)"."""
    content = (
        "From: 受付 <a@example.com>\r\nTo: b@example.com\r\nCc: c@example.com\r\nSubject: 見積書の件\r\n\r\nx"
    )
    converted = convert_unread(
        content.encode(), ["b@example.com", "c@example.com", "d@example.com"], Conversion()
    )
    body = json.loads(b"".join(converted.requests[0].payload.blocks(content.encode())))
    shown = [body[name] for name in ("subject", "to", "cc", "bcc", "userName")]
    assert shown == ["見積書の件", "b@example.com", "c@example.com", "d@example.com", "受付"]
    assert "変換できなかった" in body["body"]
    assert [one["filename"] for one in body["attachments"]] == ["message.eml"]


BLIND = b"Bcc: boss@example.com,\r\n chief@example.com\r\nResent-BCC : boss@example.com\r\n"


@pytest.mark.parametrize("before", [b"", b"\r\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("behind", [b"Date: x\r\n", b"not folded@example.com\r\nDate: x\r\n"])
def test_the_original_does_not_show_its_bcc(before, behind):
    """Everybody who gets the mail gets the file too, and nobody is to learn who had a blind copy (RFC 5322
    §3.6.3).
    """
    text = b"\r\nBcc: said in the text\r\n" + bytes(range(32, 127)) * 4000
    content = before + BLIND + FIELDS + BLIND + behind + text
    kept = before + FIELDS + b"Date: x\r\n" + text
    for converted in (
        convert(content, ["a@example.com"], Conversion(losses={"date": Policy.ATTACH})),
        convert_unread(content, ["a@example.com"], Conversion()),
    ):
        body = json.loads(b"".join(converted.requests[0].payload.blocks(content)))
        assert base64.b64decode(body["attachments"][0]["data"]) == kept
        described = b"".join(converted.requests[0].payload.describe(content))
        assert json.loads(described)["attachments"][0]["size"] == len(kept)


def test_an_original_of_nothing_but_bcc_is_no_file():
    """What is left of it has no octets, and the API takes no such file."""
    converted = convert_unread(b"Bcc: boss@example.com\r\n", ["a@example.com"], Conversion())
    (request,) = converted.requests
    assert "attachments" not in json.loads(b"".join(request.payload.blocks(b"Bcc: boss@example.com\r\n")))


def test_a_resent_bcc_is_not_kept_in_the_body():
    """It is a Bcc like the other (RFC 5322 §3.6.6); that it is lost is said, whom it named is not."""
    content = FIELDS + b"Resent-Bcc: boss@example.com\r\nResent-To: b@example.com\r\n\r\nx"
    body, losses = run(content, losses={"resent_fields": Policy.KEEP})
    assert body["body"] == "Resent-To: b@example.com\n\nx"
    assert losses["resent-fields"].detail == "resent-bcc, resent-to"


def test_attach_never_an_empty_file():
    """The API takes no file without octets, and here the original has none."""
    body, _ = run(b"", losses={"delivery_options": Policy.ATTACH}, delivery_options=True)
    assert "attachments" not in body


@pytest.mark.parametrize(
    ("field", "name", "added"),
    [
        (b"Date: Mon, 3 Jun 2024 09:15:00 +0900", "date", "Date: Mon, 3 Jun 2024 09:15:00 +0900\n\n"),
        (b"Importance: high", "priority", "Importance: high\n\n"),
        (b"Disposition-Notification-To: b@example.com", "receipt-request", None),
        (b"Resent-To: b@example.com", "resent-fields", "Resent-To: b@example.com\n\n"),
        (b"Message-ID: <1@example.com>", "message-id", "Message-Id: <1@example.com>\n\n"),
    ],
)
def test_fields_that_can_be_kept(field, name, added):
    content = FIELDS + field + b"\r\n\r\nx"
    body, losses = run(content)
    assert losses[name].added == ""
    body, losses = run(content, losses={name.replace("-", "_"): Policy.KEEP})
    assert body["body"] == losses[name].added + "x"
    if added:
        assert losses[name].added == added


def test_html_is_added_to_behind_the_body_tag_and_escaped():
    html = b"<!DOCTYPE html>\r\n<html><head><title>t</title></head><body class='x'><p>Hi</p></body></html>"
    content = FIELDS + b"Reply-To: <d&e@example.net>\r\nContent-Type: text/html\r\n\r\n" + html
    body, losses = run(content)
    added = losses["reply-to"].added
    assert added == "<div>Reply-To: d&amp;e@example.net</div>"
    assert body["body"].replace(added, "", 1) == html.decode().replace("\r\n", "\n")
    assert f"<body class='x'>{added}<p>" in body["body"]


def test_weights():
    content = FIELDS + b"Date: x\r\nMessage-ID: <1>\r\nX-Mailer: y\r\nImportance: high\r\n\r\nx"
    _, losses = run(content)
    usual = {name for name, loss in losses.items() if loss.weight is Weight.USUAL}
    assert {"date", "message-id", "other-fields", "recipient-names"} <= usual
    assert losses["priority"].weight is Weight.NOTABLE


def test_options_of_the_envelope():
    _, losses = run(FIELDS + b"\r\nx", delivery_options=True)
    assert "delivery-options" in losses


def test_no_content_in_a_detail():
    """Details go to the log: names of fields and types, not what they say."""
    fields = b"X-Secret: swordfish\r\nIn-Reply-To: <swordfish@x>\r\nImportance: high\r\n"
    content = FIELDS + fields + b"\r\nswordfish"
    _, losses = run(content)
    assert not [loss for loss in losses.values() if "swordfish" in loss.detail]


@pytest.mark.parametrize(
    ("sender", "named"), [(b"Office <office@example.com>", True), (b"SCAN@example.com", False)]
)
def test_a_sender_beside_from_is_named(sender, named):
    """Who sent it for whom is told by Sender alone (RFC 5322 §3.6.2), and the API has no place for it."""
    _, losses = run(FIELDS + b"Sender: " + sender + b"\r\n\r\nHello\r\n")
    assert ("other-fields" in losses) is named


ELSEWHERE = (
    b"From: s@example.com\r\nTo: A@EXAMPLE.com, Team <team@example.org>\r\nCc: boss@example.com\r\n\r\nx"
)


def test_who_stands_in_the_fields_and_is_not_sent_to_is_named():
    """Mail goes to the envelope alone; To and Cc say who else has it, and Works makes them anew."""
    body, losses = run(ELSEWHERE)
    assert (body["to"], "cc" in body, body["body"]) == ("a@example.com", False, "x")
    assert losses["other-recipients"].detail == "team@example.org, boss@example.com"
    assert losses["other-recipients"].weight is Weight.USUAL
    body, losses = run(ELSEWHERE, losses={"other_recipients": Policy.KEEP})
    added = "To: Team <team@example.org>\nCc: boss@example.com\n\n"
    assert body["body"] == losses["other-recipients"].added + "x" == added + "x"


def test_whom_another_request_serves_is_not_lost():
    """Neither one of this attempt nor one of an earlier one, whose recipients are no longer asked for."""
    paths = ["a@example.com", "team@example.org", "boss@example.com"]
    for asked, conversion in (
        (paths, Conversion(recipients_per_mail=1)),
        (paths[:1], Conversion(envelope=tuple(paths))),
    ):
        converted = convert(ELSEWHERE, asked, conversion)
        assert len(converted.requests) == len(asked)
        assert "other-recipients" not in [loss.loss for loss in converted.losses]


def test_a_local_name_is_whom_it_was_sent_to():
    """cron writes `To: root`, and the server behind it gives the envelope a domain."""
    _, losses = run(b"From: r@example.com\r\nTo: a\r\n\r\nx")
    assert "other-recipients" not in losses


@pytest.mark.parametrize(
    "words",
    ["複合機 3F", "=?utf-8?B?6KSH5ZCI5qmfIDNG?=", "=?utf-8?B?6KSH5ZCI5qmfIDNG?= <>", '"複合機 3F" <>'],
)
def test_a_from_of_words_is_the_senders_name(words):
    """A device's name is no address: the sender is shown by it, and no reply is asked to go there."""
    content = f"From: {words}\r\nTo: a@example.com\r\n\r\nHello\r\n".encode()
    body, losses = run(content, account_address="office@example.com")
    assert (body["userName"], body["body"]) == ("複合機 3F", "Hello\n")
    assert (losses["originator"].detail, losses["originator"].added) == ("複合機 3F", "")


def test_the_reverse_path_stands_for_an_address_without_a_domain():
    """`printer@` was taken for an address, and nobody could reply."""
    content = b"From: printer@\r\nTo: a@example.com\r\n\r\nx\r\n"
    _, losses = run(content, account_address="office@example.com", reverse_path="mfp@example.net")
    assert "mfp@example.net" in losses["originator"].added


@pytest.mark.parametrize("words", ["helpdesk", "=?utf-8?B?6KSH5ZCI5qmf?="])
def test_a_reply_to_of_words_is_named(words):
    """Nobody can reply to it, so it makes no line; From stands for it, and it is no silent loss."""
    content = FIELDS + f"Reply-To: {words}\r\n\r\nHello\r\n".encode()
    body, losses = run(content, account_address="office@example.com")
    assert losses["reply-to"].detail in {"helpdesk", "複合機"}
    assert losses["reply-to"].added == ""
    assert body["body"] == "Reply-To: Scan <scan@example.com>\n\nHello\n"


def test_words_before_an_address_are_part_of_its_name():
    """A comma that should have been in quotes: half of the name is no mailbox, and is not lost."""
    content = b"From: Scanner, 3F <scan@example.com>\r\nTo: a@example.com\r\n\r\nHello\r\n"
    body, losses = run(content, account_address="office@example.com")
    assert body["body"] == "Reply-To: Scanner, 3F <scan@example.com>\n\nHello\n"
    assert losses["originator"].detail == "scan@example.com"
    body, losses = run(content, account_address="scan@example.com")
    assert (body["userName"], "originator" in losses) == ("Scanner, 3F", False)


def test_a_to_of_words_is_named():
    """`To: everybody` in Japanese: it names no address, and it was said."""
    body, losses = run(
        b"From: s@example.com\r\nTo: =?utf-8?B?5YWo5ZOh?=\r\n\r\nx", losses={"other_recipients": Policy.KEEP}
    )
    assert body["to"] == "a@example.com"
    assert losses["other-recipients"].added == "To: 全員\n\n"


OWN = {"account_address": "scan@example.com"}


@pytest.mark.parametrize("field", [b"", b"From: UPS-01\r\n", b"From: root (Cron Daemon)\r\n", b"From:\r\n"])
def test_the_reverse_path_stands_for_a_from_without_address(field):
    """The sender was named nowhere, and no loss said so."""
    content = field + b"To: a@example.com\r\nSubject: s\r\n\r\nx\r\n"
    body, lost = run(content, reverse_path="ups@example.net", **OWN)
    assert "ups@example.net" in body["body"]
    assert lost["originator"].detail == "ups@example.net (of the envelope)"
    assert lost["originator"].added
    body, lost = run(content, reverse_path="scan@example.com", **OWN)
    assert body["body"] == "x\n"
    body, lost = run(content, reverse_path="", **OWN)
    assert body["body"] == "x\n"


def test_a_from_with_an_address_is_the_originator():
    _, lost = run(FIELDS + b"\r\nx", reverse_path="bounce@example.net", account_address="me@example.com")
    assert lost["originator"].detail == "scan@example.com"


@pytest.mark.parametrize(
    "spec",
    [
        "root@localhost",
        "mfp@printer.local",
        "a@router.lan",
        "no-reply@example.com",
        "NoReply@example.com",
        "do_not_reply@example.com",
        "a@[192.0.2.1]",
        "mailer-daemon@example.com",
        "noreply+tag@example.com",
        "no-reply-123@example.com",
        "auto-noreply@example.com",
        "mfp@192.168.1.5",
        "nas@router.home",
    ],
)
@pytest.mark.parametrize("name", ["From", "Reply-To"])
def test_whoever_cannot_be_answered_gets_no_line(name, spec):
    """The loss is named all the same."""
    content = f"{name}: Device <{spec}>\r\nTo: a@example.com\r\nSubject: s\r\n\r\nx\r\n".encode()
    body, lost = run(content, **OWN)
    assert body["body"] == "x\n"
    assert lost["originator" if name == "From" else "reply-to"].added == ""


@pytest.mark.parametrize(
    "spec", ["piano-reply@example.com", "reply@example.com", "nora@home.example.com", "noreen@x.jp"]
)
def test_whoever_can_be_answered_gets_a_line(spec):
    assert spec in run(f"From: {spec}\r\nTo: a@example.com\r\n\r\nx\r\n".encode(), **OWN)[0]["body"]


def test_a_name_that_is_the_address_is_said_once():
    body, _ = run(b'From: "a@b.example" <a@b.example>\r\nTo: a@example.com\r\nSubject: s\r\n\r\nx\r\n', **OWN)
    assert body["body"].count("a@b.example") == 1
