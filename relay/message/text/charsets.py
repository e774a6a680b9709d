"""Octets to text, as browsers and the mail programs of Japan and Korea read them.

Decoding never raises, and its text never holds a lone surrogate. The evidence is weighed in one order, for
bodies, fields and names alike; the first row that holds decides:

| what is there | is read as |
|---|---|
| ASCII without NUL or escape sequence | ASCII, but for 7-bit charsets that are made of it |
| a byte order mark, an escape sequence of ISO 2022 | what it says |
| well-formed UTF-8 with several long characters | UTF-8 under any label but an East Asian one, also for one |
| | sign (a euro, a quotation mark, a dash, an arrow); under that |
| | too if there are three, and hardly any of two octets, or all have three and none stands alone |
| octets that the declared charset has | that; but text in Shift_JIS, EUC-KR or Big5 is not Latin, |
| | what is beyond doubt Shift_JIS is of no alphabet, and that or Big5 not of mainland China or Korea; |
| | of EUC-KR, GB 2312, EUC-JP and Big5, but under euc-jp, the one whose rows the text uses |
| a Japanese label | of Shift_JIS and EUC-JP the one with fewer wrong octets |
| - neither has any, or euc-jp is declared | what is declared |
| - half-width katakana in Shift_JIS | EUC-JP if all octets pair up and a pair is kana |
| | (rows A4, A5), or all kanji are rare in Shift_JIS alone; else half-width katakana (JIS X 0201) |
| a few octets that the declared charset has not | the declared charset, with replacement |
| lines in UTF-8, and others | line by line |
| UTF-8 but for a few octets | UTF-8, with replacement |
| a charset that the message names elsewhere | that, if hardly anything is wrong |
| nothing of that | what `guessing` finds; at last windows-1252 |

A character that is cut off at the end is never wrong: devices cut subjects and names by octets. One line that
differs does not decide for the others.
"""

import codecs
import re
from dataclasses import dataclass

from relay.message.text import budget
from relay.message.text.guessing import (
    LATIN,
    find_east_asian,
    guess_codec,
    has_shift_jis,
    is_common,
    is_plain_japanese,
    looks_western,
)
from relay.message.text.japanese import HALFWIDTH, has_kana_pairs
from relay.message.text.labels import find_codec
from relay.message.text.readings import (
    BOMS,
    EAST_ASIAN,
    ESCAPES,
    REPLACEMENT,
    Reading,
    decode_by,
    is_whole,
    read,
)
from relay.message.text.rows import find_other_rows

