"""Raw fields read by the charsets that the message declares elsewhere."""

import pytest

from relay.message.parse import parse
from tests.support.at_once import at_once

HALFWIDTH = "ｶﾀｶﾅ"  # as Shift_JIS it is good Cyrillic, and good EUC-JP but for its luck


def read(subject: bytes, charset: str, *more: bytes):
    fields = [b"From: a@example.com", b"Subject: " + subject, *more]
    fields.append(b"Content-Type: text/plain; charset=" + charset.encode())
    return parse(b"\r\n".join(fields) + b"\r\n\r\nx\r\n").mail


@pytest.mark.parametrize(
    ("charset", "codec", "text"),
    [
        ("shift_jis", "cp932", HALFWIDTH),
        ("iso-2022-jp", "cp932", HALFWIDTH),
        ("euc-kr", "cp949", "똠방각하"),
        ("gb2312", "gb18030", "朱镕基"),
        ("big5", "big5", "報價單"),
        ("koi8-r", "koi8-r", "Счёт"),
        ("windows-1256", "cp1256", "عرض"),
        ("iso-8859-2", "iso-8859-2", "Žluť"),
    ],
)
def test_the_texts_charset_is_the_subjects(charset, codec, text):
    assert read(text.encode(codec), charset).subject == text


@pytest.mark.parametrize("charset", ["utf-8", "us-ascii", "iso-8859-1", "x-nonsense"])
def test_a_charset_that_says_nothing_leaves_the_guess(charset):
    assert read("見積書の件".encode("cp932"), charset).subject == "見積書の件"


TEXTS = {
    "cp932": ("トナーの残りが少なくなりました。", ["見積書", "異常", "請求書の件"]),
    "euc-jp": ("トナーの残りが少なくなりました。", ["見積書", "異常", "障害発生"]),
    "cp949": ("주문하신 상품이 발송되었습니다.", ["견적서", "알림", "주문 확인"]),
    "gb18030": ("您的订单已经发货，请注意查收。", ["报价单", "订单"]),
    "big5": ("您的訂單已經出貨，請注意查收。", ["報價單", "訂單", "會議通知"]),
    "cp1251": ("Ваш заказ отправлен. Спасибо.", ["Счёт", "Ошибка"]),
    "koi8-r": ("Ваш заказ отправлен. Спасибо.", ["Счёт", "Ошибка"]),
    "cp1253": ("Καλημέρα σας, η παραγγελία σας εστάλη.", ["Σφάλμα"]),
    "iso8859-2": ("Dzień dobry, zamówienie zostało wysłane.", ["Błąd drukarki"]),
}


@at_once
@pytest.mark.parametrize("codec", TEXTS)
@pytest.mark.parametrize("place", ["text", "html", "another field"])
def test_what_declares_nothing_is_of_one_charset_as_a_whole(codec, place):
    """A device or script that knows no charsets: its text shows what its few words are, which are too few."""
    text, subjects = TEXTS[codec]
    for subject in subjects:
        kind, body, sender = "text/plain", text, ""
        if place != "text":
            kind, body, sender = ("text/html", f"<p>{text}</p>", "") if place == "html" else (kind, "x", text)
        for cut in (0, 1):
            raw = subject.encode(codec)
            raw = raw[: len(raw) - cut]
            fields = b"From: " + sender.encode(codec) + b" <a@example.com>\r\nSubject: " + raw
            content = fields + b"\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + body.encode(codec)
            assert parse(content).mail.subject.rstrip("\ufffd") == subject[: len(subject) - cut]


LANGUAGES = [
    ("ja", "euc-jp", "障害"),
    ("ja-JP", "cp932", "異常"),
    ("ko", "cp949", "알림"),
    ("ko-KR, en", "cp949", "견적"),
]
LANGUAGES += [
    ("zh-CN", "gb18030", "订单"),
    ("zh", "gb18030", "错误"),
    ("zh-TW", "big5", "訂單"),
    ("zh-Hant-HK", "big5", "通知"),
]


@at_once
@pytest.mark.parametrize(("language", "codec", "text"), LANGUAGES)
def test_the_declared_language_comes_before_a_guess(language, codec, text):
    """Two characters are too few to guess by."""
    raw, field = text.encode(codec), b"Content-Language: " + language.encode()
    plain = parse(b"Subject: " + raw + b"\r\n" + field + b"\r\nContent-Type: text/plain\r\n\r\n" + raw).mail
    assert (plain.subject, plain.body) == (text, text)
    page = b'<html dir="ltr" lang="%s"><body>%s</body></html>' % (language.partition(",")[0].encode(), raw)
    html = parse(b"Subject: " + raw + b"\r\nContent-Type: text/html\r\n\r\n" + page).mail
    assert (html.subject, f"<body>{text}<" in html.body) == (text, True)
    assert parse(b"Subject: Gr\xf6\xdfe\r\nContent-Language: de\r\n\r\nx").mail.subject == "Größe"


def test_utf_8_needs_no_hint():
    assert read("見積書".encode(), "shift_jis").subject == "見積書"


def test_fields_beyond_the_first_hundreds_are_still_read():
    """Each costs a guess; a message of nothing else must not take minutes."""
    cc = [b"Cc: " + "عرض".encode("cp1256") + b" <a%d@example.com>" % number for number in range(300)]
    mail = read(b"x", "windows-1256", *cc)
    assert len(mail.cc) == 300
    assert mail.cc[0].display_name == "عرض"
