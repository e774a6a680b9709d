"""Charsets by evidence: encodings × labels × whole, cut, one stray octet, one foreign line."""

import base64
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.message.parse import parse
from relay.message.text.charsets import decode
from tests.support.at_once import at_once
from tests.support.charsets import CHARSETS, find_wrong, replace_octet

JAPANESE = (
    "本日の会議は午後三時からです。\nトナーが少なくなりました。\n至急、交換用カートリッジをご用意ください。\n"
)
KOREAN = "토너가 부족합니다.\n교체용 카트리지를 준비해 주십시오.\n오늘 회의는 오후 세 시부터입니다.\n"
CHINESE = "今天的会议从下午三点开始。\n墨粉不足，请准备更换的墨盒。\n谢谢您的合作。\n"
TAIWAN = "今天的會議從下午三點開始。\n墨水匣快用完了，請準備更換。\n謝謝您的合作。\n"
ENCODINGS = [
    ("utf-8", JAPANESE),
    ("cp932", JAPANESE),
    ("euc-jp", JAPANESE),
    ("utf-8", KOREAN),
    ("cp949", KOREAN),
    ("gb18030", CHINESE),
    ("big5", TAIWAN),
]
IDS = [f"{codec}-{text[:2]}" for codec, text in ENCODINGS]
OWN = {
    "utf-8": "utf-8",
    "cp932": "shift_jis",
    "euc-jp": "euc-jp",
    "cp949": "euc-kr",
    "gb18030": "gb2312",
    "big5": "big5",
}
SUBJECTS = {JAPANESE: "会議のお知らせ", KOREAN: "회의 안내입니다", CHINESE: "会议通知", TAIWAN: "會議通知"}


def is_nearly(found: str, text: str, most: int) -> bool:
    """Whether no more than so many characters of the text are missing from what was found."""
    found, at, missing = found.replace("\ufffd", ""), 0, 0
    for character in text:
        place = found.find(character, at, at + 6)
        if place < 0:
            missing += 1
        else:
            at = place + 1
    return missing <= most and len(found) <= len(text) + most + 2


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("codec", "text"), ENCODINGS, ids=IDS)
def test_whole(codec, text, own):
    assert decode(text.encode(codec), OWN[codec] if own else "").text == text


@at_once
@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("codec", "text"), ENCODINGS, ids=IDS)
def test_cut(codec, text, own, cut):
    """Within the last character: it is no damage, and decides nothing."""
    octets = text.strip().encode(codec)[:-cut]
    assert is_nearly(decode(octets, OWN[codec] if own else "").text, text.strip(), 2)


@at_once
@pytest.mark.parametrize("stray", [b"\xff", b"\x80", b"\xfe", b"\xa0"])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("codec", "text"), ENCODINGS, ids=IDS)
def test_one_stray_octet(codec, text, own, stray):
    """The log of a UTF-8 system with one octet too many became Arabic letters."""
    octets = text.encode(codec)
    at = len(text[:9].encode(codec))
    found = decode(octets[:at] + stray + octets[at:], OWN[codec] if own else "")
    assert is_nearly(found.text, text, 12)
    # With the octet behind it, it may be a character that those charsets have.
    assert found.guessed or found.damaged or codec in {"big5", "gb18030", "cp949"}


@pytest.mark.parametrize(
    ("codec", "text", "foreign"),
    [
        ("utf-8", JAPANESE, "/share/見積書.xls\n".encode("cp932")),
        ("utf-8", KOREAN, "/share/견적서.xls\n".encode("cp949")),
        ("utf-8", JAPANESE, "/share/Größe.xls\n".encode("cp1252")),
        ("cp932", JAPANESE, "/share/見積書の控え.xls\n".encode()),
        ("euc-jp", JAPANESE, "/share/見積書の控え.xls\n".encode()),
        ("cp949", KOREAN, "/share/견적서사본.xls\n".encode()),
        ("cp932", JAPANESE, "/share/Größe.xls\n".encode("cp1252")),
        ("big5", TAIWAN, "/share/Müller/café.xls\n".encode("cp1252")),
        (
            "gb18030",
            "墨粉不足。\n请准备更换用的墨盒。\n谢谢您的合作。\n",
            "/share/見積書の控え.xls\n".encode(),
        ),
    ],
)
@pytest.mark.parametrize("own", [False, True])
def test_one_foreign_line(codec, text, foreign, own):
    """It does not decide for the rest."""
    head, *rest = text.splitlines(keepends=True)
    found = decode(head.encode(codec) + foreign + "".join(rest).encode(codec), OWN[codec] if own else "").text
    assert found.startswith(head)
    assert "".join(rest[-1:]) in found
    assert "/share/" in found


