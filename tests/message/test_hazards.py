"""What the golden messages must come to, said apart from the golden files, which `--bless` rewrites.

Each row is a thing that mail programs, libraries or devices do, and what a person expects of it.
"""

import json
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden"


def load(name: str) -> dict:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def files(name: str) -> list[tuple]:
    """File name, type and size of each attachment."""
    found = load(name)["request"].get("attachments", [])
    return [(one["filename"], one["fileType"], one["size"]) for one in found]


def losses(name: str) -> list[str]:
    return [loss[0] for loss in load(name)["losses"]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("name-rfc2231-iso-2022-jp-split", "日本.pdf"),
        ("name-rfc2047-quoted", "文書.pdf"),
        ("name-rfc2231-beside-plain", "文書.pdf"),
        ("name-rfc2231-plain-after", "文書.pdf"),
        ("name-raw-utf-8", "文書.pdf"),
        ("name-raw-cp932", "見積書表.pdf"),
        ("name-raw-euc-kr", "견적서.pdf"),
        ("name-raw-iso-2022-jp", "議事録.pdf"),
        ("name-path-windows", "a.pdf"),
        ("name-path-traversal", "passwd"),
        ("name-controls", "a_b_c.pdf"),
        ("name-encoded-crlf", "a B: c.pdf"),
        ("name-none", "attachment.pdf"),
        ("name-dots-only", "attachment.pdf"),
        ("name-spaces-unquoted", "my scan file.pdf"),
        ("name-unclosed-quote", "a b.pdf"),
        ("name-bidi", "afdp.exe"),
        ("ricoh-scan-japanese", "見積書.pdf"),
        ("fujifilm-scan-sjis-raw", "注文書.pdf"),
        ("naver", "보고서.hwp"),
        ("nodemailer", "テスト.pdf"),
        ("hint-text-part", "ｶﾀｶﾅ ﾃｽﾄ.pdf"),
        ("hint-text-part-iso-2022-jp", "ｶﾀｶﾅ ﾃｽﾄ.pdf"),
        ("hint-euc-jp-under-shift-jis", "文書スキャン.pdf"),
        ("hint-chinese", "㈠朱镕基.pdf"),
        ("hint-cp866", "Счёт.pdf"),
        ("hint-macintosh", "Größe für Müller.pdf"),
        ("hint-html-meta", "عرض سعر.pdf"),
        ("hint-same-part", "عرض سعر.pdf"),
        ("hint-latin-1-is-none", "見積書の件.pdf"),
        ("hint-utf-8-is-none", "見積書の件.pdf"),
        ("boundary-declared-with-hyphens", "a.pdf"),
        ("boundary-other-case", "a.pdf"),
        ("parameter-fold-without-blank", "a.pdf"),
        ("parameter-after-comma", "a.pdf"),
        ("parameter-after-blank", "x.pdf"),
        ("name-only-in-description", "report.pdf"),
        ("name-only-in-location", "report.pdf"),
        ("name-only-in-content-id", "attachment.pdf"),
        ("name-empty-beside-name", "n.pdf"),
        ("name-rfc2231-euc-kr-cut-in-character", "견적서첨부합니다.pdf"),
        ("name-rfc2231-shift-jis-language", "㈱資料ソ.pdf"),
        ("name-rfc2231-without-charset", "資.pdf"),
        ("name-rfc2231-from-one", "ab.pdf"),
        ("name-emoji", "카카오톡_📷😀.pdf"),
        ("name-decomposed-rfc2231", "カ\u3099イト\u3099.pdf"),
        ("name-backslash-within-shift-jis", "表示ソ.pdf"),
    ],
)
def test_file_name(name, expected):
    assert files(name)[0][0] == expected


def test_long_name_keeps_its_extension():
    name = files("name-too-long")[0][0]
    assert len(name) == 250
    assert name.endswith("長.pdf")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("charset-cp-850", "é\n"),
        ("charset-unknown-escaped", "日本語\n"),
        ("charset-iso-2022-jp-nec-ibm", "①㈱髙﨑\n"),
        ("charset-iso-2022-jp-halfwidth", "ｶﾀｶﾅ\n"),
        ("charset-iso-2022-jp-ms", "①\n"),
        ("charset-cp50220", "㈱\n"),
        ("charset-eucjp-ms", "漢字\n"),
        ("charset-euc-jp-nec", "①㈱ 漢字\n"),
        ("charset-shift-jis-is-cp932", "髙﨑①㈱～\n"),
        ("charset-x-sjis", "表示\n"),
        ("charset-euc-kr-is-cp949", "똠방각하 펲시\n"),
        ("charset-gb2312-is-gb18030", "镕囍中文\n"),
        ("charset-latin-1-is-cp1252", "“quotes” – €\n"),
        ("charset-utf8mb4", "😀\n"),
        ("charset-unicode-escape-never", "\\u0041\n"),
        ("charset-rot13-never", "plain text\n"),
        ("charset-idna-never", "日本語です\n"),
        ("charset-declared-utf-8-is-cp932", "会議の件についてお知らせします。\n"),
        ("charset-declared-shift-jis-is-utf-8", "日本語の件名です。\n"),
        ("charset-declared-euc-kr-is-utf-8", "안녕하세요 반갑습니다\n"),
        ("charset-declared-utf-8-is-iso-2022-jp", "日本語\n"),
        ("charset-utf-16-bom", "日本\n"),
        ("charset-iso-2022-kr", "한글\n"),
        ("charset-hz", "中文\n"),
        ("charset-utf-7", "日本語 +\n"),
    ],
)
def test_charset_of_a_body(name, expected):
    assert load(name)["request"]["body"] == expected


