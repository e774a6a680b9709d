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


@pytest.mark.parametrize(
    "field",
    [
        b"attachment; filename*=UTF-8''%E8%A6%8B%E7%A9%8D%E6%9B",
        b"attachment; filename*=UTF-8''%E8%A6%8B%E7%A9%8D%E",
        b"attachment; filename*=UTF-8''%E8%A6%8B%E7%A9%8D%",
        b"attachment; filename*0*=UTF-8''%E8%A6%8B; filename*1*=%E7%A9%8D%E6%9",
        b"attachment; filename*=Shift_JIS''%8C%A9%90%CF%8",
        b"attachment; filename*=ISO-2022-JP''%1B%24B8+%40Q%3D",
        'attachment; filename="見積書"'.encode()[:-2] + b'"',
        'attachment; filename="見積書'.encode()[:-1],
    ],
)
def test_a_name_cut_within_an_escape_or_a_character(field):
    """Devices cut names by octets: nobody could open a file without its extension."""
    fields = b"Content-Type: application/pdf\r\nContent-Disposition: " + field
    mail = parse(fields + b"\r\n\r\nx").mail
    assert [one.filename for one in mail.attachments] == ["見積.pdf"]
    assert "attachment-name" in [loss.loss for loss in mail.losses]


@pytest.mark.parametrize("codec", ["cp932", "euc-jp", "cp949", "gb18030", "big5", "utf-8"])
def test_a_raw_name_that_is_cut_before_its_extension(codec):
    """The octet that is left over made the text's charset one that the name could not be of."""
    text = {"cp949": "교체용카트리지", "gb18030": "请准备墨盒", "big5": "請準備碳粉"}.get(
        codec, "交換用カート"
    )
    octets = text.encode(codec)[:-1]
    label = {"cp932": "shift_jis", "cp949": "euc-kr", "gb18030": "gb2312"}.get(codec, codec)
    mail = parse(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset="
        + label.encode()
        + b"\r\n\r\nx\r\n--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename="
        + b'"%s.pdf"\r\n\r\nx\r\n--b--\r\n' % octets
    ).mail
    assert [one.filename for one in mail.attachments] == [text[:-1] + "\ufffd.pdf"]
    assert "attachment-name" in [loss.loss for loss in mail.losses]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("'a.pdf'", "a.pdf"),
        ("'見積 書.pdf'", "見積 書.pdf"),
        ("'a.pdf", "'a.pdf"),
        ("it's 'x'.pdf", "it's 'x'.pdf"),
    ],
)
def test_apostrophes_around_a_name(given, name):
    fields = f"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename={given}"
    assert parse(fields.encode() + b"\r\n\r\nx").mail.attachments[0].filename == name


@pytest.mark.parametrize(
    "spelled",
    [
        "(x) base64",
        "base64 (MIME)",
        "BASE64",
        '"base64"',
        "base64;",
        "x-base64",
        "7bit\r\nContent-Transfer-Encoding: base64",
    ],
)
def test_a_transfer_encoding_as_it_is_spelled(spelled):
    assert parse(f"Content-Transfer-Encoding: {spelled}\r\n\r\n5pel5pys\r\n".encode()).mail.body == "日本"
