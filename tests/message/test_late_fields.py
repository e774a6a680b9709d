"""An empty line too early: fields of MIME stand in the text, and are read where the text bears them out."""

import itertools

import pytest

from relay.message import originators
from relay.message.parse import parse
from tests.support.at_once import at_once

OWN = ["From: a@example.com", "To: b@example.com", "Subject: scan"]
MIXED = [
    "Content-Type: multipart/mixed; boundary=b",
    "",
    "--b",
    "Content-Type: text/plain",
    "",
    "hi",
    "--b",
    "Content-Type: application/pdf; name=a.pdf",
    "Content-Transfer-Encoding: base64",
    "",
    "JVBERi0xLjQK",
    "--b--",
]
HTML = ["Content-Type: text/html; charset=utf-8", "", "<p>hi</p>"]
HTML_QP = [
    "Content-Type: text/html; charset=utf-8",
    "Content-Transfer-Encoding: quoted-printable",
    "",
    "<p class=3D'x'>hi</p>",
]
HTML_TEXT = ["Content-Type: text/html; charset=utf-8", "", "hi <b>Taro</b>,<br>", "your order"]
CALENDAR = [
    "Content-Type: text/calendar; method=REQUEST",
    "",
    "BEGIN:VCALENDAR",
    "SUMMARY:hi",
    "END:VCALENDAR",
]
TEXT = [
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: base64",
    "",
    "aGkgdGhlcmUsIGhvdyBhcmUgeW91",
]


def read(lines):
    return parse("\r\n".join([*lines, ""]).encode()).mail


def damages(mail) -> list[str]:
    return [loss.detail for loss in mail.losses if loss.loss == "damaged"]


@at_once
@pytest.mark.parametrize("blanks", [1, 2, 3])
@pytest.mark.parametrize("above", [[], ["MIME-Version: 1.0"]])
@pytest.mark.parametrize("below", [[], ["MIME-Version: 1.0"], ["X-Mailer: x", "MIME-Version: 1.0"]])
@pytest.mark.parametrize("mime", [MIXED, HTML, HTML_QP, TEXT], ids=["mixed", "html", "qp", "base64"])
def test_what_the_text_bears_out_is_read(mime, below, above, blanks):
    """The recipients got raw MIME with its Base64 as text, and no loss was named."""
    mail = read([*OWN, *above, *[""] * blanks, *below, *mime])
    assert "hi" in mail.body
    assert not mail.body.startswith("\n")
    assert "Content-" not in mail.body
    assert len(mail.attachments) == (mime is MIXED)
    assert damages(mail)


@pytest.mark.parametrize("mime", [MIXED, HTML, HTML_QP, TEXT], ids=["mixed", "html", "qp", "base64"])
def test_an_empty_line_behind_each_field(mime):
    fields = [*OWN, "MIME-Version: 1.0", *itertools.takewhile(bool, mime)]
    doubled = [line for field in fields for line in (field, "")]
    mail = read([*doubled, *mime[mime.index("") :]])
    assert (mail.subject, [one.addr_spec for one in mail.to]) == ("scan", ["b@example.com"])
    assert "hi" in mail.body
    assert "Content-" not in mail.body
    assert damages(mail)


@pytest.mark.parametrize(
    "text",
    [
        ["MIME-Version: 1.0", "Content-Type: text/html", "", "is what my script prints. Why?"],
        ["Content-Type: text/html", "", "Why?"],
        ["Content-Type: multipart/mixed; boundary=b", "", "is what it says, and then nothing."],
        ["Content-Transfer-Encoding: base64", "", "does not work with my printer"],
        ["Subject: another", "To: x@example.com", "", "was in the log"],
        ["Note: this", "", "<p>"],
        ["Server: nginx", "Content-Type: text/html", "", "<p>"],
        ["Content-Type: text/html", "", "Why is a <br> shown?"],
        ["Content-Type: text/plain; charset=utf-8", "Note: =E3=81=82", "", "what is this?"],
    ],
)
def test_a_text_about_fields_stays(text):
    mail = read([*OWN, "", *text])
    assert mail.body.splitlines() == text
    assert damages(mail) == []


@pytest.mark.parametrize("mime", [HTML_TEXT, CALENDAR], ids=["html", "calendar"])
def test_html_that_begins_with_words_and_a_calendar(mime):
    mail = read([*OWN, "", *mime])
    assert "Content-" not in mail.body
    assert (mail.content_type, len(mail.attachments)) == (("html", 0) if mime is HTML_TEXT else ("text", 1))
    assert damages(mail)


