"""The conversion of ordinary mail, from the octets to the JSON body."""

import base64
import json
import mmap
import pickle
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from relay.mail import Conversion, Policy, Unconvertible
from relay.message import convert, originator, originators


def compose(**fields: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    for name, value in {"From": "Scan <scan@example.com>", "To": "a@example.com", **fields}.items():
        message[name.replace("_", "-")] = value
    return message


def requests_of(content, paths=("a@example.com",), **options):
    converted = convert(content, paths, Conversion(**options))
    bodies = []
    for request in converted.requests:
        body = b"".join(request.payload.blocks(content))
        assert len(body) == request.payload.length
        bodies.append(json.loads(body))
    return bodies, converted


def test_text_alternative_inline_image_and_file():
    message = compose(Subject="スキャン 株式会社", Cc="b@example.com")
    message.set_content("本文です\n")
    message.add_alternative('<p>本文<img src="cid:logo@x"></p>\n', subtype="html")
    message.get_payload()[1].add_related(b"\x89PNG" * 100, "image", "png", cid="<logo@x>")
    pdf = bytes(range(256)) * 4000
    message.add_attachment(pdf, maintype="application", subtype="pdf", filename="文書.pdf")
    content = message.as_bytes()
    (body,), converted = requests_of(content, ["c@example.com", "a@example.com", "B@EXAMPLE.com"])
    assert (body["to"], body["cc"], body["bcc"]) == ("a@example.com", "B@EXAMPLE.com", "c@example.com")
    assert body["subject"] == "スキャン 株式会社"
    assert body["contentType"] == "html"
    image, file = body["attachments"]
    assert f'src="cid:{image["cid"]}"' in body["body"]
    assert image["inline"] is True
    assert base64.b64decode(file["data"], validate=True) == pdf
    assert file["filename"] == "文書.pdf"
    assert "text-alternative" in [loss.loss for loss in converted.losses]


@pytest.mark.parametrize("buffer", ["bytes", "memoryview", "mmap"])
def test_any_buffer_and_a_pickled_payload(buffer, tmp_path):
    message = compose(Subject="x")
    message.add_attachment(b"\0\1\2" * 100_000, maintype="image", subtype="tiff", filename="a.tif")
    octets = message.as_bytes()
    (tmp_path / "m").write_bytes(octets)
    with (tmp_path / "m").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        content = {"bytes": octets, "memoryview": memoryview(octets), "mmap": mapped}[buffer]
        payload = convert(content, ["a@example.com"], Conversion()).requests[0].payload
        again = pickle.loads(pickle.dumps(payload))
        assert b"".join(again.blocks(octets)) == b"".join(payload.blocks(content))
        mapped.close()


def test_text_only_and_nobody_but_bcc():
    message = compose(Subject="x", To="list@example.org")
    message.set_content("Hi\nthere\n")
    (body,), _ = requests_of(message.as_bytes(), ["x@example.com", "y@example.com"])
    assert body["to"] == "x@example.com; y@example.com"
    assert body["isSendSeparately"] is True
    assert "cc" not in body
    assert "bcc" not in body
    assert (body["contentType"], body["body"]) == ("text", "Hi\nthere\n")


def test_more_recipients_than_one_request_takes():
    paths = [f"u{number}@example.com" for number in range(7)]
    message = compose(Subject="x", To=", ".join(paths[:3]), Cc=paths[3])
    message.set_content("x")
    bodies, converted = requests_of(message.as_bytes(), paths, recipients_per_mail=3)
    assert [one.recipients for one in converted.requests] == [
        tuple(paths[:3]),
        tuple(paths[3:6]),
        (paths[6],),
    ]
    assert [body["to"] for body in bodies] == ["; ".join(paths[:3]), paths[3], paths[6]]
    assert bodies[1]["bcc"] == "; ".join(paths[4:6])


def test_files_too_large_are_refused_with_a_sentence():
    message = compose(Subject="x")
    message.add_attachment(b"x" * 3000, maintype="application", subtype="pdf", filename="a.pdf")
    with pytest.raises(Unconvertible, match=r"5\.3\.4") as refused:
        convert(message.as_bytes(), ["a@example.com"], Conversion(attachment_limit=2999))
    assert "dpi" in refused.value.reason


def test_reply_to_is_kept_in_the_body_and_a_policy_can_refuse_it():
    message = compose(Subject="お知らせ", Reply_To="desk@example.net")
    message.set_content("本文です\n")
    (body,), converted = requests_of(message.as_bytes(), account_address="scan@example.com")
    (loss,) = [loss for loss in converted.losses if loss.loss == "reply-to"]
    assert body["body"] == loss.added + "本文です\n"
    assert loss.added == "返信先: desk@example.net\n\n"
    with pytest.raises(Unconvertible, match=r"5\.6\.4"):
        convert(message.as_bytes(), ["a@example.com"], Conversion(losses={"reply_to": Policy.REJECT}))


def test_originators_never_raise():
    assert (
        originator(b"From: =?utf-8?q?J=C3=BCrgen?= <j@example.com>, k@example.com\r\n\r\n").display_name
        == "Jürgen"
    )
    found = originators(b"Sender: s@example.com\r\nFrom: a@example.com, b@example.com\r\n\r\nx")
    assert [one.addr_spec for one in found] == ["a@example.com", "b@example.com", "s@example.com"]
    assert originator(b"") is None
    assert originator(b"X" * 400_000) is None
    assert originator(b"From: " + b"(" * 100_000) is None


def test_what_is_no_message_goes_along_as_a_file():
    """A file sent as it is, without any field: mojibake for a body would help nobody."""
    octets = bytes(range(256)) * 20
    (request,) = (converted := convert(octets, ["a@example.com"], Conversion())).requests
    assert [loss.loss for loss in converted.losses if loss.loss == "unreadable"] == ["unreadable"]
    said = json.loads(b"".join(request.payload.blocks(octets)))
    (original,) = said["attachments"]
    assert (original["filename"], base64.b64decode(original["data"])) == ("message.eml", octets)


def test_a_text_without_any_field_is_a_body():
    for text in (b"hello\r\n", "日本語\r\n".encode("iso-2022-jp"), "日本語\r\n".encode("cp932")):
        converted = convert(text, ["a@example.com"], Conversion())
        assert "unreadable" not in [loss.loss for loss in converted.losses]
