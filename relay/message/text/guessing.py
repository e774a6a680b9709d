"""The charset of octets that nobody labelled, or that are not what their label says.

A library guesses; where it is known to be wrong with a dozen characters (and subjects and file names are no
longer) the likelier reading of an office in Japan, Korea or Europe is preferred.
"""

import re

from relay.message.limits import FIELD
from relay.message.text.budget import SAMPLE
from relay.message.text.japanese import decode_euc_jp
from relay.message.text.labels import find_codec
from relay.message.text.readings import is_whole, read

_FIRST_HIGH = re.compile(rb"[\x80-\xff]")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
_HIRAGANA = re.compile("[\u3041-\u3096]")
_KATAKANA_RUN = re.compile("[\u30a1-\u30fa]{2,}")  # one alone is a Greek letter in EUC-KR
# What the letters that Koreans write alone (ㅋㅋ, ㅠㅠ, ㅇㅇ) are in EUC-JP.
_LAUGHTER = set("ㄱㄲㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅎㅜㅠㅡ".encode("euc_kr").decode("euc_jp"))
_HALFWIDTH = re.compile("[\uff66-\uff9f]")
_KANJI = re.compile("[\u4e00-\u9fff]")
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_JAPANESE_RUN = re.compile("[\u3041-\u30ff\u4e00-\u9fff]{2}")
_HIGH_RUN = re.compile("[\u0080-\uffff]+")
# A run of an odd number of high octets, and behind it none that could end a character of two octets: no East
# Asian charset but Shift_JIS has one, whose half-width katakana are single octets.
_ODD_RUN = re.compile(rb"(?<![\x80-\xff])(?:[\x80-\xff]{2})*+[\x80-\xff](?![\x30-\x7e\x80-\xff])")
# The katakana whose octets are no letters of Cyrillic or Greek text: ヲ to ソ, small ones, the long mark.
_NO_LETTERS = re.compile("[\uff66-\uff7f]")
_HIGH_OCTETS = re.compile(rb"[\x80-\xff]+")
_LETTER = re.compile("[A-Za-z]")
_ENOUGH_OCTETS = 12
# The signs of measures and prices, of quotation and of law in Western text, each by itself: 25 °C, 5 µm, § 3.
_SIGN = re.compile(
    rb"(?<![A-Za-z\x80-\xff])(?:[\xa3\xa7\xa9\xab\xae\xb0\xb1\xb5\xbc-\xbe](?![\x80-\xff])"
    rb"|[\x80\x85\x96\x97\x99\xa5](?=[\s0-9.,)]|\Z))|(?<![\x80-\xff])[\xb0\xb2\xb3\xba\xbb](?![A-Za-z\x80-\xff])"
)
# High octets within a word, as accents are.
_ACCENT = re.compile(
    rb"(?<=[A-Za-z])[\x80-\xff]{1,2}(?![\x80-\xff])|(?<![\x80-\xff])[\x80-\xff]{1,2}(?=[A-Za-z])"
)
_LOW = bytes(range(0x80))
_NO_LEADS = bytes(
    octet for octet in range(256) if not 0x81 <= octet <= 0x9F
)  # of Shift_JIS; no Latin letters
_LONGEST_RUN = 2000  # octets
_ENOUGH_CHARACTERS = 8
_ENOUGH_KANA = 3
# The leads of the usual syllables and of the usual hanzi, those of level 1.
_USUAL = (
    ("cp949", "euc_kr", (0xB0, 0xC8)),
    ("gb18030", "gb2312", (0xB0, 0xD7)),
    ("big5", "big5", (0xA4, 0xC6)),
)
_FEW = 8  # one of so many may be wrong
_MOST_LEADS = 3  # different ones that a few signs of Western text come to, however often they stand there
_EAST_ASIAN = {"gb18030", "cp949", "big5", "johab"}
_OTHER_ALPHABETS = (
    *("cp1251", "cp1253", "cp1255", "cp1256", "cp855", "cp866", "cp874", "koi8"),
    *("iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8", "mac-cyrillic"),
)
LATIN = {
    "cp1252",
    "cp1250",
    "cp1254",
    "cp1257",
    "iso8859-2",
    "iso8859-15",
    "iso8859-13",
    "iso8859-16",
    "iso8859-10",
}
# Code pages that no mail program ever sent without a label.
_IMPROBABLE = {"hz", "utf-7", "johab", "cp037", "cp500", "cp1026", "cp1140", "koi8-t", "ptcp154"}


def guess_codec(octets: bytes) -> str:
    """The likeliest codec of octets that are neither ASCII nor UTF-8 and hold no escape sequences.

    It may still not take all of them; windows-1252 is the answer when nothing is likely.
    """
    if len(octets) <= FIELD:  # a field may be folded: the line ends of the way it came are no hint
        octets = octets.replace(b"\r\n", b"\n")
    first = _FIRST_HIGH.search(octets)
    # Begin a little before the first octet of interest, not within a character.
    start = max(0, first.start() - 64) if first else 0
    sample = octets[start : start + SAMPLE]
    if is_plain_japanese(sample):
        return "cp932"
    if _is_plain_euc_jp(sample):
        return "euc-jp"
    codec = find_codec(_ask_library(_pair_up(_drop_cut(sample))))
    if codec in _IMPROBABLE or codec in {"", "us-ascii", "utf-8"}:
        codec = "cp1252"
    return "cp1252" if _is_western(sample, codec) else _weigh(sample, codec)


