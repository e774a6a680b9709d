"""Files arrive as they were sent: every octet, by whatever transfer encoding."""

import base64
import json
import quopri

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mail import Conversion
from relay.message import convert
from relay.message.parse import parse
from tests.support.at_once import at_once

TYPES = ["text/csv", "text/calendar", "text/plain", "message/rfc822", "application/octet-stream", "image/png"]


def send(octets: bytes, encoding: str, media_type: str = "application/octet-stream") -> bytes:
    """The octets of the one file that a message with it comes to."""
    content = (
        b"To: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nsee\r\n"
        b"--b\r\nContent-Type: "
        + media_type.encode()
        + b"\r\nContent-Disposition: attachment; filename=a.b\r\n"
        b"Content-Transfer-Encoding: " + encoding.encode() + b"\r\n\r\n" + octets + b"\r\n--b--\r\n"
    )
    (request,) = convert(content, ["a@example.com"], Conversion()).requests
    octets = b"".join(request.payload.blocks(content))
    assert len(octets) == request.payload.length
    (file,) = json.loads(octets)["attachments"]
    return base64.b64decode(file["data"], validate=True)


def encode_quoted(octets: bytes) -> bytes:
    """Quoted-printable whose line ends are those of the text, and all of whose soft breaks are CRLF."""
    lines = octets.split(b"\r\n")
    whole = (quopri.encodestring(line).replace(b"\n", b"=0A").removesuffix(b"=0A") for line in lines)
    return b"\r\n".join(line.replace(b"==0A", b"=\r\n") for line in whole)


@at_once
@pytest.mark.parametrize("media_type", TYPES)
@pytest.mark.parametrize("encoding", ["7bit", "8bit", "binary", "quoted-printable", ""])
def test_lines_end_as_on_the_wire(encoding, media_type):
    """Calendars, messages and signatures are defined with CRLF; banks refuse a file without its CRs."""
    octets = b"1,FURIKOMI\r\n2,NYUKIN\r\n\r\n3,x"
    assert send(octets, encoding, media_type) == octets


WIRE = st.lists(st.binary(max_size=80).map(lambda line: line.translate(None, b"\r\n-")), min_size=1).map(
    b"\r\n".join
)


@settings(max_examples=150, deadline=None)
@given(WIRE.filter(bool), st.sampled_from(["7bit", "8bit", "binary"]))
def test_unencoded_octets(octets, encoding):
    assert send(octets, encoding) == octets


@settings(max_examples=150, deadline=None)
@given(WIRE.filter(lambda octets: octets.strip()))
def test_quoted_printable(octets):
    assert send(encode_quoted(octets), "quoted-printable") == octets


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=5000), st.integers(4, 90))
def test_base64(octets, width):
    encoded = base64.b64encode(octets)
    lines = (encoded[at : at + width] for at in range(0, len(encoded), width))
    assert send(b"\r\n".join(lines), "base64") == octets


@pytest.mark.parametrize(
    ("octets", "name", "media_type"),
    [
        (b"%PDF-1.4 x", "attachment.pdf", "application/pdf"),
        (b"\xff\xd8\xff\xe0", "image.jpg", "image/jpeg"),
        (b"\x00\x01", "attachment.bin", "application/octet-stream"),
    ],
)
def test_a_file_that_says_nothing_of_itself_is_named_by_its_first_octets(octets, name, media_type):
    """A scan without a name and a type was `attachment.bin`, which nobody can open."""
    content = (
        b"To: a@example.com\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(octets)
    )
    request = convert(content, ["a@example.com"], Conversion()).requests[0]
    (found,) = json.loads(b"".join(request.payload.blocks(content)))["attachments"]
    assert (found["filename"], found["fileType"]) == (name, media_type)
    assert base64.b64decode(found["data"]) == octets


@pytest.mark.parametrize(("name", "size"), [(b"a.pdf", 9), (b"a.b64", 12)])
def test_base64_of_a_known_format_that_no_field_tells(name, size):
    """A PDF does not begin with JVBERi0; whoever sends Base64 as a text says so by the name."""
    fields = b"Content-Type: application/pdf; name=" + name
    mail = parse(fields + b"\r\n\r\nJVBERi0xLjQK").mail
    assert [one.size for one in mail.attachments] == [size]
    assert ("damaged" in [loss.loss for loss in mail.losses]) is (size == 9)
