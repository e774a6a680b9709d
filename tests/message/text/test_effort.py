"""No message costs much more than its octets do, and what the event loop converts itself costs little.

`tests.long.fuzz.effort` looks for worse. Calls are counted, not seconds: they are the same on every machine.
"""

import base64
import contextlib
import sys
import time

import pytest

from relay.mail import Conversion, Unconvertible
from relay.message import convert
from relay.message.text import budget
from relay.message.text.effort import costs_little
from tests.support.at_once import at_once
from tests.support.hostile import FIELDS, MIXED, WORST

TO = ["b@example.com"]
HOW = Conversion(account_address="me@example.com", attachment_limit=0)
NAMES = [f"{one.place} {one.unit[:20]!r}" for one in WORST]


def count_calls(message: bytes, *, strict: bool = False) -> int:
    """Calls of functions, Python's and C's, that converting the message takes."""
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    with contextlib.suppress(Unconvertible, budget.TooDearError), budget.bounded(strict=strict):
        sys.setprofile(count)
        try:
            convert(message, TO, HOW)
        finally:
            sys.setprofile(before)
    return calls


@pytest.mark.parametrize("hostile", WORST, ids=NAMES)
def test_work_grows_with_the_octets(hostile):
    """The worst has 35 calls for each octet; a quadratic one had thousands."""
    convert(hostile.make(1000), TO, HOW)  # loads what is loaded once
    small, large = (count_calls(hostile.make(size)) for size in (4000, 16_000))
    assert large <= 80 * 16_000
    assert large <= 8 * small + 20_000


@pytest.mark.parametrize("hostile", WORST, ids=NAMES)
def test_no_worst_message_takes_seconds(hostile):
    """They take a few tenths, and took two to ninety; what C code does in one call is seen here only."""
    began = time.process_time()
    with contextlib.suppress(Unconvertible):
        convert(hostile.make(60_000), TO, HOW)
    assert time.process_time() - began < 5


@at_once
@pytest.mark.parametrize("hostile", WORST, ids=NAMES)
@pytest.mark.parametrize("size", [300, 1000, 2000, 4000, 8000, 16_000, 32_000])
def test_what_the_event_loop_converts_is_little(hostile, size):
    """10,000 calls are some two milliseconds."""
    message = hostile.make(size)
    if costs_little(message):
        assert count_calls(message, strict=True) < 40_000


PLAIN = FIELDS + b"Subject: Backup\r\n\r\n" + b"All is well, see https://example.com/?a=b; bye.\r\n" * 100


@pytest.mark.parametrize(
    "message",
    [
        PLAIN,
        PLAIN.replace(b"Backup", "백업 완료".encode()),
        FIELDS
        + b"Subject: =?utf-8?b?66Gc6re4?=\r\nContent-Type: text/html\r\n\r\n"
        + b"<p class='a'>x</p>\r\n" * 150,
        FIELDS + MIXED + b"--b\r\n\r\nSee.\r\n--b\r\nContent-Type: a/b; name=a\r\n\r\nx\r\n--b--\r\n",
    ],
    ids=["text", "utf-8", "html", "file"],
)
def test_usual_mail_needs_no_process(message):
    assert costs_little(message)


@pytest.mark.parametrize(
    "make",
    [
        lambda _: PLAIN + b"\xc1\xe9",
        lambda _: PLAIN * 8,
        *(one.make for one in WORST),
    ],
    ids=["raw octets", "many lines", *NAMES],
)
def test_what_may_be_dear_is_left_to_a_process(make):
    assert not costs_little(make(32_000))


def encode(octets: bytes) -> bytes:
    """Base64 in lines of 76 columns."""
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


PAGES = (b"<a><a>", b"<a b=c>", b"<img src=cid:a>", b'cid:"=', "あ".encode(), b"x")
ENCODED = b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"


@pytest.mark.parametrize("unit", PAGES)
@pytest.mark.parametrize("size", [1000, 20_000, 100_000])
def test_what_an_encoding_holds_is_judged_too(unit, size):
    """24 KB of tags in Base64 took the event loop 13 ms: none of them was seen before they were decoded."""
    page = unit * (size // len(unit))
    if costs_little(message := FIELDS + ENCODED + encode(page)):
        assert count_calls(message, strict=True) < 40_000


def test_a_scan_needs_no_process():
    """A printer's mail: what costs anything in it is beside the Base64."""
    file = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    scan = encode(b"%PDF" + bytes(range(256)) * 400)
    message = FIELDS + MIXED + b"--b\r\n\r\nSee.\r\n--b\r\n" + file + scan + b"\r\n--b--\r\n"
    assert costs_little(message)
    with budget.bounded(strict=True):
        assert convert(message, TO, HOW).requests


@pytest.mark.parametrize("type_", [b"application/ms-tnef", b"multipart/mixed; boundary=c", b"a/b"])
def test_what_has_a_format_of_its_own_is_left_to_a_process(type_):
    """Nobody knows what it takes before it is read."""
    encoding = b"x-uuencode" if type_ == b"a/b" else b"base64"
    fields = b"Content-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n" % (type_, encoding)
    with pytest.raises(budget.TooDearError), budget.bounded(strict=True):
        convert(FIELDS + fields + encode(b"\x78\x9f\x3e\x22"), TO, HOW)


def test_a_guess_too_many_is_left_to_a_process():
    """Encoded octets are not seen before they are decoded."""
    dear = FIELDS + b"Subject: " + b" ".join(b"=?none?q?=E9%d?= x" % n for n in range(9)) + b"\r\n\r\nx"
    assert costs_little(dear)
    with pytest.raises(budget.TooDearError), budget.bounded(strict=True):
        convert(dear, TO, HOW)