JAPANESE = {"iso-2022-jp", "cp932", "euc-jp"}
_UTF_16 = {"utf-16", "utf-16-le", "utf-16-be"}
_UTF_32 = {"utf-32", "utf-32-le", "utf-32-be"}
_SEVEN_BITS = {"iso-2022-jp", "iso2022_kr", "hz", "utf-7", "gb2312"}
_ESCAPING = {"iso-2022-jp"} | _UTF_16 | _UTF_32
_STATES = _SEVEN_BITS | _UTF_16 | _UTF_32
# Those in which the octets 80 to 9F are hardly ever letters; those of DOS and the Macintosh are others.
_FEW_LETTERS = ("iso8859", "cp125", "koi8", "cp874")
# What UTF-8 of East Asian text has none of: letters of two octets, and characters that stand alone in ASCII.
_NOT_EAST_ASIAN = re.compile("[\u0080-\u07ff]|(?<![^\x00-\x7f])[^\x00-\x7f](?![^\x00-\x7f])")
_LONG_PAIR = re.compile(rb"(?:[\xe1-\xef][\x80-\xbf]{2}){2}")
_TWO, _LONG = re.compile("[\u0080-\u07ff]"), re.compile("[\u0800-\U0010ffff]")
# Signs whose octets are no text in any charset of single octets: â€™, в‚¬, β†’.
_SIGN = re.compile("[\u2010-\u2027\u2030-\u205e\u20a0-\u22ff\u25a0-\u27bf]")
_EMOJI = re.compile("[\u2300-\u23ff\u2b00-\u2bff\U0001f000-\U0001faff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_ODD = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd-\uffff]")
_KANA = re.compile("[\u3041-\u30fa]")
_KANJI = re.compile("[\u4e00-\u9fff]")
# Characters that are no chance in a text that is all UTF-8, an emoji counted twice: of 23,000 short texts in
# their own charset of single octets none had two.
_ENOUGH = 2
_MANY = 3  # long ones that are no chance in a text of which some is none
_PLENTY = 6  # of them whatever they are; fewer must be of one language
_MOST_HINTS = 8
_MOST_OF_ONE = 3  # octets of one character, beside one that was replaced
_FAR_LESS = 4  # times, that another charset must be better than the declared one
_MOST_LINES = 20_000
_LOW = bytes(range(0x80))
_NO_TAIL = bytes(octet for octet in range(256) if not 0x80 <= octet <= 0xBF)  # none of UTF-8's further octets
_WRITTEN = ("cp932", "cp949", "gb2312", "big5", "cp874", *(f"cp{page}" for page in range(1250, 1259)))
_MOST_WRITTEN = 1000  # characters that show whether they are text


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, and whether its charset had to be guessed."""

    text: str
    codec: str
    guessed: bool = False  # the declared charset was absent or wrong, and the octets are not ASCII
    damaged: bool = False  # characters were replaced


def decode(octets: bytes, label: str = "") -> Decoded:
    """Decode what was declared with `label`; "" when nothing was declared."""
    if not budget.current().take_decoding():
        return Decoded(_clean(octets.decode("utf-8", "replace")), "utf-8", guessed=True)
    codec = find_codec(label)
    if codec and codec != "us-ascii" and (found := _read_declared(octets, codec)):
        return found
    if octets.isascii() and b"\x1b" not in octets:
        is_wrong = bool(label) and (not codec or codec in _UTF_16 | _UTF_32)
        return Decoded(octets.decode("ascii"), "us-ascii", guessed=is_wrong)
    return _read_undeclared(octets)


def decode_whole(octets: bytes, codec: str) -> str | None:
    """The text by that codec; None if it does not take every octet."""
    text, good = decode_by(octets, codec)
    return text if good else None


def decode_field(raw: bytes, codec: str = "") -> str:
    """A field's octets as text; encoded-words stay as they are.

    Args:
        raw: the octets.
        codec: that of the text that they stood in.
    """
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    return decode(raw, codec if codec in EAST_ASIAN or not is_whole(raw, "utf-8") else "").text


def read_hinted(octets: bytes, codec: str) -> Reading | None:
    """Octets without a label, read by a codec that the message names elsewhere; None if they are not that."""
    if codec in JAPANESE:
        found = read_japanese(octets, codec)
    elif codec in EAST_ASIAN:
        found = read(octets, codec)
        found = _find_better(octets, found) or found
    else:
        return None
    return found if found.is_likely and found.codec != "iso-2022-jp" else None


def _make(reading: Reading, *, guessed: bool) -> Decoded:
    damaged = not reading.whole or REPLACEMENT in reading.text
    return Decoded(_clean(reading.text), reading.codec, guessed=guessed, damaged=damaged)


def _clean(text: str) -> str:
    text = text.removeprefix("\ufeff")
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub(REPLACEMENT, text)
    return text


def _is_long_utf_8(octets: bytes, codec: str) -> bool:
    """Whether it is UTF-8 that text of another charset is by no chance worth counting.

    Each long character would be an accented letter and symbols in a single-octet charset; Shift_JIS would
    take it as rare kanji.
    """
    if octets.isascii():
        return False
    if codec in EAST_ASIAN:
        return _is_east_asian_utf_8(octets)
    high = len(octets.translate(None, _LOW))
    if 3 * len(octets.translate(None, _NO_TAIL)) < high:
        return False  # each of its characters would have one of those at least
    return _is_mostly_utf_8(read(octets, "utf-8")) or _has_utf_8(octets)


def _is_east_asian_utf_8(octets: bytes) -> bool:
    """Whether it is UTF-8, perhaps cut off; each run would begin with a rare character of the others."""
    whole = octets.rstrip()
    try:
        text, end = codecs.utf_8_decode(whole, "strict", False)
    except UnicodeDecodeError:
        return False
    if end == len(whole) and _NOT_EAST_ASIAN.search(text) is None:
        return True
    long = len(_LONG.findall(text))
    return long >= _MANY and long >= _FAR_LESS * len(_TWO.findall(text))


def _is_rather_utf_8(octets: bytes, found: Reading) -> bool:
    """Whether an East Asian reading has so many wrong octets, and UTF-8 so few, that it is UTF-8."""
    if not found.cost:
        return False
    utf_8 = read(octets, "utf-8")
    text = utf_8.text.replace(REPLACEMENT, "")
    long = len(_LONG.findall(text))
    is_written = long > 1 and long >= _FAR_LESS * len(_TWO.findall(text))
    return is_written and 2 * utf_8.wrong * _FAR_LESS <= found.cost


def _is_mostly_utf_8(found: Reading) -> bool:
    """Whether a reading as UTF-8 has far more well-formed long characters than wrong octets."""
    if found.whole and _SIGN.search(found.text):
        return True
    text = found.text.replace(REPLACEMENT, "")
    emoji = len(_EMOJI.findall(text))
    weight = len(_TWO.findall(text)) + 2 * len(_LONG.findall(text)) + emoji
    doubts = 2 * found.wrong or 2 * (not found.whole)
    if found.good < 3 * found.wrong or found.good + emoji < _ENOUGH or weight < _ENOUGH + doubts:
        return False
    return weight >= _PLENTY or _is_written(_EMOJI.sub("", text))


def may_be_utf_8(octets: bytes) -> bool:
    """Whether raw octets are UTF-8, perhaps but for a few, or cut off."""
    found = read(octets, "utf-8")
    return found.whole or _is_cut_utf_8(found) or _is_mostly_utf_8(found)


def _is_cut_utf_8(found: Reading) -> bool:
    """Whether a reading as UTF-8 has a long character, and but for one that is cut off nothing is wrong."""
    return not found.wrong and _LONG.search(found.text.replace(REPLACEMENT, "")) is not None


def _read_declared(octets: bytes, codec: str) -> Decoded | None:
    """By the declared charset, as far as the octets agree; None if they do not."""
    if codec not in _ESCAPING and any(one in octets for one in ESCAPES[:2]):
        return None  # ISO-2022-JP under the label of a charset that has no escape sequences
    if codec in _UTF_16:
        return _read_utf_16(octets, codec)
    if codec == "utf-8":
        return _read_utf_8(octets)
    if codec in _STATES and codec != "iso-2022-jp":
        return _read_states(octets, codec)
    is_utf_8 = octets.startswith(codecs.BOM_UTF8) or _is_long_utf_8(octets, codec)
    return None if is_utf_8 else _read_local(octets, codec)


def _read_local(octets: bytes, codec: str) -> Decoded | None:
    """By the declared charset of some countries, which UTF-8 is not."""
    if codec in JAPANESE:
        return _read_as_japanese(octets, codec)
    if codec in EAST_ASIAN:
        found = read(octets, codec)
        return None if _is_rather_utf_8(octets, found) else _settle(octets, found)
    if other := _find_other(octets, codec):
        return _read_lines(octets, other) or _make(read(octets, other), guessed=True)
    found = read(octets, codec)
    return _make(found, guessed=False) if found.whole or found.wrong * 6 <= found.good else None


def _find_other(octets: bytes, codec: str) -> str:
    """The East Asian codec of octets that are no text in a charset of single octets; "" for none."""
    if codec in LATIN:
        sample = octets[: budget.SAMPLE]
        return find_east_asian(_drop_utf_8(sample) if _LONG_PAIR.search(sample) else sample)
    return "cp932" if codec.startswith(_FEW_LETTERS) and has_shift_jis(octets) else ""


def _read_states(octets: bytes, codec: str) -> Decoded | None:
    found = read(octets, codec)
    is_small = len(found.text.replace(REPLACEMENT, "")) > 8 * found.text.count(REPLACEMENT)
    return _make(found, guessed=False) if found.whole or is_small else None


def _read_utf_16(octets: bytes, codec: str) -> Decoded | None:
    """UTF-16 only where it can be: with a mark or NUL, or where people write such text that is no UTF-8."""
    if octets.startswith(tuple(bom for bom, name in BOMS if name != "utf-8")):
        return _make(read(octets, codec), guessed=False)
    found = max(
        (read(octets, one) for one in dict.fromkeys((codec, "utf-16-le", "utf-16-be"))),
        key=lambda one: _count_written(one.text),
    )
    if b"\0" not in octets:
        if (is_whole(octets, "utf-8") and not _ODD.search(octets.decode("utf-8"))) or find_east_asian(octets):
            return None
        if not _is_written(found.text):
            return None
    is_small = len(found.text.replace(REPLACEMENT, "")) > 8 * found.text.count(REPLACEMENT)
    return _make(found, guessed=False) if found.whole or is_small else None


def _count_written(text: str) -> int:
    """How many characters are of the charsets that people write in, the one of most of them."""
    sample = text[:_MOST_WRITTEN]
    return max(len(sample.encode(codec, "ignore").decode(codec)) for codec in _WRITTEN)


def _is_written(text: str) -> bool:
    """Whether the characters beyond ASCII are, in the main, those of one such charset."""
    sample = "".join(character for character in text[:_MOST_WRITTEN] if not character.isascii())
    return 8 * len(_ODD.findall(sample)) <= len(sample) and 4 * _count_written(sample) >= 3 * len(sample)


def _read_utf_8(octets: bytes) -> Decoded | None:
    found = read(octets, "utf-8")
    if found.whole:
        return _make(found, guessed=False)
    # A long character is one by no chance; an octet replaced in another leaves so many wrong places at most.
    is_long = found.wrong <= _MOST_OF_ONE and _LONG.search(found.text.replace(REPLACEMENT, ""))
    if not (found.fits or is_long) or octets.startswith(tuple(bom for bom, name in BOMS if name != "utf-8")):
        return None
    return _read_lines(octets, "utf-8") or _make(found, guessed=False)


def _settle(octets: bytes, found: Reading) -> Decoded | None:
    """A reading by the declared charset: as it is, line by line where some differ, or not at all."""
    if not found.fits:
        return None
    if (better := _find_better(octets, found)) is not None:
        return _make(better, guessed=True)
    if found.whole and not found.wrong and not _LONG_PAIR.search(octets):
        return _make(found, guessed=False)
    return _read_lines(octets, found.codec) or _make(found, guessed=False)


def _find_better(octets: bytes, found: Reading) -> Reading | None:
    """A reading by the charset of another country that is beyond doubt, where the declared one is not."""
    # GB 18030 and code page 949 take nearly all that Shift_JIS has, as characters that hardly anybody writes.
    if found.codec in {"gb18030", "cp949"} and has_shift_jis(octets):
        return read(octets, "cp932")
    if found.codec not in JAPANESE and (rows := find_other_rows(octets, found.codec)):
        return read(octets, rows)
    if found.codec in JAPANESE or found.wrong <= _MOST_OF_ONE:
        return None  # one octet that is another may leave long runs of EUC-JP out of step
    if (other := find_east_asian(octets)) in {"", found.codec}:
        return None
    better = read(octets, other)
    return better if better.cost * _FAR_LESS <= found.cost else None


def _read_as_japanese(octets: bytes, codec: str) -> Decoded | None:
    found = read_japanese(octets, codec)
    if _is_rather_utf_8(octets, found):
        return None
    if found.codec != codec:
        return _make(found, guessed=True) if found.is_likely else None
    if codec == "iso-2022-jp":
        return _make(found, guessed=False) if found.whole or any(one in octets for one in ESCAPES) else None
    if found.wrong <= _MOST_OF_ONE and _KANA.search(found.text):
        return _read_lines(octets, codec) or _make(found, guessed=False)
    return _settle(octets, found)


def read_japanese(octets: bytes, declared: str) -> Reading:
    """Japanese text by the charset that has the fewest wrong octets: its label tells the language."""
    if any(one in octets for one in ESCAPES) or (declared == "iso-2022-jp" and octets.isascii()):
        return read(octets, "iso-2022-jp")
    if _LONG_PAIR.search(octets) and (rest := _drop_utf_8(octets)) != octets:
        return read(octets, read_japanese(rest, declared).codec if rest.strip() else declared)
    sjis = read(octets, "cp932")
    if declared != "euc-jp" and not sjis.cost and not HALFWIDTH.search(sjis.text):
        return sjis
    euc = read(octets, "euc-jp")
    is_kana = _KANA.search(euc.text) or (sjis.cost and HALFWIDTH.search(sjis.text))
    if declared == "euc-jp" and (euc.whole or (euc.fits and is_kana) or (euc.good and not euc.wrong)):
        return euc
    if sjis.cost != euc.cost:
        return min(sjis, euc, key=lambda one: one.cost)
    if sjis.cost:
        is_euc = declared == "euc-jp" or _has_more_kana(euc, sjis)
    else:
        is_half = HALFWIDTH.search(sjis.text) is not None
        is_euc = has_kana_pairs(octets) or _is_rarer(sjis, euc) if is_half else declared == "euc-jp"
    return euc if is_euc else sjis


def _is_rarer(one: Reading, other: Reading) -> bool:
    """Whether one reading has only kanji that hardly anybody writes, and the other none of them."""
    kanji = _KANJI.findall(one.text)
    return bool(kanji) and not any(map(is_common, kanji)) and all(map(is_common, other.text))


def _drop_utf_8(octets: bytes) -> bytes:
    """The octets without the lines that are plainly UTF-8, which say nothing of the others' charset."""
    lines = octets.splitlines(keepends=True)
    budget.current().take_lines(len(lines))
    return b"".join(line for line in lines if not _is_long_utf_8(line, "cp932"))


