"""EUC-KR, GB 2312, EUC-JP and Big5 told apart by the rows that their texts use.

All are pairs of octets from A1 up, so that a text of one is valid, or nearly, in the others. But Korean is
written in the rows B0 to C8, and hanja (CA to FD) are rare in it; of Chinese in GB 2312 a third stands in C9
to D7, and hardly anything behind; half of Japanese is hiragana (A4), where Korean has its single letters in
the first half of the row; of Big5 hardly anything is behind C6, and a third has a second octet of ASCII.
"""

import re

from relay.message.text.readings import REPLACEMENT, read

_HIGH = re.compile(rb"[\x80-\xff]+")
_HIRAGANA, _LAST = 0xA4, 0xFE
_OLD_LETTERS = 0xD5  # from here on the row has letters that no Korean has written for centuries; は to ん
_FIRST_HANGUL, _LAST_HANGUL = 0xB0, 0xC8
_FIRST_HANJA, _LAST_USUAL_HANZI = 0xCA, 0xD7
_FIRST_IN_BIG5, _LAST_IN_BIG5 = 0xA1, 0xC6  # of usual characters
_IN_BIG5_ALONE = re.compile(rb"[\xa4-\xc6][\x40-\x7e]")
_USUAL_HANGUL = {one.encode("euc_kr") for one in "다이는니가을의에한하습지고은로기사시"}
_NARROW = {"cp949": "euc_kr", "gb18030": "gb2312"}
_HANZI = re.compile("[\u4e00-\u9fff]")
_ENOUGH = 12  # characters
_ENOUGH_HANJA = 5
_ENOUGH_HANGUL = 3
_ENOUGH_OLD = 2
_ENOUGH_KANA = 4  # different ones
_LOOK = 4096  # octets that are enough


def find_other_rows(sample: bytes, codec: str) -> str:
    """The codec that a text is in, beyond doubt, though the declared one takes it; "" for none.

    Args:
        sample: the octets.
        codec: the declared one: cp949, gb18030 or big5.
    """
    if codec in _NARROW and _is_big5(sample, codec):
        return "big5"
    runs = _HIGH.findall(sample[:_LOOK])
    octets = b"".join(runs)
    if not octets or min(octets) < 0xA1 or any(len(run) % 2 for run in runs):
        return ""
    rows = octets[::2]
    all_rows = _count(rows, _HIRAGANA, _LAST)
    if 4 * _count(rows, _HIRAGANA, _HIRAGANA) >= all_rows and _is_japanese(octets, codec):
        return "euc-jp"
    if all_rows < _ENOUGH:
        return ""
    if codec != "cp949" and _is_korean(octets, rows):
        return "cp949"
    return "gb18030" if codec != "gb18030" and _is_chinese(rows) else ""


def _count(rows: bytes, first: int, last: int) -> int:
    return len(rows) - len(rows.translate(None, bytes(range(first, last + 1))))


def _is_japanese(octets: bytes, codec: str) -> bool:
    kana = [cell for row, cell in zip(octets[::2], octets[1::2], strict=True) if row == _HIRAGANA]
    if sum(cell >= _OLD_LETTERS for cell in kana) < _ENOUGH_OLD:
        return False
    if codec == "big5":
        return len(octets) >= 2 * _ENOUGH and len(set(kana)) >= _ENOUGH_KANA
    return codec == "cp949" or _has_foreign_hanzi(octets)


def _is_korean(octets: bytes, rows: bytes) -> bool:
    """Whether there is nothing but hangul, much of it of the commonest syllables, which are rare hanzi."""
    size = _count(rows, _HIRAGANA, _LAST)
    if _count(rows, _FIRST_HANGUL, _LAST_HANGUL) < size:
        return False
    usual = sum(octets[at : at + 2] in _USUAL_HANGUL for at in range(0, len(octets), 2))
    return usual >= _ENOUGH_HANGUL and 6 * usual >= size


def _is_chinese(rows: bytes) -> bool:
    behind, rare = _count(rows, _FIRST_HANJA, _LAST), _count(rows, _LAST_USUAL_HANZI + 1, _LAST)
    is_much = behind >= _ENOUGH_HANJA and 5 * behind >= _count(rows, _HIRAGANA, _LAST)
    return is_much and 10 * rare <= behind


def _has_foreign_hanzi(octets: bytes) -> bool:
    """Whether, read as GB 2312, many characters beside the kana are none that a Japanese writes."""
    hanzi = _HANZI.findall(octets.decode("gb18030", "ignore"))
    foreign = sum(not one.encode("cp932", "ignore") for one in hanzi)
    return foreign > 1 and 6 * foreign >= len(hanzi)


def _is_big5(sample: bytes, codec: str) -> bool:
    """Whether it is usual in Big5, and much of it is not in the declared charset."""
    sample = sample[:_LOOK]
    alone = len(_IN_BIG5_ALONE.findall(sample))
    if 3 * alone < _ENOUGH:
        return False
    found = read(sample, "big5")
    beyond = _get_beyond(found.text)
    first = [one.encode("big5", "ignore")[:1] for one in beyond]
    odd = found.wrong + sum(not one or not _FIRST_IN_BIG5 <= one[0] <= _LAST_IN_BIG5 for one in first)
    if len(beyond) < _ENOUGH or 16 * odd > len(beyond) or 5 * alone < len(beyond):
        return False
    own = _get_beyond(read(sample, codec).text)
    return 4 * sum(not one.encode(_NARROW[codec], "ignore") for one in own) >= len(own)


def _get_beyond(text: str) -> list[str]:
    return [character for character in text if character >= "\x80" and character != REPLACEMENT]
