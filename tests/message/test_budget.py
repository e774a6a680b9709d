"""What a message may cost beyond its octets is counted; beyond its share the cheap way is taken."""

import asyncio
import json

import pytest

from relay.mail import Conversion
from relay.message import convert
from relay.message.addresses import read_addresses
from relay.message.text import budget, charsets, guessing

HOW = Conversion(attachment_limit=0)
FIELDS = b"From: a@example.com\r\nTo: b@example.com\r\nMIME-Version: 1.0\r\n"


@pytest.fixture
def guesses(monkeypatch):
    """What the library that guesses was asked."""
    asked = []
    ask = guessing._ask_library
    monkeypatch.setattr(guessing, "_ask_library", lambda sample: asked.append(sample) or ask(sample))
    return asked


def name(number: int) -> bytes:
    """A few octets of no declared charset, and of no UTF-8."""
    return b"\xc1\xe9%d\xe3\xf2" % number


def with_parts(names, field=b"Content-Type: a/b; name=") -> bytes:
    parts = b"".join(b"--b\r\n" + field + one + b"\r\n\r\nx\r\n" for one in names)
    return FIELDS + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n"


def request_of(message: bytes) -> dict:
    (request,) = convert(message, ["b@example.com"], HOW).requests
    return json.loads(b"".join(request.payload.describe(message)))


def words(numbers) -> bytes:
    return b"\r\n ".join(b"=?none-%d?q?=E9=C1%d?=" % (number, number) for number in numbers)


@pytest.mark.parametrize(
    "message",
    [
        with_parts(map(name, range(900))),
        with_parts(map(name, range(900)), b"Content-Disposition: attachment; filename="),
        with_parts(map(name, range(900)), b"Content-Type: text/plain\r\nContent-Location: "),
        with_parts((b"x\r\n\r\n" + name(number) for number in range(900)), b"Content-Type: text/plain;"),
        with_parts((b"none-%d''%%E9%%C1%d" % (n, n) for n in range(900)), b"Content-Type: a/b; name*="),
        FIELDS + b"Subject: " + words(range(2000)) + b"\r\n\r\nx",
        FIELDS + b"".join(b"Cc: %s <c%d@example.com>\r\n" % (name(n), n) for n in range(2000)) + b"\r\nx",
    ],
    ids=["name", "filename", "location", "text", "rfc2231", "words", "addresses"],
)
def test_a_message_has_few_guesses(guesses, message):
    """32 KB of such names took half a second, and all sessions waited for it."""
    convert(message, ["b@example.com"], HOW)
    assert len(guesses) <= budget.GUESSES


def test_large_texts_have_few_guesses_in_all(guesses):
    text = b"\xc1\xe9\xe3 \xf2" * 4000
    convert(with_parts(b"\r\n\r\n%d" % n + text for n in range(20)), ["b@example.com"], HOW)
    assert sum(map(len, guesses)) <= budget.GUESSED_OCTETS + budget.SAMPLE


def test_the_same_octets_are_guessed_once(guesses):
    convert(with_parts([name(1)] * 500), ["b@example.com"], HOW)
    assert len(guesses) <= 1


def test_beyond_its_share_a_message_is_read_by_its_own_charset():
    """Its texts say KOI8-R; the 200 fields that are read by hints are used up, and all guesses are."""
    texts = [f"Счёт {number} за ремонт".encode("koi8-r") for number in range(40)]
    declared = b"--b\r\nContent-Type: text/plain; charset=koi8-r\r\n\r\nx\r\n"
    unlabelled = b"".join(b"--b\r\nContent-Type: text/plain\r\n\r\n" + text + b"\r\n" for text in texts)
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    body = request_of(FIELDS + head + declared + unlabelled + b"--b--\r\n")["body"]
    assert "Счёт 39 за ремонт" in body


def test_beyond_its_share_nothing_is_lost():
    names = [one["filename"] for one in request_of(with_parts(map(name, range(900))))["attachments"]]
    assert len(names) == 900
    assert names[899].startswith("Áé899")


def test_utf_8_needs_no_guess(guesses):
    convert(with_parts("견적서.pdf".encode() for _ in range(900)), ["b@example.com"], HOW)
    assert not guesses


def test_the_next_message_has_its_share_again():
    convert(with_parts(map(name, range(900))), ["b@example.com"], HOW)
    subject = "견적서 송부의 건"
    assert request_of(FIELDS + b"Subject: " + subject.encode("cp949") + b"\r\n\r\nx")["subject"] == subject


def test_what_was_read_in_the_cheap_way_is_not_remembered():
    """Fields are remembered from one message to the next: one without any guesses left must teach nothing."""
    field = "総務からのお知らせ <office@example.com>".encode("cp932")
    with budget.bounded() as one:
        one.guesses = budget.GUESSES
        assert read_addresses([field])[0].display_name != "総務からのお知らせ"
    assert read_addresses([field])[0].display_name == "総務からのお知らせ"


def test_decodings_and_references_end():
    with budget.bounded() as one:
        one.decodings = budget.DECODINGS
        assert charsets.decode("견적".encode("cp949"), "euc-kr").codec == "utf-8"
        one.references = budget.REFERENCES
        assert not one.take_reference()


async def test_each_task_has_its_own():
    async def read() -> budget.Budget:
        with budget.bounded() as one:
            await asyncio.sleep(0)
            assert budget.current() is one
            return one

    first, second = await asyncio.gather(read(), read())
    assert first is not second
