"""Multiparts that are not as RFC 2046 §5.1.1 wants them."""

import pytest

from relay.message.parse import parse
from tests.support.at_once import at_once

MIXED = b"Content-Type: multipart/mixed; boundary=B\r\n\r\n"
TEXT = b"\r\n\r\nhi"
INNER = b"\r\nContent-Type: multipart/alternative; boundary=I\r\n\r\n"
PDF = b"\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\n%PDF-1.4"


def lines(*octets: bytes) -> bytes:
    return b"\r\n".join(octets) + b"\r\n"


def damages(content: bytes) -> list[str]:
    return [loss.detail for loss in parse(content).mail.losses if loss.loss == "damaged"]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (lines(b"--B" + TEXT, b"--B--", b"--B" + PDF, b"--B--"), "multipart/mixed goes on behind its end"),
        (
            lines(b"--B" + TEXT, b"--B--", b"", b"--B--", b"note", b"--B" + PDF, b"--B--", b"end"),
            "multipart/mixed goes on behind its end",
        ),
        (
            lines(b"--B" + INNER, b"--I" + TEXT, b"--I--", b"--I" + PDF, b"--I--", b"--B--"),
            "multipart/alternative goes on behind its end",
        ),
    ],
    ids=["at once", "after an epilogue", "an inner one"],
)
def test_a_part_behind_an_early_end_is_carried(body, detail):
    """Programs that put parts together add one behind the close-delimiter: a scan must not vanish for it, nor
    may it be kept quiet that other programs do not show it.
    """
    mail = parse(MIXED + body).mail
    assert mail.body.strip() == "hi"
    assert [(one.filename, one.size) for one in mail.attachments] == [("a.pdf", 8)]
    assert damages(MIXED + body) == [detail]


def test_an_end_belongs_to_the_innermost_multipart_of_its_boundary():
    """Programs that use one boundary for all multiparts nest them all the same; that is no early end."""
    inner = b"\r\nContent-Type: multipart/alternative; boundary=B\r\n\r\n"
    body = lines(b"--B" + inner, b"--B" + TEXT, b"--B--", b"--B" + PDF, b"--B--", b"epilogue")
    mail = parse(MIXED + body).mail
    assert (mail.body.strip(), [one.size for one in mail.attachments]) == ("hi", [8])
    assert damages(MIXED + body) == []


def test_a_boundary_of_an_earlier_part_means_nothing_in_a_later_one():
    """A forwarded message may be of the same program, which gives all its multiparts the same names."""
    forwarded = b"\r\nContent-Type: message/rfc822\r\n\r\n" + INNER + lines(b"--I" + TEXT, b"--I--")
    body = lines(b"--B" + INNER, b"--I" + TEXT, b"--I--", b"--B" + forwarded, b"--B--")
    (original,) = parse(MIXED + body).mail.attachments
    assert original.size == len(forwarded.partition(b"\r\n\r\n")[2])
    assert damages(MIXED + body) == []


@pytest.mark.parametrize(("preamble", "body"), [(b"Only text\r\n", "Only text"), (b"", "")])
def test_a_multipart_without_parts_shows_what_it_has(preamble, body):
    """It has to have one at least; what stands in its place is all that there is to see."""
    content = MIXED + preamble + b"--B--\r\nepilogue\r\n--B--\r\n"
    assert parse(content).mail.body == body
    assert damages(content) == ["a multipart without any part"]


LOST = [
    *(
        b"From: a@example.com",
        b"MIME-Version: 1.0",
        b"Content-Type: multipart/mixed; boundary=----b1",
        b"",
        b"------b1",
    ),
    *(b"Content-Type: text/plain; charset=utf-8", b"", b"Hello", b"------b1"),
    *(
        b"Content-Type: application/pdf; name=a.pdf",
        b"Content-Transfer-Encoding: base64",
        b"",
        b"JVBERi0xLjQK",
    ),
    b"------b1--",
]


@pytest.mark.parametrize("broken", [b"------b", b" ------b1", b"------b1x", b"---", b""])
def test_a_part_before_the_first_delimiter_is_read(broken):
    """Its own is broken; it was taken for a preamble, which nobody is shown, and no loss said so."""
    mail = parse(b"\r\n".join([*LOST[:4], broken, *LOST[5:]])).mail
    assert (mail.body, [one.filename for one in mail.attachments]) == ("Hello", ["a.pdf"])
    assert "damaged" in [loss.loss for loss in mail.losses]


def test_a_preamble_about_parts_is_none():
    """RFC 2046 §5.1.1; without a text behind them, fields are no part."""
    mail = parse(b"\r\n".join([*LOST[:4], b"A message in MIME format.", b"Content-Type: x", *LOST[4:]])).mail
    assert (mail.body, "damaged" in [loss.loss for loss in mail.losses]) == ("Hello", False)


