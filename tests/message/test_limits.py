"""The limits, each from both sides: what is within is converted, what is beyond is refused before it costs
anything.
"""

import pytest

from relay.mail import Conversion, Unconvertible
from relay.message import convert

FIELDS = b"From: a@example.com\r\nTo: b@example.com\r\n"
ALL = Conversion(attachment_limit=0)


def nested(levels: int) -> bytes:
    message = FIELDS
    for level in range(levels):
        message += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
    return message + b"\r\ndeep\r\n"


def parts(number: int) -> bytes:
    return (
        FIELDS
        + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        + b"--b\r\n\r\nx\r\n" * number
        + b"--b--\r\n"
    )


def sized(octets: int) -> bytes:
    return FIELDS + b"X-Long: " + b"a" * (octets - 9) + b"\r\n\r\nbody"


def section(octets: int) -> bytes:
    line = b"X-Line: " + b"a" * 990 + b"\r\n"
    return (FIELDS + line * (octets // len(line) + 1))[: octets - 2] + b"\r\n\r\nbody"


def addresses(number: int) -> bytes:
    line = b"Cc: " + b"a@b.c," * 4000 + b"\r\n"
    return b"From: a@example.com\r\n" + line * (number // 4000) + b"\r\nbody"


@pytest.mark.parametrize(
    ("within", "beyond", "what"),
    [
        (nested(99), nested(101), "levels"),
        (parts(998), parts(1001), "parts"),
        (sized(65_000), sized(66_000), "one header field"),
        (section(260_000), section(263_000), "header section"),
        (addresses(16_000), addresses(24_000), "addresses"),
    ],
    ids=["depth", "parts", "field", "section", "addresses"],
)
def test_limit(within, beyond, what):
    assert convert(within, ["b@example.com"], ALL).requests
    with pytest.raises(Unconvertible) as refused:
        convert(beyond, ["b@example.com"], ALL)
    assert refused.value.status == "5.6.0"
    assert what in refused.value.reason


def test_a_megabyte_without_a_header_is_a_body():
    assert convert(b"no header here\r\n" * 100_000, ["b@example.com"], ALL).requests


@pytest.mark.parametrize("octets", [b"", b"\r\n", b"\0", b":", b"--", b"\xff" * 100, b"\r\n\r\n", b"a:b"])
def test_next_to_nothing(octets):
    (request,) = convert(octets, ["b@example.com"], ALL).requests
    assert sum(map(len, request.payload.blocks(octets))) == request.payload.length


@pytest.mark.parametrize(
    ("size", "limit", "has", "most"),
    [
        (20 * 1024 * 1024 + 1, 20 * 1024 * 1024, "20.1 MB", "20.0 MB"),
        (10_241, 10_240, "11 KB", "10 KB"),
    ],
)
def test_one_octet_too_many_reads_as_more(size, limit, has, most):
    """The sentence said that 20.0 MB were more than 20.0 MB."""
    content = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: binary\r\n\r\n" + b"x" * size
    with pytest.raises(Unconvertible, match=f"have {has}, Works takes {most}"):
        convert(content, ["a@example.com"], Conversion(attachment_limit=limit))
