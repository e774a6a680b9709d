"""Charsets that are not declared, or wrongly, or by text that is cut: what the sender meant is read."""

import base64

import pytest

from relay.message.text import charsets
from relay.message.text.charsets import decode
from relay.message.text.encoded_words import decode_unstructured, is_guessed
from relay.message.text.guessing import guess_codec
from tests.support.at_once import at_once


@pytest.mark.parametrize(
    "text", ["バックアップ完了", "ありがとうございます", "エラー通知", "会議の件", "お知らせ"]
)
@pytest.mark.parametrize("codec", ["cp932", "euc-jp"])
def test_japanese(text, codec):
    """Kana is Japanese however short the subject, and old Unix systems send it as EUC-JP."""
    assert charsets.decode_field(text.encode(codec)) == text


@pytest.mark.parametrize(
    "text",
    [
        "재밌어요 ㅋㅋㅋ",
        "네 ㅎㅎ 감사합니다 ㅠㅠ",
        "ㄱ, ㄴ, ㄷ 순서로",
        "α와 β 값",
        "스캔 문서",
        "견적서.pdf",
    ],
)
def test_korean(text):
    """Laughter and Greek letters have the octets of kana in EUC-JP."""
    assert charsets.decode_field(text.encode("cp949")) == text


@pytest.mark.parametrize(
    ("text", "codec", "cut"),
    [
        ("あい", "utf-8", "あ�"),
        ("견적서", "euc-kr", "견적�"),
        ("件名", "shift_jis", "件�"),
        ("报价单", "gb2312", "报价�"),
        ("テスト", "euc-jp", "テス�"),
        ("見積書", "euc-jp", "見積�"),
    ],
)
def test_a_text_that_is_cut_within_its_last_character_is_read_as_declared(text, codec, cut):
    """Devices cut subjects by octets; with few characters before the cut all of it was guessed anew."""
    octets = text.encode(codec)[:-1]
    assert decode(octets, codec).text == cut
    assert decode(octets + b"\r\n", codec).text == cut + "\r\n"
    word = b"=?%s?B?%s?=" % (codec.encode(), base64.b64encode(octets))
    assert decode_unstructured(word) == cut
    assert is_guessed(word)


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("請求書", "euc-jp"),
        ("株式会社山田 御中", "euc-jp"),
        ("出荷完了 20件", "euc-jp"),
        ("異常なし", "euc-jp"),
        ("①㈱髙﨑", "cp932"),
        ("出荷完了 20件", "cp932"),
        ("あいうえお", "utf-8"),
    ],
)
@pytest.mark.parametrize("label", ["iso-2022-jp", "shift_jis", "euc-jp"])
def test_a_wrong_japanese_label_still_tells_the_language(text, codec, label):
    """Read without it, short Japanese is Chinese or Cyrillic."""
    assert decode(text.encode(codec), label).text == text


def test_a_broken_octet_does_not_make_euc_jp_of_shift_jis():
    text = decode("これは注文".encode("euc-jp") + b"\xff" + "の控えです".encode("euc-jp"), "euc-jp").text
    assert text.startswith("これは注文")
    assert text.endswith("の控えです")


def test_surrogates_that_were_encoded_one_by_one_are_a_character():
    """CESU-8: what some databases and Java programs call UTF-8."""
    found = decode("東京".encode() + b"\xed\xa0\xbd\xed\xb8\x80", "utf-8")
    assert (found.text, found.guessed, found.damaged) == ("東京😀", False, False)


@pytest.mark.parametrize("codec", ["utf-16-be", "utf-16-le"])
def test_utf_16_without_a_mark_shows_its_order_by_ascii(codec):
    assert decode("見積 No. 12\r\n".encode(codec), "utf-16").text == "見積 No. 12\r\n"


def test_encoded_words_without_padding_stand_side_by_side():
    """Their rest is not the beginning of the next one, when each of them is whole."""
    raw = b"=?iso-2022-jp?B?GyRCRnxLXBsoQg?= =?iso-2022-jp?B?GyRCOGwbKEI?="
    assert decode_unstructured(raw) == "日本語"
    halves = b"=?utf-8?B?5pel5pys6Kq?= =?utf-8?B?e?="
    assert decode_unstructured(halves) == "日本語"


@pytest.mark.parametrize(
    "text",
    ["ｴﾗｰ", "ﾌﾟﾘﾝﾀ ｴﾗｰ: ﾄﾅｰ切れ", "ﾌﾘｺﾐ ﾒｲｻｲ ﾄﾞｳｿﾞ 10件", "ﾄﾞｱｦｼﾒﾃｸﾀﾞｻｲ ｴﾗｰ", "ｶﾐｶﾞｱﾘﾏｾﾝ(A4)", "ﾃﾞｰﾀ ｿｳｼﾝ ｶﾝﾘｮｳ"],
)
def test_half_width_katakana_are_japanese(text):
    """A bank's or an old device's text without a label became Cyrillic letters, its subject a syllable."""
    assert guess_codec(text.encode("cp932")) == "cp932"


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("Ошибка: закончился тонер в принтере", "koi8-r"),
        ("принтер", "koi8-r"),
        ("ОШИБКА ПРИНТЕРА", "cp1251"),
        ("Błąd drukarki są", "iso8859-2"),
        ("會議通知", "big5"),
        ("墨水匣快用完了", "big5"),
        ("회의 안내", "cp949"),
        ("แบตเตอรี่ใกล้หมด", "tis-620"),
        ("Température 25 °C, « prêt »", "cp1252"),
    ],
)
def test_no_other_text_is_taken_for_half_width_katakana(text, codec):
    assert guess_codec(text.encode(codec)) not in {"cp932", "euc-jp"}


@at_once
@pytest.mark.parametrize(
    "text",
    [
        *("T1: 25 °C\nT2: 26 °C", "100 °F\n" * 12, "5 °C ±0.5", "10 £", "1 € = 2 ¥", "10 µm ± 5 °C", "¼ ½ ¾"),
        *(
            "© ® ™",
            "«oui»",
            "§ 5 Abs. 2",
            "Nº 5",
            "5 m²",
            "45°C",
            "Größe überschritten: 5 °C",
            "Lüfter: 45°C",
        ),
        *("Größe: 5 µm²", "¿Qué? ¡Sí!", "Ærø Ø", "ñandú", "El niño comió piñas", "Übergröße"),
    ],
)
def test_a_few_signs_and_accents_are_western(text):
    """A sensor's or a German device's line without a label was Chinese, Korean, Thai or Cyrillic."""
    assert charsets.decode(text.encode("cp1252")).text == text