@pytest.mark.parametrize("version", [[], [LOST[1]]])
@pytest.mark.parametrize(
    ("second", "shown"), [(b"text/html", "<b>Hello</b>"), (b"text/csv; name=a.csv", "Hello")]
)
def test_a_multipart_that_does_not_say_that_it_is_one(second, shown, version):
    """Its Content-Type is lost or folded into the subject: recipients got the raw parts as the text."""
    parts = [*LOST[4:9], b"Content-Type: " + second, b"", b"<b>Hello</b>", LOST[-1]]
    for preamble in ([], [b"This is a multi-part message in MIME format.", b""]):
        mail = parse(b"\r\n".join([LOST[0], *version, b"", *preamble, *parts])).mail
        assert mail.body == shown
    assert "damaged" in [loss.loss for loss in mail.losses]
    text = b"\r\n".join([LOST[0], b"", *parts[:-1]])
    assert parse(text).mail.body.startswith("------b1")  # who writes about it does not end it


def test_a_line_before_the_fields_of_a_part():
    """A gateway's; the file's fields were the text of a part without any."""
    mail = parse(b"\r\n".join([*LOST[:9], b"[EXTERNAL]", *LOST[9:]])).mail
    assert (mail.body, [one.filename for one in mail.attachments]) == ("Hello", ["a.pdf"])
    assert "damaged" in [loss.loss for loss in mail.losses]
    mail = parse(b"\r\n".join([*LOST[:5], b"A text without fields", b"- one", *LOST[8:]])).mail
    assert mail.body == "A text without fields\n- one"


@pytest.mark.parametrize("broken", [b"------b", b" ------b1", b"> ------b1", b"-----b1"])
def test_a_part_that_stands_in_the_text_before_it_is_named(broken):
    """Its delimiter is broken: the file was letters of the text, and no loss said so."""
    mail = parse(b"\r\n".join([*LOST[:8], broken, *LOST[9:]])).mail
    assert ("damaged" in [loss.loss for loss in mail.losses], mail.attachments) == (True, ())
    inner = [b"Content-Type: multipart/related; boundary=----b1", b"", *LOST[4:8], broken, *LOST[9:]]
    nested = [LOST[0], b"Content-Type: multipart/mixed; boundary=o", b"", b"--o", *inner, b"--o--"]
    assert "damaged" in [loss.loss for loss in parse(b"\r\n".join(nested)).mail.losses]
    written = [*LOST[:8], b"--other", *LOST[9:13], *LOST[8:]]
    assert "damaged" not in [loss.loss for loss in parse(b"\r\n".join(written)).mail.losses]


@pytest.mark.parametrize("broken", [b"------b", b" ------b1", b"---", b""])
def test_a_part_behind_the_end_of_a_multipart_is_read(broken):
    """Most mail has its files behind the two renderings of its text: they were an epilogue, and were gone."""
    inner = [b"Content-Type: multipart/alternative; boundary=i", b"", b"--i", *LOST[5:8], b"--i--"]
    mail = parse(b"\r\n".join([*LOST[:5], *inner, broken, *LOST[9:]])).mail
    assert (mail.body, [one.filename for one in mail.attachments]) == ("Hello", ["a.pdf"])
    assert "damaged" in [loss.loss for loss in mail.losses]
    mail = parse(b"\r\n".join([*LOST[:5], *inner, b"An epilogue.", *LOST[8:]])).mail
    assert "damaged" not in [loss.loss for loss in mail.losses]