SINGLE = ["iso-8859-1", "windows-1252", "iso-8859-2", "koi8-r", "windows-1251", "iso-8859-15"]
SINGLE += ["iso-8859-7", "windows-1254", "windows-1255", "tis-620", "cp850"]
UTF_8 = ["請求書 2026年", "お世話になっております。", "견적서", "Dzień dobry, łączna kwota", "Привет, мир"]
UTF_8 += ["Größe", "être allé", "Łódź"]
UTF_8 += ["Siparişiniz gönderildi, teşekkürler", "Η παραγγελία σας", "ההזמנה נשלחה", "แจ้งเตือน", "Done 👍"]
UTF_8 += ["Done ✅ 🎉", "⏰ 10:00"]


@at_once
@pytest.mark.parametrize("label", SINGLE)
@pytest.mark.parametrize("text", UTF_8)
def test_utf_8_under_a_label_that_takes_anything(text, label):
    """Scripts say iso-8859-1 by habit, and nobody can choose another charset in what Works shows."""
    found = decode(text.encode(), label)
    assert (found.text, found.guessed) == (text, True)


@at_once
@pytest.mark.parametrize("label", [*SINGLE, "shift_jis", "euc-kr", ""])
def test_a_byte_order_mark_says_that_it_is_utf_8(label):
    """Notepad puts it there; with one accent behind it the label was believed: ï»¿GrÃ¶ÃŸe."""
    assert decode("\ufeffGrößer".encode(), label).text == "Größer"


@at_once
@pytest.mark.parametrize("label", SINGLE)
@pytest.mark.parametrize("text", UTF_8)
def test_the_same_with_a_stray_octet(text, label):
    octets = text.encode() * 3
    found = decode(octets + b" \xff " + octets, label)
    assert found.text.count(text) == 6


@at_once
@pytest.mark.parametrize("label", ["", "us-ascii", "iso-8859-1", "x-unknown"])
@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("Dzień dobry, Państwa zamówienie\nzostało wysłane. Dziękujemy.\n", "/share/Żółw\n".encode("cp1250")),
        ("Siparişiniz gönderildi.\nTeşekkürler, iyi günler.\n", "/share/Görüşme\n".encode("cp1254")),
        ("Ihr Gerät ist bereit: für Öl\nGrüße aus Köln\n", b"/share/\xff\n"),
    ],
)
def test_a_foreign_line_in_a_few_european_letters(text, foreign, label):
    """Each letter has two octets only; the lines that are UTF-8 are more than those that are not."""
    head, *rest = text.splitlines(keepends=True)
    found = decode(head.encode() + foreign + "".join(rest).encode(), label)
    assert (found.text.startswith(head), found.text.endswith("".join(rest))) == (True, True)
    assert found.guessed


@at_once
@pytest.mark.parametrize(
    "label", ["windows-1251", "koi8-r", "iso-8859-5", "iso-8859-7", "windows-1256", "tis-620"]
)
def test_shift_jis_is_not_cyrillic_either(label):
    found = decode(JAPANESE.encode("cp932"), label)
    assert (found.text, found.guessed) == (JAPANESE, True)


@at_once
@pytest.mark.parametrize(
    ("codec", "text"), [one for one in ENCODINGS if one[0] != "utf-8"], ids=IDS[1:3] + IDS[4:]
)
@pytest.mark.parametrize("label", ["own", "iso-8859-1"])
@pytest.mark.parametrize("foreign", ["/share/見積書の控え\n", "이 메일은 검사를 마쳤습니다.\n"])
def test_a_line_of_utf_8_in_another_charset(codec, text, label, foreign):
    """A footer, or a file's name; Koreans write words of one character, which stand alone."""
    octets = text.encode(codec) + foreign.encode()
    assert decode(octets, OWN[codec] if label == "own" else label).text == text + foreign