def _weigh(sample: bytes, codec: str) -> str:
    """The library's guess, or what is likelier than that in an office of Japan, Korea or Europe."""
    if codec not in {"cp932", "euc-jp", "cp874"} and _is_half_width(sample):
        return "cp932"
    is_open = codec not in _EAST_ASIAN | {"cp932", "euc-jp"} and not (
        codec in LATIN and looks_western(sample)
    )
    if is_open and (usual := _find_plain_east_asian(sample)):
        codec = usual
    if codec == "gb18030" and _is_no_chinese(sample):
        codec = "cp874"  # Thai: short, it passes for Chinese that nobody writes
    if codec in _EAST_ASIAN:
        return _prefer_japanese(sample, codec)
    if codec not in LATIN and codec not in {"cp932", "euc-jp"} and looks_western(sample):
        return "cp1252"
    return codec


def _is_western(sample: bytes, codec: str) -> bool:
    """Whether what the library takes for another script is a few signs or accents of Western text."""
    runs = len(_HIGH_OCTETS.findall(sample))
    if len(_SIGN.findall(sample)) == runs:
        return True
    is_accented = 2 * len(_ACCENT.findall(sample)) > runs
    if codec in _EAST_ASIAN:
        return (is_accented or looks_western(sample)) and _is_rare(sample, codec)
    return is_accented and codec.startswith(_OTHER_ALPHABETS)


def _is_rare(sample: bytes, codec: str) -> bool:
    """Whether much of it is of the characters of an East Asian charset that hardly anybody writes."""
    strict, span = next(((strict, span) for name, strict, span in _USUAL if name == codec), ("", (0, 0)))
    text, wrong = _read_sample(sample, codec)
    beyond = [character for character in text if character >= "\x80"]
    rare = sum(not (strict and _is_within(character, strict, *span)) for character in beyond)
    return 4 * (wrong + rare) > len(beyond)


def _is_no_chinese(sample: bytes) -> bool:
    text = sample.decode("gb18030", "replace")
    return len(_PRIVATE.findall(text)) * _FEW > sum(character >= "\x80" for character in text)


def _ask_library(sample: bytes) -> str:
    # Its tables take 6 MB and 15 ms, and most mail says what it is.
    from chardet import EncodingEra, detect

    return detect(sample, encoding_era=EncodingEra.MODERN_WEB | EncodingEra.LEGACY_ISO)["encoding"] or ""


def _prefer_japanese(sample: bytes, codec: str) -> str:
    """Short Japanese is often taken for Chinese or Korean: kana beside common kanji is Japanese."""
    euc, whole = decode_euc_jp(sample)
    kana = set(_HIRAGANA.findall(euc)) - _LAUGHTER if codec == "cp949" else _KANA.search(euc)
    if whole and kana and all(map(is_common, euc)):
        return "euc-jp"
    sjis = sample.decode("cp932", "replace")
    is_kana = _KANA.search(sjis) or (_HALFWIDTH.search(sjis) and _KANJI.search(sjis))
    if "\ufffd" not in sjis and is_kana and all(map(is_common, sjis)) and not _is_usual_korean(sample, codec):
        return "cp932"
    return codec


def is_plain_japanese(sample: bytes) -> bool:
    """Whether it is Shift_JIS beyond doubt: common kanji and kana, several in a row, with hardly any others.

    One alone is an accented letter or a Windows quotation mark before an ASCII letter.
    """
    text, wrong = _read_sample(sample, "cp932")
    beyond = [character for character in text if character >= "\x80"]
    odd = wrong + sum(not is_common(one) or "\uff61" <= one <= "\uff9f" for one in beyond)
    return odd * _FEW <= len(beyond) and _JAPANESE_RUN.search(text) is not None


def _is_half_width(sample: bytes) -> bool:
    """Whether it is Shift_JIS of half-width katakana, as banks and old devices write: ﾌﾟﾘﾝﾀ ｴﾗｰ."""
    text, wrong = _read_sample(sample, "cp932")
    kana = len(_HALFWIDTH.findall(text))
    beyond = [character for character in text if character >= "\x80"]
    if wrong or kana < _ENOUGH_KANA or 2 * kana < len(beyond) or not all(map(is_common, beyond)):
        return False
    is_kana = _FEW * len(_NO_LETTERS.findall(text)) >= kana
    return is_kana and _ODD_RUN.search(sample) is not None and not looks_western(sample)


