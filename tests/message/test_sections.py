"""Where a field section begins and ends, when it is not as it should be."""

import base64

import pytest

from relay.message.parse import parse

HEADER = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: x\r\n\r\nbody\r\n"


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(b"\xef\xbb\xbf", id="a byte order mark"),
        pytest.param(b"\xef\xbb\xbf\r\n", id="a byte order mark on a line of its own"),
        pytest.param(b" of a line that was lost\r\n", id="the end of a folded field"),
        pytest.param(
            b"\xef\xbb\xbfFrom a@example.com Mon Jan  1 00:00:00 2024\r\n", id="an mbox line behind it"
        ),
    ],
)
def test_what_scripts_put_before_the_first_field_is_not_the_body(before):
    """Editors save a byte order mark into the template, MTAs cut a field: the fields are still fields."""
    mail = parse(before + HEADER).mail
    assert (mail.subject, mail.body) == ("x", "body\n")
    assert [address.addr_spec for address in mail.to] == ["b@example.com"]


@pytest.mark.parametrize(
    "text",
    [b"  indented\r\nand more\r\n", b"  indented\r\n\r\nTo: be or not\r\n", b"\xef\xbb\xbfjust text\r\n"],
)
def test_a_text_without_fields_stays_a_text(text):
    """Nothing of a message without fields is taken for one."""
    assert parse(text).mail.body.strip("\ufeff") == text.decode("utf-8-sig").replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("junk", "expected"),
    [
        pytest.param(b"X-Scan\r\n\r\n", b"%PDF-1.4 data", id="a line that is no field"),
        pytest.param(b"-- \r\n\r\n", b"%PDF-1.4 data", id="hyphens"),
        pytest.param(b"", b"%PDF-1.4 data", id="the empty line was forgotten"),
    ],
)
def test_a_line_that_is_no_field_does_not_spoil_base64(junk, expected):
    """Its letters would be decoded as data, and the file would be damaged."""
    part = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
    octets = part + junk + base64.encodebytes(expected)
    (file,) = parse(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + octets + b"--b--\r\n"
    ).mail.attachments
    assert file.size == len(expected)


@pytest.mark.parametrize(
    "cut", [b"Co", b"Content-Disposit", b"Mime-Versio", b"Content-Type: text/plain\r\nContent-T"]
)
def test_a_field_that_was_cut_off_is_no_text(cut):
    """A message that ends within a part's field name does not show the name as a text."""
    start = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n"
    assert parse(start + cut).mail.body.strip() == "hello"


@pytest.mark.parametrize("text", [b"Content", b"mime", b"co"])
def test_a_message_of_one_word_is_a_text(text):
    """Nothing but a word: it is what the sender said."""
    assert parse(text).mail.body.strip() == text.decode()


def test_a_field_without_a_name_is_skipped():
    """A program that had no name for a field writes the colon all the same; it is not the body."""
    mail = parse(b"Subject: x\r\n: value\r\n\r\nbody\r\n").mail
    assert (mail.subject, mail.body) == ("x", "body\n")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"Total: 5\r\nSum: 6\r\n", id="a table"),
        pytest.param(b"http://example.com/ is down\r\nplease check\r\n", id="an address of the web"),
        pytest.param(b"Status: OK\r\nPriority: high\r\n\r\nHost: nas\r\n", id="what a monitor says"),
        pytest.param(b"Note : x\r\n y\r\n--\r\nz: 1\r\n", id="a fold and hyphens"),
        pytest.param(b"09:15 began\r\n09:16 ended\r\n", id="times of day"),
        pytest.param(b"key: value\r\n" * 30_000, id="more than a section may have"),
        pytest.param(b"key: " + b"value " * 20_000 + b"\r\n", id="more than a field may have"),
    ],
)
def test_a_text_whose_lines_look_like_fields_stays_a_text(text):
    """A device that sends no field section at all sends a text; none of its lines is a field of mail."""
    understood = parse(text)
    assert understood.mail.body == text.decode().replace("\r\n", "\n")
    assert understood.header.lost == ()


@pytest.mark.parametrize(
    "field",
    [
        b"Subject: x",
        b"X-Mailer: x",
        b"BCC: b@example.com",
        b"List-Id: <a>",
        b"Resent-To: b@example.com",
        b"date : x",
    ],
)
@pytest.mark.parametrize("before", [b"", b"Total: 5\r\n"])
def test_one_field_of_mail_makes_a_section(before, field):
    """However small it is, and whatever stands beside it: a Bcc is never shown."""
    assert parse(before + field + b"\r\n\r\nbody\r\n").mail.body == "body\n"
