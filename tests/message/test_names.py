"""Names of files, as senders cut and spell them."""

import pytest

from relay.message.parameters import read_structured


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