@at_once
@pytest.mark.parametrize(
    "first",
    [["Importance: high", "X-Priority: 1"], ["Reply-To: r@example.com"], ["Date: today", "Thread-Index: x"]],
)
@pytest.mark.parametrize(
    "own", [[], ["MIME-Version: 1.0"], ["MIME-Version: 1.0", "Content-Transfer-Encoding: 8bit"]]
)
def test_a_boundary_bears_out_whatever_stands_before_it(own, first):
    mail = read([*OWN, *own, "", *first, "MIME-Version: 1.0", *MIXED])
    assert (mail.subject, mail.body, len(mail.attachments)) == ("scan", "hi", 1)
    assert damages(mail)


@at_once
@pytest.mark.parametrize("own", ["text/plain", "text/plain; charset=us-ascii", "text/html; charset=utf-8"])
@pytest.mark.parametrize("version", [[], ["MIME-Version: 1.0"]])
def test_a_type_that_a_library_put_first(own, version):
    """PHP programs add MIME to the text, where their mail() has declared it already."""
    mail = read([*OWN, f"Content-Type: {own}", "", *version, *MIXED])
    assert (mail.body, len(mail.attachments)) == ("hi", 1)
    assert damages(mail)
    shown = ["Received: from a", "MIME-Version: 1.0", *MIXED]
    assert read([*OWN, f"Content-Type: {own}", "", *shown]).body.splitlines() == shown


@at_once
@pytest.mark.parametrize("where", ["message", "part"])
def test_quoted_printable_behind_a_text_with_a_type(where):
    text = ["Content-Type: text/plain; charset=utf-8", "", "Content-Transfer-Encoding: quoted-printable", ""]
    text += ["=E3=81=82=E3=81=84"]
    mail = read([*OWN, *text] if where == "message" else [*OWN, MIXED[0], "", "--b", *text, "--b--"])
    assert mail.body.strip() == "あい"
    assert damages(mail)


def test_a_part_of_text_whose_disposition_stands_behind_an_empty_line():
    part = [
        "Content-Type: text/csv; name=a.csv",
        "",
        "Content-Disposition: attachment; filename=a.csv",
        "",
        "a,b",
    ]
    (file,) = read([*OWN, MIXED[0], "", *MIXED[2:6], "--b", *part, "--b--"]).attachments
    assert (file.filename, file.size) == ("a.csv", 3)


@at_once
@pytest.mark.parametrize("blanks", [1, 2])
@pytest.mark.parametrize("where", ["message", "part", "part's field by field"])
def test_an_empty_line_before_a_fold(where, blanks):
    """Programs put an empty line behind every line; a name or a boundary then stood in the text."""
    gap = [""] * blanks
    if where == "message":
        fields = [
            "From: a@example.com",
            "To: b@example.com",
            "Subject: scan",
            "Content-Type: multipart/mixed;",
        ]
        lines = [one for field in [*fields, "\tboundary=b"] for one in (field, *gap)]
        mail = read([*lines, *MIXED[1:]])
    else:
        part = ["Content-Type: application/pdf;", *gap, '\tname="a.pdf"', *(gap if where != "part" else [])]
        part += ["Content-Transfer-Encoding: base64", "", "JVBERi0xLjQK"]
        mail = read([*OWN, MIXED[0], "", *MIXED[2:6], "--b", *part, "--b--"])
    (file,) = mail.attachments
    assert (mail.body, file.filename, file.size) == ("hi", "a.pdf", 9)
    assert damages(mail)


def test_a_text_of_assignments_is_no_fold():
    for line in ('  x = "1";', '  title="a"'):
        assert read([*OWN, "Content-Type: text/plain;", "", line]).body == line + "\n"
    folds = '  name="a";\r\n\r\n' * 20_000
    assert parse(f"Content-Type: text/plain;\r\n\r\n{folds}x".encode()).mail.body


def test_what_looks_like_fields_and_is_not_borne_out_is_named():
    fields = [
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
    ]
    mail = read([*OWN, "", *fields, "", "hi"])
    assert "hi" in mail.body
    assert damages(mail)


def test_a_late_from_is_nobodys():
    """Whoever may send is held to the From that the listener looks up."""
    lines = [OWN[1], "", "From: ceo@example.com", "", *HTML]
    content = "\r\n".join(lines).encode()
    assert originators(content) == ()
    assert parse(content).mail.originator is None


