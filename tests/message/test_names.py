"""Names of files, as senders cut and spell them."""

import pytest

from relay.message.parameters import read_structured
from relay.message.parse import parse


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"attachment; filename*0*=UTF-8''%E8%A6%8; filename*1*=B%E7%A9%8D.pdf", "見積.pdf"),
        (b"attachment; filename*0*=UTF-8''%E8%A6%8B; filename*1=100%41.pdf", "見100%41.pdf"),
        (b'attachment; filename*0="100%41"; filename*1=".pdf"', "100%41.pdf"),
    ],
)
def test_sections_are_unquoted_when_all_are_together(field, expected):
    """Senders that cut every so many characters cut escapes in two; what is not extended has none
    (RFC 2231 §4.1).
    """
    assert read_structured(field).parameters["filename"] == expected


@pytest.mark.parametrize("content_type", [b"excel", b"csv;", b'"application"/csv;', b"CSV file;"])
def test_a_name_under_a_type_that_means_nothing_is_a_file(content_type):
    """RFC 2045 §5.2 would make it a text; to mail programs, what has a name and a type of somebody's own is a
    file.
    """
    message = (
        b"Content-Type: "
        + content_type
        + b'; name="stock.csv"\r\nContent-Transfer-Encoding: base64\r\n\r\nYSxiCjEsMgo='
    )
    mail = parse(message).mail
    assert (mail.body, [one.filename for one in mail.attachments]) == ("", ["stock.csv"])
