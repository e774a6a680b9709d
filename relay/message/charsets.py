"""Octets to text, as browsers and the mail programs of Japan and Korea read them.

Decoding never raises, and its text never holds a lone surrogate. What was declared is believed as long as
the octets agree; then come UTF-8, what the octets themselves show, and at last windows-1252, which takes
anything.
"""

import codecs
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

import charset_normalizer

from relay.message.japanese import decode_euc_jp, decode_iso_2022_jp
from relay.message.labels import find_codec

_SAMPLE = 32 * 1024  # octets that are enough to guess by
_ESCAPES = (b"\x1b$B", b"\x1b$@", b"\x1b(J", b"\x1b(I", b"\x1b$(")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_SURROGATES = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "�"
# Which codec wins among those that take the octets: the share of its characters that people write.
_EAST_ASIAN = ("cp932", "euc-jp", "cp949", "gb18030", "big5")
_GOOD_ENOUGH = 0.55

logging.getLogger("charset_normalizer").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, and whether its charset had to be guessed."""

    text: str
    codec: str
    guessed: bool = False  # the declared charset was absent or wrong, and the octets are not ASCII
    damaged: bool = False  # characters were replaced


def decode(octets: bytes, label: str = "") -> Decoded:
    """Decode what was declared with `label`; "" when nothing was declared."""
    codec = find_codec(label)
    if codec and codec != "us-ascii":
        text, good = _decode_by(octets, codec)
        if good or _is_small_damage(octets, text, codec):
            return Decoded(_clean(text), codec, damaged=not good)
    if octets.isascii() and b"\x1b" not in octets:
        unknown = bool(label) and not codec
        return Decoded(_clean_ascii(octets), "us-ascii", guessed=unknown)
    guess = guess_codec(octets)
    text, good = _decode_by(octets, guess)
    return Decoded(_clean(text), guess, guessed=True, damaged=not good)


def decode_field(raw: bytes) -> str:
    """A field's octets as text; encoded-words stay as they are."""
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    return decode(raw).text


def _clean_ascii(octets: bytes) -> str:
    return octets.decode("ascii")


def _clean(text: str) -> str:
    text = text.removeprefix("\ufeff")
    return _SURROGATES.sub(_REPLACEMENT, text) if not text.isascii() else text


def _is_small_damage(octets: bytes, text: str, codec: str) -> bool:
    """Whether the declared charset is plainly right, and a few octets are broken."""
    if codec in {"utf-16", "utf-16-le", "utf-16-be", "utf-7", "hz", "iso2022_kr"}:
        return len(text.replace(_REPLACEMENT, "")) > 8 * text.count(_REPLACEMENT)
    high = len(octets) - len(octets.translate(None, bytes(range(0x80, 0x100))))
    if codec == "iso-2022-jp":
        return any(escape in octets for escape in _ESCAPES)
    return text.count(_REPLACEMENT) * 6 <= high


def _decode_by(octets: bytes, codec: str) -> tuple[str, bool]:
    """Decode with replacement; the flag says whether nothing had to be replaced."""
    if special := _SPECIAL.get(codec):
        return special(octets)
    try:
        return octets.decode(codec), True
    except UnicodeDecodeError:
        pass
    except (UnicodeError, ValueError, LookupError):
        return octets.decode("latin-1"), False
    if codec.startswith(("cp125", "iso8859", "cp874")):
        # The undefined octets of the windows pages are C1 controls (WHATWG Encoding Standard).
        text = octets.decode(codec, "relay-c1")
        return text, not codec.startswith("cp874")
    return octets.decode(codec, "replace"), False


def _replace_by_c1(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError):
        return error.object[error.start : error.end].decode("latin-1"), error.end
    raise error


codecs.register_error("relay-c1", _replace_by_c1)


def _decode_big5(octets: bytes) -> tuple[str, bool]:
    for codec in ("big5hkscs", "cp950"):
        try:
            return octets.decode(codec), True
        except UnicodeDecodeError:
            continue
    return octets.decode("big5hkscs", "replace"), False