def _has_more_kana(one: Reading, other: Reading) -> bool:
    return len(_KANA.findall(one.text)) > len(_KANA.findall(other.text))


def _split(octets: bytes) -> list[bytes]:
    """The lines; none where there is but one, or too many to be looked at one by one."""
    lines = octets.splitlines(keepends=True) if octets.count(b"\n") <= _MOST_LINES else []
    return lines if len(lines) > 1 else []


def _read_lines(octets: bytes, codec: str) -> Decoded | None:
    """Line by line, where some are of another charset than `codec`; None where they are not."""
    pieces: list[str] = []
    is_mixed = False
    lines = _split(octets)
    budget.current().take_lines(len(lines))
    for line in lines:
        if line.isascii():
            pieces.append(line.decode("ascii"))
            continue
        found = Reading("utf-8", "", False, 0, 1)
        if codec == "utf-8" or not _is_long_utf_8(line, codec):
            found = read(line, codec)
        if found.wrong or not found.whole:
            is_mixed = True
            found = _read_foreign(line, codec)
        pieces.append(found.text)
    text = "".join(pieces)
    return Decoded(_clean(text), codec, guessed=True, damaged=REPLACEMENT in text) if is_mixed else None


def _read_foreign(line: bytes, codec: str) -> Reading:
    """A line that is not of the text's codec, or is damaged."""
    if codec != "utf-8" and _is_long_utf_8(line, codec):
        return read(line, "utf-8")
    main = read(line, codec)
    if codec == "utf-8" and not main.fits and is_plain_japanese(line):
        return read(line, "cp932")
    if codec != "utf-8" and main.wrong and is_whole(line, "utf-8") and _LONG.search(line.decode("utf-8")):
        return read(line, "utf-8")
    if main.wrong and not main.good and looks_western(line):
        return read(line, "cp1252")
    return main