@pytest.mark.parametrize("kind", ["message/rfc822", 'message/partial; id="x"; number=1; total=2'])
@pytest.mark.parametrize("mime", [MIXED, TEXT], ids=["mixed", "base64"])
def test_a_message_within_begins_with_fields_of_its_own(mime, kind):
    """They were taken for those of the part: the forwarded mail and the fragment were gone."""
    inner = ["MIME-Version: 1.0", *mime]
    parts = [
        "Content-Type: multipart/mixed; boundary=o",
        "",
        "--o",
        f"Content-Type: {kind}",
        "",
        *inner,
        "--o--",
    ]
    for lines in (parts, [f"Content-Type: {kind}", "", *inner]):
        mail = read([*OWN, *lines])
        assert [one.filename for one in mail.attachments] == ["message.eml"]
        assert (mail.body, damages(mail)) == ("", [])
    digest = ["Content-Type: multipart/digest; boundary=o", "", "--o", "", *inner, "--o--"]
    assert [one.media_type for one in read([*OWN, *digest]).attachments] == ["message/rfc822"]


@pytest.mark.parametrize("blanks", [1, 2])
def test_a_part_whose_fields_stand_behind_an_empty_line(blanks):
    part = [
        "Content-Type: application/pdf; name=a.pdf",
        "Content-Transfer-Encoding: base64",
        "",
        "JVBERi0xLjQK",
    ]
    for own, late in (
        (0, part),
        (1, part),
        (2, ["Content-Disposition: attachment; filename=a.pdf", *part[2:]]),
    ):
        kept = part[:own] if own < 2 else [part[0].partition(";")[0], part[1]]
        rest = late[own:] if own < 2 else late
        mail = read([*OWN, MIXED[0], "", *MIXED[2:6], "--b", *kept, *[""] * blanks, *rest, "--b--"])
        (file,) = mail.attachments
        assert (file.filename, file.size) == ("a.pdf", 9)
        assert damages(mail)


PART = ["Content-Type: application/pdf; name=a.pdf", "Content-Transfer-Encoding: base64"]


@pytest.mark.parametrize(("field", "cut"), [(0, 7), (0, 10), (1, 3), (1, 14), (1, 20), (1, 26)])
def test_a_field_of_mime_that_a_line_end_cuts_in_two(field, cut):
    """Within its name, or before its value: the file was undecoded Base64, or a text, and nothing said so."""
    part = [*PART]
    part[field : field + 1] = [part[field][:cut], part[field][cut:].lstrip()]
    mail = read([*OWN, MIXED[0], "", *MIXED[2:6], "--b", *part, "", "JVBERi0xLjQK", "--b--"])
    (file,) = mail.attachments
    assert (file.filename, file.size) == ("a.pdf", 9)
    assert mail.body == "hi"
    assert damages(mail)


@at_once
@pytest.mark.parametrize(
    ("before", "is_header"),
    [
        ("inserted by a gateway", True),
        ("> Received: from a", True),
        ("Hello,", True),
        ("Hello,\r\n", False),  # behind an empty line it is what somebody shows
    ],
)
def test_a_line_before_the_header(before, is_header):
    """All of the message was a text, its files and subject with it, and no loss was named."""
    mail = read([before, *OWN[1:], "MIME-Version: 1.0", *MIXED])
    found = (mail.subject, mail.body, len(mail.attachments), bool(damages(mail)))
    assert (found == ("scan", "hi", 1, True)) is is_header
    assert read(["Hello,", *OWN[1:], "", "is my header"]).body.startswith("Hello,")


@at_once
@pytest.mark.parametrize("space", [" ", "\t", ""])
@pytest.mark.parametrize("field", PART)
def test_a_field_that_goes_on_with_another(field, space):
    """Its line end went, or white space came: the file had no name, or its encoding was not known."""
    both = ["Content-Disposition: attachment" + (f"\r\n{space}" if space else "") + field]
    part = [*both, *(one for one in PART if one != field)]
    (file,) = read([*OWN, MIXED[0], "", *MIXED[2:6], "--b", *part, "", "JVBERi0xLjQK", "--b--"]).attachments
    assert (file.filename, file.size) == ("a.pdf", 9)
    text = 'Content-Type: text/plain; charset=utf-8\r\n X: "Content-Transfer-Encoding: base64"'
    assert read([*OWN, text, "", "aGkgdGhlcmUs"]).body == "aGkgdGhlcmUs\n"
