"""Encoded-words as devices and libraries write them: raw octets, cut ends, whole fields."""

import base64

import pytest

from relay.message.parse import parse
from tests.support.at_once import at_once

CHARSETS = [
    ("iso-8859-1", "Frösche"),
    ("windows-1251", "Отчёт"),
    ("iso-8859-2", "Żółć"),
    ("koi8-r", "Отчёт"),
    ("shift_jis", "表示ソ請求書"),
    ("euc-jp", "請求書テスト"),
    ("euc-kr", "견적서"),
    ("gb2312", "报价单"),
    ("big5", "報價單"),
    ("utf-8", "請求書Frösche"),
]


def word(text: str, charset: str = "utf-8", encoding: str = "B") -> bytes:
    octets = text.encode(charset)
    data = base64.b64encode(octets) if encoding == "B" else b"".join(b"=%02X" % octet for octet in octets)
    return b"=?%s?%s?%s?=" % (charset.encode(), encoding.encode(), data)


def read(*fields: bytes):
    """The mail of a message whose one part is a file with those fields."""
    return parse(b"\r\n".join((b"From: a@example.com", *fields)) + b"\r\n\r\nx\r\n")


def name(*fields: bytes) -> str:
    (file,) = read(*fields).mail.attachments
    return file.filename


@at_once
@pytest.mark.parametrize(("charset", "text"), CHARSETS)
@pytest.mark.parametrize("around", [b"%s", b"Re: %s", "件名 %s".encode(), "件名 %s".encode("cp932")])
def test_raw_octets_in_a_word_are_of_its_charset(charset, text, around):
    """The field was read as text first, and the octets of the word were decoded a second time."""
    raw = b"=?%s?Q?%s?=" % (charset.encode(), text.encode(charset))
    subject = read(b"Subject: " + around.replace(b"%s", raw)).mail.subject
    assert subject.endswith(text)
    if around.isascii():
        lost = [loss for loss, *_ in read(b"Subject: " + around.replace(b"%s", raw)).header.lost]
        assert "charset-guessed" not in lost


@pytest.mark.parametrize(("charset", "text"), CHARSETS)
def test_raw_octets_in_a_word_of_a_name(charset, text):
    raw = b"=?%s?Q?%s.pdf?=" % (charset.encode(), text.encode(charset))
    part = b'Content-Type: application/pdf; name="' + raw + b'"'
    assert name(part) == text + ".pdf"


@pytest.mark.parametrize(
    "field",
    [
        word("attachment; filename=請求書_2025年9月.pdf"),
        word("attachment; filename=請求書_2025年9月.pdf", encoding="Q"),
        b"attachment; " + word("filename=請求書_2025年9月.pdf"),
        b"attachment; " + word("filename=請求書") + b"\r\n " + word("_2025年9月.pdf"),
        word("attachment; filename=請求書") + b"\r\n " + word("_2025年9月.pdf"),
        word('attachment; filename="請求書_2025年9月.pdf"', "shift_jis"),
        b'attachment; filename="' + word("請求書_2025年9月.pdf") + b'"',
        b"attachment; filename=" + word("請求書_2025年9月.pdf"),
        b"attachment; filename= " + word("請求書_") + b" " + word("2025年9月.pdf"),
    ],
)
def test_a_disposition_that_is_an_encoded_word(field):
    """Python's `email` encodes the whole field when a program puts a name into it that is not ASCII."""
    found = name(b"Content-Type: application/octet-stream", b"Content-Disposition: " + field)
    assert found == "請求書_2025年9月.pdf"


@pytest.mark.parametrize("encoding", ["B", "Q"])
def test_a_type_that_is_an_encoded_word(encoding):
    field = word('application/pdf; name="見積書;甲.pdf"', encoding=encoding)
    (file,) = read(b"Content-Type: " + field).mail.attachments
    assert (file.filename, file.media_type) == ("見積書;甲.pdf", "application/pdf")


def test_a_transfer_encoding_that_is_an_encoded_word():
    mail = parse(b"Content-Transfer-Encoding: =?utf-8?b?YmFzZTY0?=\r\n\r\n5pel5pys\r\n").mail
    assert mail.body == "日本"


CUT = word("見積書2025.pdf")[:-2]


@at_once
@pytest.mark.parametrize("length", range(len(CUT), len(b"=?utf-8?B?6KaL") - 1, -1))
@pytest.mark.parametrize("form", [b'filename="%s', b'filename="%s"', b"filename=%s"])
def test_a_name_cut_within_its_word(length, form):
    """Devices cut names by octets: what is there is read, and the extension comes from the type."""
    disposition = b"Content-Disposition: attachment; " + form.replace(b"%s", CUT[:length])
    mail = read(b"Content-Type: application/pdf", disposition).mail
    (file,) = mail.attachments
    assert file.filename.startswith("見")
    assert file.filename.endswith(".pdf")
    assert "見積書2025".startswith(file.filename.removesuffix(".pdf"))
    if length < len(CUT.rstrip(b"=")):
        assert "attachment-name" in [loss.loss for loss in mail.losses]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"=?utf-8?B?5pel5pys", "日本"),
        (b"=?utf-8?B?5pel5pys?", "日本"),
        (b"=?utf-8?Q?=E6=97=A5=E", "日"),
        (b"=?utf-8?B?5pel =?utf-8?B?5pys?=", "日本"),
        (b"=?utf-8?B?5pel?=\r\n =?utf-8?B?5pys", "日本"),
        (b"=?utf-8?B?5pel?= =?utf-8?B?", "日"),
        (b"=?utf-8?B?5pel?= =?utf-", "日"),
        (b"=?utf-8?B?5pel?= =?", "日"),
    ],
)
def test_a_subject_cut_within_its_word(raw, text):
    understood = read(b"Subject: " + raw)
    assert understood.mail.subject == text
    assert "damaged" in [loss for loss, *_ in understood.header.lost]


@pytest.mark.parametrize(
    "raw", ["what =?", "=?", "a =?x?", "=?nonsense?B?5pel", "50 =? 60", "=?utf-8?X?5pel"]
)
def test_what_is_no_word_stays(raw):
    understood = read(b"Subject: " + raw.encode())
    assert understood.mail.subject == raw
    assert "damaged" not in [loss for loss, *_ in understood.header.lost]


def test_a_question_mark_within_a_word_of_q():
    assert read(b"Subject: =?utf-8?Q?a?b?= c").mail.subject == "a?b c"