def _read_undeclared(octets: bytes) -> Decoded:
    """By what the octets themselves show, then by what the message names elsewhere, then by a guess."""
    if codec := _find_marks(octets):
        return _make(read(octets, codec), guessed=True)
    utf_8 = read(octets, "utf-8")
    if utf_8.whole or _is_cut_utf_8(utf_8):
        return _make(utf_8, guessed=True)
    if _has_utf_8(octets) or _is_mostly_utf_8(utf_8):
        return _read_mixed(octets) or _make(utf_8, guessed=True)
    hinted = (read_hinted(octets, hint) for hint in budget.current().find_hints()[:_MOST_HINTS])
    if (found := next(filter(None, hinted), None)) is not None:
        return _make(found, guessed=True)
    found = read(octets, budget.current().guess(octets, guess_codec))
    if not found.is_likely:
        return _make(read(octets, "cp1252"), guessed=True)
    lines = _read_lines(octets, found.codec) if found.codec in EAST_ASIAN and found.wrong else None
    return lines or _make(found, guessed=True)


def _find_marks(octets: bytes) -> str:
    """The codec that a byte order mark or an escape sequence says; "" without one."""
    for bom, codec in BOMS:
        if octets.startswith(bom):
            return codec
    if any(escape in octets for escape in ESCAPES):
        return "iso2022_kr" if b"\x1b$)C" in octets else "iso-2022-jp"
    return ""