def _decode_utf_16(octets: bytes, default: str = "utf-16-le") -> tuple[str, bool]:
    for bom, codec in _BOMS[1:]:
        if octets.startswith(bom):
            default, octets = codec, octets[2:]
            break
    text = octets.decode(default, "replace")
    return text, _REPLACEMENT not in text and len(octets) % 2 == 0


def _decode_utf_7(octets: bytes) -> tuple[str, bool]:
    text = octets.decode("utf-7", "replace")
    return text, _REPLACEMENT not in text


def _decode_cp932(octets: bytes) -> tuple[str, bool]:
    if any(escape in octets for escape in _ESCAPES[:2]):  # mislabelled ISO-2022-JP
        return decode_iso_2022_jp(octets)
    try:
        return octets.decode("cp932"), True
    except UnicodeDecodeError:
        text = octets.decode("cp932", "replace")
        return text, False


_SPECIAL: dict[str, Callable[[bytes], tuple[str, bool]]] = {
    "iso-2022-jp": decode_iso_2022_jp,
    "euc-jp": decode_euc_jp,
    "cp932": _decode_cp932,
    "big5": _decode_big5,
    "utf-16": _decode_utf_16,
    "utf-16-le": _decode_utf_16,
    "utf-16-be": lambda octets: _decode_utf_16(octets, "utf-16-be"),
    "utf-7": _decode_utf_7,
}


def guess_codec(octets: bytes) -> str:
    """The codec that the octets themselves show."""
    for bom, codec in _BOMS:
        if octets.startswith(bom):
            return codec
    if any(escape in octets for escape in _ESCAPES):
        return "iso2022_kr" if b"\x1b$)C" in octets else "iso-2022-jp"
    if _takes(octets, "utf-8"):
        return "utf-8"
    sample = octets[:_SAMPLE]
    if found := _guess_east_asian(sample):
        return found
    best = charset_normalizer.from_bytes(sample).best()
    codec = find_codec(best.encoding) if best is not None else ""
    return codec if codec and codec != "us-ascii" and _decode_by(sample, codec)[1] else "cp1252"


def _takes(octets: bytes, codec: str) -> bool:
    try:
        octets.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _guess_east_asian(sample: bytes) -> str:
    """The East Asian codec whose text looks most like what people write; "" when none does."""
    scores = {}
    for codec in _EAST_ASIAN:
        text, good = _decode_by(sample, codec)
        if not good:
            text, good = _decode_by(sample[:-1], codec)  # the sample may end within a character
        if good:
            scores[codec] = _score(text, codec)
    best = max(scores, key=lambda codec: scores[codec], default="")
    return best if best and scores[best] >= _GOOD_ENOUGH else ""


def _score(text: str, codec: str) -> float:
    """The share of likely characters among those beyond ASCII, by the codec's own language."""
    beyond = [character for character in text if character >= "\x80"]
    if not beyond:
        return 0.0
    return sum(_weigh(character, codec) for character in beyond) / len(beyond)


def _weigh(character: str, codec: str) -> float:
    code = ord(character)
    if 0x3040 <= code <= 0x30FF:  # kana
        return 1.0 if codec in {"cp932", "euc-jp"} else 0.2
    if 0xAC00 <= code <= 0xD7A3:  # hangul
        return 1.0 if codec == "cp949" else 0.0
    if 0x4E00 <= code <= 0x9FFF:
        return 0.7 if codec in {"cp932", "euc-jp"} and _is_common(character) else 0.5
    if 0x3000 <= code <= 0x303F or 0xFF00 <= code <= 0xFF5E:
        return 0.8
    if 0xFF61 <= code <= 0xFF9F:  # half-width katakana: what other charsets look like as Shift_JIS
        return 0.3
    return 0.2


def _is_common(character: str) -> bool:
    """Whether the kanji is of JIS level 1."""
    try:
        octets = character.encode("euc_jp")
    except UnicodeEncodeError:
        return False
    return len(octets) == 2 and octets[0] <= 0xCF