@pytest.mark.parametrize("codec", ["utf-8", "cp932", "euc-jp"])
@pytest.mark.parametrize("label", ["iso-2022-jp", "", "utf-8"])
def test_a_line_in_eight_bits_beside_escapes(codec, label):
    """A mailing list's footer was read as Shift_JIS, whatever it was."""
    octets = "日本語です\n".encode("iso2022_jp") + "フッターです\n".encode(codec)
    assert decode(octets, label).text == "日本語です\nフッターです\n"


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("iso-8859-1", "Grüße, Ã© und 10 °C"),
        ("iso-8859-1", "Ã©"),
        ("iso-8859-1", "de la liberté\xa0»"),
        ("iso-8859-1", "«\xa0été\xa0» et «\xa0marché\xa0»"),
        ("iso-8859-1", "„Ä“ und „Ö“"),
        ("iso-8859-1", "Müller & Söhne GmbH – Größe"),
        ("iso-8859-1", "12,5 °C\n" * 20),
        ("iso-8859-1", "100 °F\n5 µA\n" * 20),
        ("iso-8859-1", "°" * 20),
        ("windows-1251", "Отчёт за сентябрь"),
        ("koi8-r", "Отчёт за сентябрь"),
        ("iso-8859-2", "Žluťoučký kůň"),
        ("windows-1254", "Şişli'de görüşme"),
        ("windows-1253", "Καλημέρα σας"),
        ("windows-1256", "السلام عليكم"),
        ("tis-620", "สวัสดีครับ"),
    ],
)
def test_a_label_that_is_right_is_believed(label, text):
    found = decode(text.encode("cp1252" if label == "iso-8859-1" else label), label)
    assert (found.text, found.guessed) == (text, False)


@at_once
@pytest.mark.parametrize("text", ["5 €", "it’s", "a – b", "100 % → 20 %", "✓ ok", "№ 5", "… 5 °C"])
@pytest.mark.parametrize(
    "label",
    ["iso-8859-1", "iso-8859-15", "windows-1250", "windows-1251", "windows-1253", "koi8-r", "tis-620"],
)
def test_one_sign_in_utf_8_is_one_under_any_label_of_single_octets(text, label):
    """Programs write € or a curly apostrophe as UTF-8 and declare what they always have: it was â‚¬."""
    found = decode(text.encode(), label)
    assert (found.text, found.guessed) == (text, True)


@at_once
@pytest.mark.parametrize("label", ["iso-8859-1", "windows-1252", "iso-8859-2"])
@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("cp932", JAPANESE),
        ("euc-jp", JAPANESE),
        ("cp949", KOREAN),
        ("cp949", "이 문서 의 값은 문자열 또는 널이 아닙니다"),
        ("gb18030", CHINESE),
    ],
)
def test_east_asian_text_is_not_latin(codec, text, label):
    found = decode(text.encode(codec), label)
    assert (found.text, found.guessed) == (text, True)


HALFWIDTH = ["ﾃｽﾄ送信", "ﾌﾘｺﾐ", "ﾃﾞｰﾀ", "ﾊﾟｿｺﾝ", "ｻｸﾗ ﾐｷ", "ｱ", "ﾃｽﾄ.pdf", "ｶ)ﾔﾏﾀﾞ 10000"]
FULLWIDTH = ["おかし", "テスト", "データ 12", "請求書について", "障害", "障害発生"]


def word(octets: bytes, label: str) -> bytes:
    return b"=?%s?B?%s?=" % (label.encode(), base64.b64encode(octets))


@pytest.mark.parametrize("label", ["iso-2022-jp", "shift_jis"])
@pytest.mark.parametrize("text", HALFWIDTH)
def test_half_width_katakana(text, label):
    """Banks' systems write them in eight bits; without an escape they were Chinese, Arabic or symbols."""
    octets = text.encode("cp932")
    assert decode(octets, label).text == text
    message = b"Subject: " + word(octets, label) + b"\r\nContent-Type: text/plain; charset=" + label.encode()
    mail = parse(message + b"\r\n\r\n" + octets).mail
    assert (mail.subject, mail.body) == (text, text)
    name = word(octets, label)
    file = parse(b'Content-Type: application/pdf; name="' + name + b'"\r\n\r\nx').mail.attachments[0]
    assert file.filename == text


@pytest.mark.parametrize("label", ["iso-2022-jp", "shift_jis", "euc-jp"])
@pytest.mark.parametrize("text", FULLWIDTH)
@pytest.mark.parametrize("codec", ["euc-jp", "cp932"])
def test_a_japanese_label_tells_the_language(codec, text, label):
    assert decode(text.encode(codec), label).text == text


@pytest.mark.parametrize("text", ["ﾌﾘｺﾐ", "漢字", "テスト", "ｱ漢字"])
def test_under_euc_jp_valid_euc_jp_is_believed(text):
    found = decode(text.encode("euc-jp"), "euc-jp")
    assert (found.text, found.guessed) == (text, False)


UTF_16 = ["utf-16", "utf-16le", "utf-16be", "ucs-2", "unicode", "iso-10646-ucs-2", "csunicode"]


