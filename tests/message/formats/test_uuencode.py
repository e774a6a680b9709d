"""Files that stand in the text itself, as encoders other than our own write them."""

import binascii

import pytest

from relay.mail import Attachment
from relay.message.parse import parse

DATA = bytes(range(256)) + b"PK\x03\x04"


def uuencode(data: bytes) -> bytes:
    return b"".join(binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))


def attached(body: bytes, encoding: bytes = b"x-uuencode") -> bytes:
    message = b"""From: a@example.com
To: b@example.com
MIME-Version: 1.0
Content-Type: application/zip; name=a.zip
Content-Transfer-Encoding: %b

%b""" % (encoding, body)
    file = parse(message).mail.attachments[0]
    assert isinstance(file, Attachment)
    assert isinstance(file.source, bytes)
    return file.source


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(uuencode(DATA), DATA, id="whole"),
        pytest.param(b'#0V%T\n"0V$_\n', b"CatCa", id="the last quantum is filled up with rubbish"),
        pytest.param(b"#0V%T   \n#0V%T`\n", b"CatCat", id="spaces or a checksum behind"),
        pytest.param(b"#   !\n$    \n", b"\0\0\1\0\0\0\0", id="trailing spaces were lost on the way"),
        pytest.param(b"#0V\xe3T\n", b"C`4", id="an octet that uuencode does not have"),
    ],
)
def test_uuencoded_lines_are_read_as_far_as_they_go(lines, expected):
    """Encoders differ in what stands where no data is; a strict decoder loses the whole file for it."""
    assert attached(b"begin 644 a.zip\n" + lines + b"`\nend\n") == expected


@pytest.mark.parametrize(
    ("charset", "codec", "name"),
    [
        ("koi8-r", "koi8-r", "файл.txt"),
        ("iso-8859-2", "iso8859-2", "zał.txt"),
        ("euc-kr", "cp949", "견적.txt"),
        ("gb2312", "gb18030", "模.txt"),
        ("iso-2022-jp", "iso2022_jp", "見積.txt"),
        ("iso-8859-1", "utf-8", "zał.txt"),
        ("koi8-r", "utf-8", "файл.txt"),
        ("euc-kr", "utf-8", "견적.txt"),
    ],
)
def test_the_name_is_in_the_charset_of_its_text(charset, codec, name):
    """A name is too short to guess by, and whoever wrote it wrote the text around it; but UTF-8 shows by
    itself, and many programs declare iso-8859-1 whatever they send.
    """
    lines = b"begin 644 " + name.encode(codec) + b"\n#86)C\n`\nend\n"
    fields = f"Content-Type: text/plain; charset={charset}\n\nhello\n"
    (file,) = parse(fields.encode() + lines).mail.attachments
    assert file.filename == name


def test_texts_of_which_none_shows_anything_are_no_html():
    """Four empty texts, one of them html, are an empty text, and no html element around nothing."""
    parts = b"".join(
        b"--b\nContent-Type: text/%b\n\n\n" % subtype for subtype in (b"plain", b"html", b"plain")
    )
    mail = parse(b"Content-Type: multipart/mixed; boundary=b\n\n" + parts + b"--b--\n").mail
    assert (mail.body.strip(), mail.content_type) == ("", "text")
