"""Which texts are the body: those of types that nobody has heard of."""

import pytest

from relay.message.parse import parse

FILE = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n"
MARKDOWN = b"Content-Type: text/markdown; charset=utf-8\r\n\r\n# Hello\r\n"
PLAIN = b"Content-Type: text/plain\r\n\r\nHello\r\n"


def read(content: bytes) -> tuple[str, list[str]]:
    mail = parse(content).mail
    return mail.body.strip(), [one.filename for one in mail.attachments]


def multipart(subtype: bytes, *parts: bytes) -> bytes:
    head = b"Content-Type: multipart/" + subtype + b"; boundary=b\r\n\r\n"
    return head + b"".join(b"--b\r\n" + part for part in parts) + b"--b--\r\n"


@pytest.mark.parametrize(
    "subtype",
    [b"markdown", b"x-log", b"x-web-markdown; charset=utf-8", b"x-y\r\nContent-Disposition: inline"],
)
def test_a_text_of_an_unknown_type_is_the_body(subtype):
    """RFC 2046 §4.1.4: unrecognised subtypes of text are plain; a job that sends its log sends a text."""
    text = b"Content-Type: text/" + subtype + b"\r\n\r\n# Hello\r\n"
    assert read(text) == ("# Hello", [])
    assert read(multipart(b"mixed", text, FILE)) == ("# Hello", ["a.pdf"])
    assert read(multipart(b"alternative", text, FILE)) == ("# Hello", ["a.pdf"])


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Type: text/markdown; name=a.md",
        b"Content-Type: text/markdown\r\nContent-Disposition: attachment",
        b"Content-Type: text/calendar",
        b"Content-Type: text/csv",
        b"Content-Type: text/xml",
        b"Content-Type: text/x-vcard",
        b"Content-Type: text/rfc822-headers",
    ],
)
def test_what_a_program_reads_or_has_a_name_is_a_file(field):
    """An address book's card shown as a text would be no card any more."""
    body, files = read(field + b"\r\n\r\nHello\r\n")
    assert (body, len(files)) == ("", 1)


def test_markdown_beside_its_text_is_not_said_twice():
    """Of two renderings one is shown; the other goes along, as it always did."""
    assert read(multipart(b"alternative", PLAIN, MARKDOWN)) == ("Hello", ["attachment.md"])


def test_markdown_behind_a_text_is_a_file():
    """The body is there already."""
    assert read(multipart(b"mixed", PLAIN, MARKDOWN)) == ("Hello", ["attachment.md"])


@pytest.mark.parametrize(
    "octets", [b"\x00\x01\x02", b"%PDF-1.4", b"x" * 1_100_000], ids=["binary", "PDF", "long"]
)
def test_what_is_no_text_for_people_stays_a_file(octets):
    """What is not known to be a text is looked at, and a log of many megabytes need not be held as one."""
    body, files = read(b"Content-Type: text/x-data\r\n\r\n" + octets)
    assert (body, len(files)) == ("", 1)


def test_html_refers_to_nothing_that_lies_elsewhere():
    """The stub of an image that was left elsewhere became the image, and the loss was not named."""
    html = b'Content-Type: text/html\r\n\r\n<img src="cid:one">\r\n'
    image = b"Content-Type: message/external-body; access-type=x\r\nContent-ID: <one>\r\n\r\n"
    image += b"Content-Type: image/png\r\n"
    mail = parse(multipart(b"related", html, image)).mail
    assert mail.body == '<img src="cid:one">'
    assert "external-body" in [loss.loss for loss in mail.losses]
