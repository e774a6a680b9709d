"""Raw octets whose charset nothing declares: Japanese and Korean are not taken for each other."""

import pytest

from relay.message import charsets


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