@pytest.mark.parametrize("name", ["charset-unknown", "charset-declared-utf-8-is-cp932", "subject-raw-cp932"])
def test_a_guess_is_named(name):
    assert "charset-guessed" in losses(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("subject-split-character", "あいう"),
        ("subject-split-quantum", "あい"),
        ("subject-raw-utf-8", "件名です"),
        ("subject-raw-cp932", "見積書の件"),
        ("subject-raw-euc-kr", "견적서 송부의 건"),
        ("subject-raw-iso-2022-jp", "会議の件"),
        ("subject-decodes-to-crlf", "a Bcc: evil@example.com"),
        ("subject-empty", "(no subject)"),
        ("subject-nec-row-13", "①㈱"),
        ("subject-folded", "first second third"),
        ("subject-long", "あ" * 179),
    ],
)
def test_subject(name, expected):
    assert load(name)["request"]["subject"] == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("to-semicolons", "a@example.com; b@example.com; c@example.com"),
        ("to-group", "a@example.com; b@example.com; c@example.com"),
        ("to-empty-group", ""),
        ("to-comments", "a@example.com; b@example.com"),
        ("to-quoted-name", "a@example.com; b@example.com"),
        ("to-missing-bracket", "a@example.com; b@example.com"),
        ("to-no-brackets-with-name", "a@example.com"),
        ("to-route", "a@example.com"),
        ("to-encoded-whole", "a@example.com"),
        ("to-twice", "a@example.com"),
        ("to-docomo", "a..b.@docomo.example.com"),
    ],
)
def test_destination_fields(name, expected):
    assert load(name)["request"]["to"] == expected


@pytest.mark.parametrize(
    "name",
    [
        "html-inline-attachment-disposition",
        "html-inline-no-disposition",
        "html-inline-no-brackets",
        "html-inline-percent",
        "html-inline-other-case",
        "html-inline-in-mixed",
        "html-inline-location",
        "html-inline-css-url",
        "outlook-related",
        "gmail-inline",
        "lotus-notes",
        "docomo-decomail",
    ],
)
def test_what_the_html_refers_to_is_inline(name):
    request = load(name)["request"]
    image = request["attachments"][0]
    assert image["inline"] is True
    assert image["cid"].isalnum()
    assert f"cid:{image['cid']}" in request["body"]


@pytest.mark.parametrize(
    "name", ["html-unreferenced-image", "ruby-mail-pdf-cid", "s-nail-attachment", "perl-mime-lite"]
)
def test_what_nothing_refers_to_is_an_ordinary_file(name):
    (one,) = load(name)["request"]["attachments"]
    assert "inline" not in one
    assert "cid" not in one


def test_apple_sandwich_keeps_both_halves_and_the_file():
    request = load("apple-mail-sandwich")["request"]
    assert "one" in request["body"]
    assert "two" in request["body"]
    assert files("apple-mail-sandwich") == [("a.pdf", "application/pdf", 125)]