RELATED = [
    *(b"From: a@example.com", b"MIME-Version: 1.0", b"Subject: scan"),
    *(b'Content-Type: multipart/mixed; boundary="--=_m1"', b"", b"----=_m1"),
    *(b'Content-Type: multipart/related; boundary="--=_r2"', b"", b"----=_r2"),
    *(b"Content-Type: text/html", b"Content-Transfer-Encoding: 8bit", b"", b"<p>Hello</p>", b"----=_r2"),
    *(b'Content-Type: image/png; name="one.png"', b"Content-ID: <one>"),
    *(b"Content-Transfer-Encoding: base64", b"", b"iVBORw0KGgoAAQID", b"----=_r2--", b"----=_m1"),
    *(
        b"Content-Type: application/json; name=a.json",
        b"",
        b"{}",
        b"----=_m1",
        b"Content-Type: message/rfc822",
    ),
    *(b'Content-Disposition: attachment; filename="f.eml"', b"", b"Subject: inner", b"", b"text"),
    *(b"----=_m1", b"Content-Type: application/pdf;", b'\tname="a.pdf"'),
    *(b"Content-Transfer-Encoding: base64", b"", b"JVBERi0xLjQK", b"----=_m1--", b""),
]
MUTATIONS = {
    "blank": lambda line, behind: [b"", line, behind],
    "junk": lambda line, behind: [b"inserted by a gateway", line, behind],
    "white": lambda line, behind: [b" ", line, behind],
    "split": lambda line, behind: [line[: len(line) // 2], line[len(line) // 2 :], behind],
    "wrap": lambda line, behind: [*line.rsplit(b" ", 1), behind],
    "no end": lambda line, behind: [line[:-3], behind],
    "no beginning": lambda line, behind: [line[3:], behind],
    "indent": lambda line, behind: [b" " + line, behind],
    "quote": lambda line, behind: [b"> " + line, behind],
    "join": lambda line, behind: [line + behind],
    "swap": lambda line, behind: [behind, line],
    "gone": lambda _line, behind: [behind],
    "twice": lambda line, behind: [line, line, behind],
}
# Nothing is to be seen of it: a line is gone as a whole, or the text and its octets are others.
UNSEEN = {
    "no end": [2, 21],  # the subject; a name without quotes
    "no beginning": [2, 33],
    "gone": [2, 12, 14, 21, 26, 33],
    "split": [12],
    "twice": [18, 36],  # Base64
    "swap": [26],  # a message within may begin so
}


def find_missing(content):
    """What of the whole message neither arrives nor is named."""
    mail = parse(content).mail
    if any(loss.loss in {"damaged", "attachment-name", "empty-attachment"} for loss in mail.losses):
        return set()
    found = {one.filename for one in mail.attachments} | {one.size for one in mail.attachments}
    found |= {mail.subject} | ({"Hello"} if "Hello" in mail.body else set())
    return {"scan", "Hello", "one.png", "a.json", "f.eml", "a.pdf", 12, 9} - found


@at_once
@pytest.mark.parametrize("kind", MUTATIONS)
@pytest.mark.parametrize("number", range(len(RELATED) - 1))
def test_a_broken_line_loses_nothing_in_silence(number, kind):
    """Files were letters of a text or of another file, encodings and subjects ends of other fields."""
    line, behind = RELATED[number : number + 2]
    lines = [*RELATED[:number], *MUTATIONS[kind](line, behind), *RELATED[number + 2 :]]
    missing = find_missing(b"\r\n".join(lines))
    assert bool(missing) is (number in UNSEEN.get(kind, []))


STATUS = [
    b"Reporting-MTA: dns; a.example",
    b"Content-Type: text/plain; charset=us-ascii",
    b"Content-Transfer-Encoding: 7bit",
    b"",
    b"Action: failed",
]
INTRODUCED = [b"This is what it sends:", b"Subject: x", *LOST[9:12]]


@at_once
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (b"message/delivery-status", STATUS),  # some programs make messages of its fields
        (b"text/plain", INTRODUCED),
        (b"text/plain", INTRODUCED[:-1]),
        (b"text/plain", [b"This is what it sends:", b"--x", *LOST[9:12]]),
        (b"text/plain", [b"Content-Type says what it is.", b"", b"x"]),
        (b"message/rfc822", [*LOST[9:12], b"JVBERi0xLjQK"]),
        (b"application/json", [b"{}"]),
        (b"text/plain; name=a.eml", [LOST[5], LOST[1], b"", b"x"]),
        (b"application/octet-stream; name=a.eml", [LOST[2], b"Subject: x", b"", b"x"]),
    ],
)
def test_a_part_about_fields_is_whole(text, kind):
    mail = parse(b"\r\n".join([*LOST[:9], b"Content-Type: " + kind, b"", *text, LOST[-1]])).mail
    assert "damaged" not in [loss.loss for loss in mail.losses]


@at_once
@pytest.mark.parametrize(
    "field",
    [
        b"From: =?utf-8?Q?Subject:_a?= <a@example.com>",
        b"From: A Subject: B <a@example.com>",
        b"To: Subject: b@example.com, c@example.com;",
        b"To: =?utf-8?Q?Re:_Subject:_a?= <b@example.com>",
        b"Content-Type: application/pdf; name=Re Subject: a.pdf",
        b"Content-Disposition: attachment; filename=subject: a.pdf",
        b"Content-Type: application/pdf; name==?utf-8?Q?Content-Type:_a?=.pdf",
    ],
)
def test_the_name_of_a_field_within_a_name_begins_no_field(field):
    """They lost the From's address, the recipients or a file's name, as if a line end had gone."""
    own = [b"From: a@example.com", b"Content-Type: application/pdf", b"Subject: scan"]
    own = [field, *(one for one in own if one.split(b":")[0] != field.split(b":")[0])]
    mail = parse(b"\r\n".join([*own, b"", b"hi", b""])).mail
    assert "damaged" not in [loss.loss for loss in mail.losses]
    assert (mail.originator.addr_spec, mail.subject) == ("a@example.com", "scan")


@at_once
@pytest.mark.parametrize("begun", [b"From: a@example.com", b"From: A <a@example.com>", b"Date: Mon, 3 Mar"])
def test_a_field_goes_on_the_line_of_the_one_before(begun):
    mail = parse(b"\r\n".join([b"From: a@example.com", begun + b"Subject: scan", b"", b"hi", b""])).mail
    assert mail.subject == "scan"
    assert "damaged" in [loss.loss for loss in mail.losses]
