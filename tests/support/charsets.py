"""Texts in the charsets that mail declares, and what one octet may spoil in them."""

from dataclasses import dataclass

from relay.message.text.charsets import decode

_KANA = "".join(map(chr, range(0x3041, 0x3094))) + "".join(map(chr, range(0x30A1, 0x30F7)))
_ASCII = "abcXYZ 0123.,-\n"
_LATIN = "àáâäçèéêëíîñòóôöùúûüßÀÉÖÜ"


@dataclass(frozen=True, slots=True)
class Charset:
    """A declared charset."""

    label: str
    codec: str
    letters: str


_ROWS = [
    ("utf-8", "utf-8", _KANA + "漢字件名会議한국어견적서Größé😀" + _ASCII),
    ("shift_jis", "cp932", _KANA + "漢字件名会議請求書東京ｱｲｳ" + _ASCII),
    ("euc-jp", "euc_jp", _KANA + "漢字件名会議請求書東京" + _ASCII),
    ("iso-2022-jp", "iso2022_jp", _KANA + "漢字件名会議請求書東京" + _ASCII),
    ("euc-kr", "cp949", "가나다라마바사아자차카타파하한국어견적서회의안내" + _ASCII),
    ("gb2312", "gb2312", "今天的会议从下午三点开始墨粉不足请准备更换的墨盒" + _ASCII),
    ("gb18030", "gb18030", "今天的会议镕囍从下午三点开始墨粉不足" + _ASCII),
    ("big5", "big5", "今天的會議從下午三點開始墨水匣快用完了請準備更換" + _ASCII),
    ("iso-8859-1", "cp1252", _LATIN + _ASCII),
    ("iso-8859-2", "iso8859-2", "ąćęłńóśźżÁČĎÉĚÍŇÓŘŠŤÚŮÝŽ" + _ASCII),
    ("windows-1251", "cp1251", "абвгдежзийклмнопрстуфхцчшщъыьэюя" + _ASCII),
    ("koi8-r", "koi8-r", "абвгдежзийклмнопрстуфхцчшщъыьэюя" + _ASCII),
]
CHARSETS = {label: Charset(label, codec, "".join(dict.fromkeys(letters))) for label, codec, letters in _ROWS}


def replace_octet(octets: bytes, at: int, octet: int) -> tuple[bytes, int, int]:
    """The octets with one of them another; and the range that may be wrong then."""
    broken = octets[:at] + bytes((octet,)) + octets[at + 1 :]
    begin = at
    while begin and octets[begin - 1] >= 0x80:
        begin -= 1
    end = at + 1
    while end < len(octets) and octets[end] >= 0x80:
        end += 1
    return broken, begin, min(len(octets), end + 1)


def find_wrong(octets: bytes, broken: bytes, begin: int, end: int, charset: Charset) -> str:
    """What is wrong outside the range; "" for nothing.

    What stands before it, and behind it, must be there as without the damage; so must all other lines.
    """
    found = decode(broken, charset.label).text
    if charset.codec == "iso2022_jp":
        begin = octets.rfind(b"\n", 0, begin) + 1
        end = octets.find(b"\n", end) + 1 or len(octets)
    before = octets[:begin].decode(charset.codec, "ignore")
    behind = octets[end:].decode(charset.codec, "ignore")
    if charset.codec in {"cp932", "cp949", "gb18030", "big5"}:
        # The octet may have been the second one of a character whose first is ASCII to nobody.
        before = before[:-1]
    if not found.startswith(before):
        return f"before: {before!r} in {found!r}"
    return "" if found.endswith(behind) else f"behind: {behind!r} in {found!r}"