@at_once
@pytest.mark.parametrize("label", UTF_16)
@pytest.mark.parametrize(
    "text", ["Backup finished OK.\nDisk 95% full\n", "バックアップ完了", "완료", "完了", "Größe für alle"]
)
def test_utf_16_is_believed_where_it_can_be(text, label):
    """Text of other charsets under that label was one of CJK characters that nobody wrote."""
    found = decode(text.encode(), label)
    assert (found.text, found.guessed) == (text, True)
    codec = "utf-16-be" if label == "utf-16be" else "utf-16-le"
    real = decode(text.encode(codec), label)
    assert real.text == text or (label == "utf-16" and text.isprintable())
    assert decode(b"\xff\xfe" + text.encode("utf-16-le"), label).text == text


@at_once
@pytest.mark.parametrize("label", ["utf-16", "ucs-2", "iso-10646-ucs-2"])
@pytest.mark.parametrize("codec", ["utf-16-be", "utf-16-le"])
@pytest.mark.parametrize(
    "text",
    [
        "日本語",
        "バックアップ完了",
        "안녕하세요",
        "会议通知",
        "Привет",
        "สวัสดี",
        "完了\u3000しました",
        "Done: 5",
    ],
)
def test_utf_16_without_a_mark_shows_its_order(text, codec, label):
    """By ASCII, or by what people write: a wide blank has a NUL on the other side."""
    assert decode(text.encode(codec), label).text == text


@at_once
@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("cp932", "本日の会議は午後三時からです。"),
        ("cp932", "日本語のメール本文です。"),
        ("euc-jp", "本日の会議は午後三時からです。"),
        ("cp949", KOREAN),
        ("gb18030", CHINESE),
        ("big5", TAIWAN),
    ],
)
@pytest.mark.parametrize("label", UTF_16)
def test_text_of_two_octets_is_no_utf_16(codec, text, label):
    """Read as UTF-16, Chinese and Korean are hanzi and hangul too, that nobody wrote."""
    assert decode(text.encode(codec), label).text == text


@pytest.mark.parametrize("label", ["utf-16", "utf-32", "ucs-4"])
def test_a_label_that_ascii_is_not_of_is_named(label):
    assert decode(b"Backup finished OK.", label).guessed


def test_very_many_lines_are_read_at_once():
    """Each is a little work of its own; a text of so many is read whole, with replacement."""
    octets = ("あいう\n".encode() + b"\xff\n") * 100_000
    begin = time.perf_counter()
    assert decode(octets, "utf-8").text.startswith("あいう\n\ufffd\nあいう")
    assert decode(octets).text.startswith("あいう\n\ufffd\nあいう")
    assert time.perf_counter() - begin < 30


@pytest.mark.parametrize(("codec", "text"), [one for one in ENCODINGS if one[0] != "utf-8"])
@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize("label", ["own", "none"])
def test_a_raw_subject_beside_a_text(codec, text, cut, label):
    """Devices cut subjects by octets; the text beside them says the charset."""
    subject = SUBJECTS[text].encode(codec)
    subject = subject[: len(subject) - cut]
    charset = OWN[codec] if label == "own" else "us-ascii"
    message = (
        b"Subject: " + subject + b"\r\nContent-Type: text/plain; charset=" + charset.encode() + b"\r\n\r\nx"
    )
    found = parse(message).mail.subject
    if label == "own" or codec in {"cp932", "euc-jp"}:
        assert found.rstrip("\ufffd") == SUBJECTS[text][: len(SUBJECTS[text]) - cut]


@pytest.mark.parametrize(("codec", "text"), [one for one in ENCODINGS if one[0] != "utf-8"])
def test_a_text_without_a_label_is_of_the_subjects_charset(codec, text):
    short = SUBJECTS[text].encode(codec)
    message = b"Subject: " + word(short, OWN[codec]) + b"\r\nContent-Type: text/plain\r\n\r\n" + short
    assert parse(message).mail.body == SUBJECTS[text]


@pytest.mark.parametrize("charset", CHARSETS.values(), ids=lambda charset: charset.label)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_one_octet_replaced(charset, data):
    """Wrong at most up to the next ASCII octet or the line's end; tests/long/fuzz has more draws."""
    text = data.draw(st.text(charset.letters, min_size=1, max_size=60))
    octets = text.encode(charset.codec)
    at = data.draw(st.integers(0, len(octets) - 1))
    octet = data.draw(st.integers(0, 255))
    broken, begin, end = replace_octet(octets, at, octet)
    assert find_wrong(octets, broken, begin, end, charset) == ""