def test_format_flowed():
    body = load("thunderbird-flowed")["request"]["body"]
    assert body.startswith("This is one paragraph.\n")
    assert "> quoted text\n>> deeper\nFrom stuffed\n-- \nsignature" in body
    assert load("thunderbird-delsp")["request"]["body"] == "これはとても長い段落です。\n"


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("base64-padding-within", 2),
        ("base64-no-padding", 2),
        ("base64-junk", 6),
        ("base64-footer", 2),
        ("base64-one-character-lines", 3),
    ],
)
def test_base64_as_mail_programs_decode_it(name, size):
    assert files(name) == [("a.bin", "application/x", size)]


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("base64-empty", "empty-attachment"),
        ("copier-empty-file", "empty-attachment"),
        ("copier-cut-off", "damaged"),
        ("mutt-pgp-signed", "signature"),
        ("pgp-encrypted", "encryption"),
        ("smime-enveloped", "encryption"),
        ("smime-opaque", "signature"),
        ("external-body", "external-body"),
        ("partial", "partial"),
        ("apple-mail-appledouble", "resource-fork"),
        ("resent", "resent-fields"),
        ("threading", "threading"),
        ("nas-alert", "priority"),
        ("read-receipt", "receipt-request"),
        ("mailman-footer", "list-fields"),
        ("gmail-alternative", "text-alternative"),
        ("sharp-scan", "reply-to"),
        ("to-empty-group", "no-recipient"),
        ("subject-long", "subject-cut"),
        ("name-too-long", "attachment-name"),
    ],
)
def test_the_loss_is_named(name, loss):
    assert loss in losses(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("forward-base64-rfc822", ("message.eml", "message/rfc822", 42)),
        ("outlook-meeting", ("invite.ics", "text/calendar; method=REQUEST", 85)),
        ("smime-signed", ("smime.p7s", "application/pkcs7-signature", 2)),
        ("dsn", ("delivery-status.txt", "message/delivery-status", 66)),
        ("old-scanner-uuencode", ("scan.gif", "image/gif", 42)),
        ("old-scanner-uuencode-cut-off", ("scan.jpg", "image/jpeg", 222)),
        ("usenet-yenc", ("a.bin", "application/octet-stream", 5)),
        ("begin-base64", ("a.txt", "text/plain", 5)),
        ("panasonic-fax-text-plain-base64", ("FAX0001.pdf", "application/pdf", 125)),
        ("copier-without-type", ("scan.jpg", "image/jpeg", 222)),
        ("content-type-no-semicolon", ("a.pdf", "application/pdf", 125)),
        ("html-attachment-stays", ("report.html", "text/html", 82)),
    ],
)
def test_what_goes_along_as_a_file(name, expected):
    assert files(name)[0] == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("copier-without-header", "Toner is low\nPlease order black toner.\n"),
        ("copier-without-fields", "Counter: 12345\nToner: 20%\n"),
        ("copier-boundary-missing", "hi"),
        ("boundary-never-closed", "text\n"),
        ("multipart-encoded-as-a-whole", "text\n"),
        ("boundary-never-comes", "only text\n"),
        ("boundary-same-twice", "text\n"),
        ("multipart-empty", ""),
        ("html-only-empty-falls-back", "the text\n"),
        ("mixed-three-texts", "one\ntwo\nthree\n"),
        ("alternative-two-texts", "one\ntwo\n"),
        ("no-empty-line", "The body follows at once.\nAnd goes on.\n"),
        ("old-scanner-uuencode", "Image follows.\n\n\nEnd of message.\n"),
    ],
)
def test_body(name, expected):
    request = load(name)["request"]
    assert request["body"] == expected
    assert request["contentType"] == "text"


def test_a_reply_to_is_kept_in_the_messages_language():
    (added,) = [loss[2] for loss in load("naver-reply-to")["losses"] if loss[0] == "reply-to"]
    assert added.startswith("<div>회신 주소: ")
    assert f"<body class=x>{added}<p>" in load("naver-reply-to")["request"]["body"]


def test_same_names_are_kept_apart():
    names = [name for name, _, _ in files("same-names")]
    assert len({name.lower() for name in names}) == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hint-encoded-word", "ｶﾀｶﾅ ﾃｽﾄ"),
        ("subject-cut-in-escape", "複合機からのスキャン送信のお知らせ（至急ご確認ください）"),
        ("subject-cut-in-pair", "複合機からのスキャン送信のお知らせ（至急ご確認ください）"),
        ("subject-line-break-in-word", "한국어 제목입니다"),
        ("subject-cp949-syllables", "똠방각하"),
        ("subject-ms932", "㈱髙島屋"),
        ("mbox-line-then-blanks", "x"),
    ],
)
def test_subject_of_a_scan(name, expected):
    assert load(name)["request"]["subject"] == expected


def test_a_display_name_is_read_by_the_texts_charset():
    assert load("hint-display-name")["request"]["userName"] == "عرض"


def test_a_subject_whose_charset_only_a_hint_says_is_a_loss():
    assert "charset-guessed" in losses("hint-encoded-word")


@pytest.mark.parametrize(
    "name",
    [
        "base64-trailing-blanks",
        "base64-empty-lines",
        "boundary-declared-with-hyphens",
        "boundary-other-case",
        "text-empty-beside-scan",
    ],
)
def test_a_scan_is_whole(name):
    assert files(name) == [("a.pdf", "application/pdf", 125)]


def test_pages_sent_as_parts_are_all_there():
    assert [name for name, _, _ in files("pages-as-parts")] == ["page1.tif", "page2.tif"]


def test_controls_in_a_text_stay():
    """They were sent, and every other program shows them or not as it likes; only NUL goes, and says so."""
    assert load("text-controls-stay")["request"]["body"] == "a\x03b\x1a\n"
    assert "damaged" in losses("charset-nul-in-text")
