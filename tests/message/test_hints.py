"""Raw fields read by the charsets that the message declares elsewhere."""

import pytest

from relay.message.parse import parse

HALFWIDTH = "ｶﾀｶﾅ"  # as Shift_JIS it is good Cyrillic, and good EUC-JP but for its luck


def read(subject: bytes, charset: str, *more: bytes):
    fields = [b"From: a@example.com", b"Subject: " + subject, *more]
    fields.append(b"Content-Type: text/plain; charset=" + charset.encode())
    return parse(b"\r\n".join(fields) + b"\r\n\r\nx\r\n").mail


@pytest.mark.parametrize(
    ("charset", "codec", "text"),
    [
        ("shift_jis", "cp932", HALFWIDTH),
        ("iso-2022-jp", "cp932", HALFWIDTH),
        ("euc-kr", "cp949", "똠방각하"),
        ("gb2312", "gb18030", "朱镕基"),
        ("big5", "big5", "報價單"),
        ("koi8-r", "koi8-r", "Счёт"),
        ("windows-1256", "cp1256", "عرض"),
        ("iso-8859-2", "iso-8859-2", "Žluť"),
    ],
)
def test_the_texts_charset_is_the_subjects(charset, codec, text):
    assert read(text.encode(codec), charset).subject == text


@pytest.mark.parametrize("charset", ["utf-8", "us-ascii", "iso-8859-1", "x-nonsense"])
def test_a_charset_that_says_nothing_leaves_the_guess(charset):
    assert read("見積書の件".encode("cp932"), charset).subject == "見積書の件"


def test_utf_8_needs_no_hint():
    assert read("見積書".encode(), "shift_jis").subject == "見積書"


def test_fields_beyond_the_first_hundreds_are_still_read():
    """Each costs a guess; a message of nothing else must not take minutes."""
    cc = [b"Cc: " + "عرض".encode("cp1256") + b" <a%d@example.com>" % number for number in range(300)]
    mail = read(b"x", "windows-1256", *cc)
    assert len(mail.cc) == 300
    assert mail.cc[0].display_name == "عرض"
