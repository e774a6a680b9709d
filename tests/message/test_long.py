"""A body of many megabytes is the same whether it is held or passed on in blocks."""

import base64
import binascii
import json

import pytest

from relay.mail import Conversion, Rest
from relay.message import convert
from relay.message import long as module

FIELDS = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: report\r\n"
PLAIN = b"Content-Type: text/plain; charset=utf-8\r\n"
LINES = b"".join(b'%d "quoted" \\ and\ttabbed ---\r\n' % number for number in range(60_000))
assert len(LINES) > 1024 * 1024


def request_of(content):
    converted = convert(content, ["b@example.com"], Conversion())
    payload = converted.requests[0].payload
    octets = b"".join(payload.blocks(content))
    assert len(octets) == payload.length
    return json.loads(octets), any(isinstance(one, Rest) for one in payload.segments)


def held(content, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "_LONG", len(content))
        request, streamed = request_of(content)
    assert not streamed
    return request


@pytest.mark.parametrize(
    "body",
    [
        LINES,
        b"\r\n" * 700_000,
        LINES.replace(b"\r\n", b"\n"),
        LINES.replace(b"\r\n", b"\r\n\n\r"),
        LINES[:2000] + b"x" * 1_200_000,
        LINES + b"no line end",
        LINES[: 64 * 1024 + 128 * 1024 - 1] + b"\r\n" * 600_000,
    ],
    ids=["lines", "empty lines", "LF", "mixed", "one line", "no end", "CR LF at a block's end"],
)
def test_a_long_body_is_passed_on_in_blocks_and_is_the_same(body, monkeypatch):
    content = FIELDS + PLAIN + b"\r\n" + body
    request, streamed = request_of(content)
    assert streamed
    assert request == held(content, monkeypatch)


JAPANESE = '会議の件について、\u2028資料をお送りします。~\\"\r\n' * 45_000
LATIN = "Größe: 5\x85 – “ça va”\r\n" * 70_000
HTML = b"Content-Type: text/html\r\n"


def charset(name):
    return b"Content-Type: text/plain; charset=" + name + b"\r\n"


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (PLAIN, JAPANESE.encode()),
        (PLAIN, LINES + JAPANESE.encode()),
        (b"", JAPANESE.encode()),
        (charset(b"shift_jis"), JAPANESE.replace("\u2028", "①").encode("cp932")),
        (b"", JAPANESE.replace("\u2028", "①").encode("cp932")),
        (charset(b"euc-jp"), JAPANESE.replace("\u2028", "").encode("euc-jp")),
        (charset(b"gb2312"), JAPANESE.encode("gb18030")),
        (charset(b"us-ascii"), JAPANESE.encode()),
        (charset(b"iso-8859-1"), LATIN.encode("latin-1", "replace")),
        (b"", LATIN.encode("cp1252", "replace")),
        (charset(b"none-such"), LINES),
        (HTML, LINES),
        (HTML, b"<" * 1_200_000),
        (HTML, b"<html><body>" + LINES + b"<body>"),
        (HTML, b'<meta charset="shift_jis"><body>\n' + JAPANESE.replace("\u2028", "").encode("cp932")),
    ],
)
def test_charsets_that_are_decoded_by_the_line(fields, body, monkeypatch):
    content = FIELDS + b"Reply-To: c@example.com\r\n" + fields + b"\r\n" + body
    request, streamed = request_of(content)
    assert streamed
    assert request == held(content, monkeypatch)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (PLAIN, LINES + "日本語".encode()[:-1]),
        (b"", LINES + "日本語".encode()),
        (b"", JAPANESE.encode() + b"\x80"),
        (b"", LINES[: 60 * 1024] + JAPANESE.encode()),
        (charset(b"shift_jis"), JAPANESE.encode("cp932", "replace") + b"\x81"),
        (b"Content-Type: text/plain; charset=iso-2022-jp\r\n", LINES),
        (PLAIN, LINES + b"\x1b$B\r\n"),
        (PLAIN, LINES + b"begin 644 a.txt\r\n#86)C\r\n`\r\nend\r\n"),
        (b"Content-Type: text/plain; format=flowed\r\n", LINES),
        (HTML, LINES + b"<BODY class=a>" + LINES),
        (HTML, b"<!-- <body> -->\n" + LINES + b"<body class=a>" + LINES),
        (HTML, b'<meta charset="utf-7">\n' + LINES),
        (PLAIN + b"Content-Disposition: attachment; filename=log.txt\r\n", LINES),
        (PLAIN + b"Content-Transfer-Encoding: quoted-printable\r\n", LINES),
    ],
    ids=[
        "damaged UTF-8",
        "UTF-8 after the beginning",
        "damaged at the end",
        "too little to guess by",
        "damaged Shift_JIS",
        "JIS",
        "escape",
        "uuencode",
        "flowed",
        "body tag after the beginning",
        "one in a comment before it",
        "UTF-7",
        "file",
        "quoted-printable",
    ],
)
def test_what_needs_the_whole_text_gets_it(fields, body):
    content = FIELDS + fields + b"\r\n" + body
    _, streamed = request_of(content)
    assert not streamed


SCAN = bytes(range(256)) * 5000
UUENCODED = b"".join(binascii.b2a_uu(SCAN[at : at + 45], backtick=True) for at in range(0, len(SCAN), 45))


@pytest.mark.parametrize(
    "lines",
    [
        b"begin 644 scan.tif\n" + UUENCODED + b"`\nend\n",
        b"begin-base64 644 scan.tif\n" + base64.encodebytes(SCAN) + b"====\n",
        b"=ybegin line=128 size=1280000 name=scan.tif\n" + b"+,-.\n" * 320_000 + b"=yend size=1280000\n",
    ],
    ids=["uuencode", "begin-base64", "yEnc"],
)
def test_a_file_that_begins_at_once_is_whole(lines):
    """Old scanners write a line or two before the file: its begin line is in what is read as a beginning, and
    its end is not.
    """
    content = FIELDS + b"\r\nScanned pages\r\n" + lines.replace(b"\n", b"\r\n")
    request, streamed = request_of(content)
    (file,) = request["attachments"]
    assert (file["filename"], request["body"]) == ("scan.tif", "Scanned pages\n")
    assert len(base64.b64decode(file["data"])) == len(SCAN)
    assert not streamed