def _has_utf_8(octets: bytes) -> bool:
    """Whether some lines are UTF-8 by no chance: many characters of it, or more lines than are none of it."""
    lines = [line for line in _split(octets) if not line.isascii()]
    good = [line for line in lines if is_whole(line, "utf-8")]
    text = b"".join(good).decode("utf-8")
    two, long = len(_TWO.findall(text)), len(_LONG.findall(text))
    if long >= _MANY or two >= 4 * _MANY:
        return True
    foreign = len(lines) - len(good)
    return len(good) > foreign and two + 2 * long >= _MANY + 2 * foreign and _is_written(text)


def _read_mixed(octets: bytes) -> Decoded | None:
    """Lines of UTF-8, and others: those by a charset of their own, if they are another's in the main."""
    lines = _split(octets)
    foreign = [line for line in lines if not line.isascii() and not is_whole(line, "utf-8")]
    others = [line for line in foreign if not read(line, "utf-8").fits]
    if not others:
        return None
    rest = b"".join(others)
    codec = budget.current().guess(rest, guess_codec)
    codec = codec if read(rest, codec).is_likely and codec != "cp1252" else "utf-8"
    # A short line that is by chance UTF-8 for the half.
    others += [line for line in foreign if _is_chance_utf_8(line) and read(line, codec).whole]
    chosen = set(others)
    text = "".join(read(line, codec if line in chosen else "utf-8").text for line in lines)
    return Decoded(_clean(text), "utf-8", guessed=True, damaged=REPLACEMENT in text)


def _is_chance_utf_8(line: bytes) -> bool:
    found = read(line, "utf-8")
    return found.fits and found.good < _MOST_OF_ONE * found.wrong