def has_shift_jis(sample: bytes) -> bool:
    """Whether it is Shift_JIS beyond doubt by its first octets too, which hardly anything else has."""
    sample = sample[:SAMPLE]
    leads = len(sample.translate(None, _NO_LEADS))
    return (
        4 * leads > len(sample.translate(None, _LOW))
        and is_plain_japanese(sample)
        and len(_KANA.findall(sample.decode("cp932", "replace"))) > 1
    )


def find_east_asian(sample: bytes) -> str:
    """The East Asian codec of octets that nobody writes in Latin letters; "" for none."""
    sample = sample[:SAMPLE]
    if has_shift_jis(sample):
        return "cp932"
    runs = _HIGH_OCTETS.findall(sample)
    size, is_paired = sum(map(len, runs)), all(len(run) % 2 == 0 for run in runs)
    if size < _ENOUGH_OCTETS or (size < 6 * len(runs) and not is_paired):
        # Accents stand alone, and not all in pairs; so do the first octets of Big5, but with hardly a letter.
        found = read(sample, "big5")
        is_big5 = found.good >= 3 * len(_LETTER.findall(found.text))
        return "big5" if is_big5 and _find_plain_east_asian(sample) == "big5" else ""
    return "euc-jp" if _is_plain_euc_jp(sample) else _find_plain_east_asian(sample)


def _is_plain_euc_jp(sample: bytes) -> bool:
    """Whether it is EUC-JP beyond doubt: common kanji, and kana that no Korean writes."""
    text, wrong = _read_sample(sample, "euc-jp")
    beyond = [character for character in text if character >= "\x80"]
    if (wrong + sum(not is_common(one) for one in beyond)) * _FEW > len(beyond):
        return False
    hiragana = set(_HIRAGANA.findall(text))
    katakana = any(len(set(run)) > 1 for run in _KATAKANA_RUN.findall(text))
    return katakana or (len(hiragana) > 1 and not hiragana <= _LAUGHTER)


def _read_sample(sample: bytes, codec: str) -> tuple[str, int]:
    """The text without what is none, and how often that was; a character cut off at the end is none of it."""
    found = read(sample, codec)
    return found.text.replace("\ufffd", ""), found.wrong


def _drop_cut(sample: bytes) -> bytes:
    """Without the first octet of a character that is cut off at the end."""
    end = sample.rstrip()
    last = _HIGH_OCTETS.findall(end[-_LONGEST_RUN:])[-1:]
    is_cut = bool(last) and end.endswith(last[0]) and len(last[0]) % 2 and len(last[0]) > 1
    return end[:-1] if is_cut else sample


def _pair_up(sample: bytes) -> bytes:
    """Without the runs of high octets that do not pair up, where most do: one misleads the library."""
    runs = _HIGH_OCTETS.findall(sample)
    odd = [run for run in runs if len(run) % 2]
    most = sum(map(len, runs)) - sum(map(len, odd))
    if not odd or 4 * (len(runs) - len(odd)) > most or most < sum(map(len, odd)):
        return sample
    return _HIGH_OCTETS.sub(lambda run: b"" if len(run[0]) % 2 else run[0], sample)


def _find_plain_east_asian(sample: bytes) -> str:
    """The charset whose usual characters nearly all of it are, though an octet is wrong; "" for none."""
    found: list[tuple[int, str]] = []
    for codec, strict, (first, last) in _USUAL:
        text, wrong = _read_sample(sample, codec)
        beyond = [character for character in text if character >= "\x80"]
        odd = wrong + sum(not _is_within(character, strict, first, last) for character in beyond)
        leads = {character.encode(strict, "ignore")[:1] for character in set(beyond)}
        if len(beyond) >= _ENOUGH_CHARACTERS and odd * _FEW <= len(beyond) and len(leads) > _MOST_LEADS:
            found.append((odd, codec))
    return min(found, key=lambda one: one[0])[1] if found else ""


def _is_within(character: str, codec: str, first: int, last: int) -> bool:
    octets = character.encode(codec, "ignore")[:1]
    return bool(octets) and (first <= octets[0] <= last or 0xA1 <= octets[0] <= 0xA3)


def _is_usual_korean(sample: bytes, codec: str) -> bool:
    """Whether all of it is among the 2,350 syllables that KS X 1001 has."""
    return codec == "cp949" and is_whole(sample, "euc_kr")


def is_common(character: str) -> bool:
    """Whether Japanese people write it in mail: ASCII, kana, or a kanji of JIS level 1."""
    if character < "\x80" or "\u3000" <= character <= "\u30ff" or "\uff01" <= character <= "\uff9f":
        return True
    try:
        octets = character.encode("euc_jp")
    except UnicodeEncodeError:
        return False
    return len(octets) == 2 and octets[0] <= 0xCF


def looks_western(sample: bytes) -> bool:
    """Whether the high octets stand alone or in pairs among many letters of ASCII, as accents do."""
    text = sample.decode("cp1252", "replace")
    runs = [len(run) for run in _HIGH_RUN.findall(text)]
    letters = sum(character.isascii() and character.isalpha() for character in text)
    return letters >= 2 * sum(runs) and max(runs, default=0) <= 2
