"""A body of many megabytes is the same whether it is held or passed on in blocks."""

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


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (PLAIN, LINES + "日本語".encode()),
        (b"Content-Type: text/plain; charset=iso-2022-jp\r\n", LINES),
        (PLAIN, LINES + b"\x1b$B\r\n"),
        (PLAIN, LINES + b"begin 644 a.txt\r\n#86)C\r\n`\r\nend\r\n"),
        (b"Content-Type: text/plain; format=flowed\r\n", LINES),
        (b"Content-Type: text/html\r\n", LINES),
        (PLAIN + b"Content-Disposition: attachment; filename=log.txt\r\n", LINES),
        (PLAIN + b"Content-Transfer-Encoding: quoted-printable\r\n", LINES),
    ],
    ids=["UTF-8", "JIS", "escape", "uuencode", "flowed", "html", "file", "quoted-printable"],
)
def test_what_needs_the_whole_text_gets_it(fields, body):
    _, streamed = request_of(FIELDS + fields + b"\r\n" + body)
    assert not streamed
