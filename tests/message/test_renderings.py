"""Bodies that stand there twice, refer to what is not sent, or say nothing themselves."""

import base64
import json

import pytest

from relay.mail import Conversion
from relay.message import convert

PLAIN, ENRICHED = "> quoted text\r\nMy answer\r\n", "<excerpt>quoted text</excerpt>\r\nMy answer\r\n"


def part(media_type: str, text: str, *fields: str) -> str:
    return "\r\n".join([f"Content-Type: {media_type}", *fields, "", text])


def group(subtype: str, *parts: str, boundary: str = "b") -> str:
    inner = "".join(f"--{boundary}\r\n{one}\r\n" for one in parts)
    return f"Content-Type: multipart/{subtype}; boundary={boundary}\r\n\r\n{inner}--{boundary}--\r\n"


def run(mime: str) -> tuple[dict, dict[str, str]]:
    content = f"From: a@example.com\r\nTo: b@example.com\r\nSubject: test\r\n{mime}".encode()
    converted = convert(content, ["b@example.com"], Conversion())
    body = json.loads(b"".join(converted.requests[0].payload.blocks(content)))
    return body, {loss.loss: loss.detail for loss in converted.losses}


@pytest.mark.parametrize("subtype", ["enriched", "richtext"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_rendering_beside_a_plain_text_stands_once(subtype, turned):
    """They differ by a mark of quotation, and the message stood there twice."""
    parts = [part("text/plain", PLAIN), part(f"text/{subtype}", ENRICHED)]
    body, lost = run(group("alternative", *(reversed(parts) if turned else parts)))
    assert body["body"].count("quoted text") == 1
    assert "text-alternative" in lost


def test_a_rendering_that_says_more_is_the_one():
    parts = [
        part("text/plain", "See the other part.\r\n"),
        part("text/enriched", "<bold>Stop</bold> the press\r\n"),
    ]
    body, lost = run(group("alternative", *parts))
    assert "Stop the press" in body["body"]
    assert "other part" not in body["body"]
    assert "text-alternative" in lost


def test_two_plain_texts_that_differ_both_stand():
    body, _ = run(group("alternative", part("text/plain", "one\r\n"), part("text/plain", "two\r\n")))
    assert body["body"] == "one\ntwo\n"


def test_two_plain_texts_that_differ_by_marks_stand_once():
    body, _ = run(group("alternative", part("text/plain", "> one\r\n"), part("text/plain", "one\r\n")))
    assert body["body"].count("one") == 1


ONE = part('image/png; name="one.png"', "", "Content-ID: <one>", "Content-Transfer-Encoding: base64")
IMAGE = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


def test_html_refers_to_no_image_that_is_not_sent():
    """The reference was made one to an attachment that was left out as empty."""
    html = part("text/html", '<p>a<img src="cid:one"></p>')
    body, lost = run(group("related", html, ONE))
    assert "cid:one" in body["body"]
    assert "attachments" not in body
    assert "empty-attachment" in lost
    body, _ = run(group("related", html, ONE + IMAGE))
    assert "cid:inline1" in body["body"]
    assert body["attachments"][0]["cid"] == "inline1"


@pytest.mark.parametrize("disposition", ['inline; filename="page.htm"', "inline", ""])
def test_a_page_with_its_images_is_shown_behind_a_text(disposition):
    """ "Send page" of Mozilla: the page was a file whose images were broken."""
    fields = [f"Content-Disposition: {disposition}"] if disposition else []
    page = part('text/html; name="page.htm"', '<p>page<img src="cid:one"></p>', *fields)
    body, _ = run(
        group("mixed", part("text/plain", "see"), group("related", page, ONE + IMAGE, boundary="c"))
    )
    assert body["contentType"] == "html"
    assert "see" in body["body"]
    assert "cid:inline" in body["body"]
    assert body["attachments"][0]["inline"] is True


def test_a_page_that_is_an_attachment_stays_one():
    page = part(
        "text/html", '<p><img src="cid:one"></p>', 'Content-Disposition: attachment; filename="page.htm"'
    )
    body, _ = run(
        group("mixed", part("text/plain", "see"), group("related", page, ONE + IMAGE, boundary="c"))
    )
    assert [one["filename"] for one in body["attachments"]] == ["page.htm", "one.png"]


ICS = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nSUMMARY:a long summa\r\n ry\r\nEND:VCALENDAR\r\n"


@pytest.mark.parametrize("media_type", ["application/ics", "text/calendar", "application/octet-stream"])
@pytest.mark.parametrize(
    "again",
    [ICS, ICS.replace("\r\n ", ""), ICS.replace("\r\n", "\n"), ICS + "\r\n", "\ufeff" + ICS],
    ids=["same", "fold", "lf", "end", "mark"],
)
def test_an_invitation_comes_once(again, media_type):
    """Google sends it as an alternative and as a file."""
    calendar = part("text/calendar; charset=utf-8; method=REQUEST", ICS)
    encoded = base64.b64encode(again.encode()).decode()
    name = 'Content-Disposition: attachment; filename="invite.ics"'
    file = part(media_type, encoded, name, "Content-Transfer-Encoding: base64")
    inner = group("alternative", part("text/plain", "Meeting"), calendar, boundary="c")
    body, _ = run(group("mixed", inner, file))
    (one,) = body["attachments"]
    assert (one["filename"], one["fileType"]) == ("invite.ics", "text/calendar; method=REQUEST")
    assert base64.b64decode(one["data"]).rstrip() == ICS.encode().rstrip()


@pytest.mark.parametrize("summary", ["会議のお知らせ", "会議のおしらせ"], ids=["same", "other"])
@pytest.mark.parametrize(
    ("first", "second"),
    [("iso-2022-jp", "utf-8"), ("utf-8", "shift_jis"), ("euc-jp", "shift_jis"), ("utf-16", "utf-8")],
)
@pytest.mark.parametrize("is_declared", [True, False])
def test_an_invitation_in_two_charsets_comes_once(first, second, summary, is_declared):
    """In UTF-8, if that is one of them: a file that was saved says no charset (RFC 5545 §3.1.4)."""

    def calendar(text, charset, media_type, *fields):
        encoded = base64.b64encode(ICS.replace("summa", text).encode(charset)).decode()
        return part(media_type, encoded, *fields, "Content-Transfer-Encoding: base64")

    one = calendar("会議のお知らせ", first, f"text/calendar; charset={first}; method=REQUEST")
    name = 'Content-Disposition: attachment; filename="invite.ics"'
    label = f"; charset={second}" if is_declared else ""
    two = calendar(summary, second, f"application/ics{label}", name)
    body, _ = run(group("mixed", group("alternative", part("text/plain", "x"), one, boundary="c"), two))
    found = [base64.b64decode(file["data"]) for file in body["attachments"]]
    assert len(found) == (1 if summary == "会議のお知らせ" else 2)
    assert "utf-8" not in (first, second) or any(b"\xe4\xbc\x9a\xe8\xad\xb0" in octets for octets in found)


def test_files_that_are_equal_and_have_names_of_their_own_are_all_sent():
    names = ["team.ics", "all.ics", "a.csv", "b.csv", "b.csv"]
    parts = [
        part(
            "text/calendar" if name.endswith("ics") else "text/csv",
            ICS,
            f"Content-Disposition: attachment; filename={name}",
        )
        for name in names
    ]
    body, _ = run(group("mixed", part("text/plain", "x"), *parts))
    assert [one["filename"] for one in body["attachments"]] == [*names[:4], "b (2).csv"]


def test_a_vcalendar_is_a_calendar():
    body, _ = run(group("alternative", part("text/plain", "x"), part("text/x-vcalendar", ICS)))
    assert [one["filename"] for one in body["attachments"]] == ["invite.vcs"]


def test_two_invitations_are_two():
    calendars = [part("text/calendar", ICS), part("text/calendar", ICS.replace("long", "short"))]
    body, _ = run(group("mixed", part("text/plain", "Meetings"), *calendars))
    assert len(body["attachments"]) == 2


SEALED = {
    "smime": part("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", "MIAG"),
    "by name": part('application/octet-stream; name="smime.p7m"', "MIAG"),
    "signed": part("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", "MIAG"),
    "pgp": group(
        "encrypted",
        part("application/pgp-encrypted", "Version: 1"),
        part("application/octet-stream; name=m.asc", "x"),
    ),
}


@pytest.mark.parametrize("name", SEALED)
@pytest.mark.parametrize(
    ("subject", "said"), [("test", "attached"), ("ご注文の件", "添付"), ("주문", "첨부")]
)
def test_an_encrypted_message_says_where_its_text_is(subject, said, name):
    """The mail arrived with an empty body."""
    content = f"To: b@example.com\r\nSubject: {subject}\r\n{SEALED[name]}".encode()
    converted = convert(content, ["b@example.com"], Conversion())
    body = json.loads(b"".join(converted.requests[0].payload.blocks(content)))
    assert said in body["body"]
    file = "m.asc" if name == "pgp" else "smime.p7m"
    assert file in body["body"]
    assert [loss.added for loss in converted.losses if loss.loss in {"encryption", "signature"}] == [
        body["body"]
    ]


def test_a_signed_text_gets_no_line():
    signed = group("signed", part("text/plain", "hello"), part("application/pgp-signature", "x"))
    assert run(signed)[0]["body"] == "hello"


@pytest.mark.parametrize(
    ("media_type", "name"),
    [
        ("audio/basic", "attachment.au"),
        ("image/x-xbitmap", "image.xbm"),
        ("message/feedback-report", "feedback-report.txt"),
    ],
)
def test_a_name_by_the_type(media_type, name):
    body, _ = run(group("mixed", part("text/plain", "x"), part(media_type, "y")))
    assert [one["filename"] for one in body["attachments"]] == [name]


@pytest.mark.parametrize("to", ["", "c@example.com"])
def test_cc_that_stands_in_to_is_named(to):
    content = f"To: {to}\r\nCc: b@example.com\r\n\r\nx".encode()
    converted = convert(content, ["b@example.com"], Conversion())
    assert ("cc-moved", "b@example.com") in [(loss.loss, loss.detail) for loss in converted.losses]
    converted = convert(content, ["c@example.com", "b@example.com"], Conversion())
    assert ("cc-moved" in [loss.loss for loss in converted.losses]) == (not to)