CHINESE = "會議從下午三點開始，墨水匣快用完了，請準備更換"
JAPANESE = "請求書を送付いたします。ご確認ください。"


@pytest.mark.parametrize(
    ("text", "codec", "label"),
    [
        (CHINESE, "big5", "gb2312"),
        (CHINESE, "big5", "iso-8859-1"),
        (JAPANESE, "cp932", "gb2312"),
        (JAPANESE, "cp932", "ks_c_5601-1987"),
    ],
)
def test_the_label_of_another_country_is_not_believed_against_the_evidence(text, codec, label):
    """Private and rare characters stood for each of them, and no loss said so: a device's default label."""
    decoded = decode(text.encode(codec), label)
    assert (decoded.text, decoded.guessed) == (text, True)


LONG = {
    "euc-jp": "お疲れ様です。本日の会議は午後三時からです。資料は共有フォルダーにあります。",
    "cp932": "お疲れ様です。本日の会議は午後三時からです。資料は共有フォルダーにあります。",
    "cp949": KOREAN,
    "gb18030": "今天的会议从下午三点开始。墨粉不足，请准备更换的墨盒。",
    "big5": TAIWAN,
}


@at_once
@pytest.mark.parametrize("label", ["euc-kr", "gb2312", "big5"])
@pytest.mark.parametrize("codec", LONG)
def test_the_rows_tell_east_asian_charsets_apart(codec, label):
    """A text of one is valid in the others: a device's label made other words of it, without a loss."""
    found = decode(LONG[codec].encode(codec), label)
    assert (found.text, found.guessed) == (LONG[codec], OWN[codec] != label)


@at_once
@pytest.mark.parametrize("label", ["shift_jis", "euc-jp", "euc-kr", "gb2312", "big5"])
@pytest.mark.parametrize(
    "text",
    [
        "No.5 の プリンター は 使えません",
        "이 문서 는 10 장 입니다",
        "第 5 页 的 文件",
        "サイズ 5×3 の用紙がありません",
        "温度 25°C の警報です",
    ],
)
@pytest.mark.parametrize("cut", [0, 1])
def test_utf_8_under_an_east_asian_label_with_words_of_one_character(text, label, cut):
    """Read by the label half of it is wrong, and nothing as UTF-8."""
    octets = text.encode()
    assert decode(octets[: len(octets) - cut], label).text.rstrip("\ufffd") == text[: len(text) - cut]


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("big5", "日月日月日月日月日月日月日月"),
        ("gbk", "您好，您的訂單已經出貨，請注意查收，謝謝您的合作"),
        ("gb2312", "ノルウェーのブークモールについて"),
        ("gb2312", "お疲れさまです。会议は明日からです。"),
        ("euc-kr", "大韓民國 憲法 第一條 大韓民國은 民主共和國이다"),
        ("euc-kr", "ㅏㅑㅓㅕㅗㅛㅜㅠ ㅋㅋㅋ ㅎㅎ 감사합니다 αβγ ⅠⅡⅢ"),
        ("euc-kr", "お疲れさまです。資料をご確認ください。"),
    ],
)
def test_rare_rows_are_believed_under_their_own_label(text, label):
    codec = {"big5": "big5", "euc-kr": "cp949"}.get(label, "gb18030")
    found = decode(text.encode(codec), label)
    assert (found.text, found.guessed) == (text, False)


@pytest.mark.parametrize(
    ("text", "codec", "label"),
    [
        ("Błąd: zażółć gęślą jaźń, są też wyniki i łączna wartość", "iso8859-2", "iso-8859-2"),
        ("Ärger über Öl, Übergröße, weiß ich nicht: süß", "cp1252", "iso-8859-1"),
        ("お疲れ様です。添付の資料をご確認ください。", "gb18030", "gb2312"),
        ("服务器已停止，请尽快处理", "gb18030", "gb2312"),
        ("견적서를 보내드립니다. 똠방각하 펲시", "cp949", "euc-kr"),
    ],
)
def test_the_label_is_believed_where_it_fits(text, codec, label):
    decoded = decode(text.encode(codec), label)
    assert (decoded.text, decoded.guessed) == (text, False)


def test_a_comment_behind_a_label_is_none_of_it():
    """RFC 2045 §5.1 has the example itself; the charset was guessed, and a loss said so."""
    decoded = decode("견적서".encode("cp949"), "euc-kr (Korean)")
    assert (decoded.text, decoded.guessed) == ("견적서", False)
