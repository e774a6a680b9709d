"""Octets to text, as browsers and the mail programs of Japan and Korea read them.

Decoding never raises, and its text never holds a lone surrogate. What was declared is believed as long as
the octets agree; then come UTF-8, what the octets themselves show, and at last windows-1252, which takes
anything.
"""

import codecs
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from relay.message.text import budget
from relay.message.text.guessing import guess_codec
from relay.message.text.japanese import decode_euc_jp, decode_iso_2022_jp
from relay.message.text.labels import find_codec

_ESCAPES = (b"\x1b$B", b"\x1b$@", b"\x1b(J", b"\x1b(I", b"\x1b$(")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_EAST_ASIAN = {"cp932", "euc-jp", "cp949", "gb18030", "big5"}
# What UTF-8 of East Asian text has none of: letters of two octets, and characters that stand alone in ASCII.
_NOT_EAST_ASIAN = re.compile("[\u0080-\u07ff]|(?<![^\x00-\x7f])[^\x00-\x7f](?![^\x00-\x7f])")
_JAPANESE = {"iso-2022-jp", "cp932", "euc-jp"}
_KANA = re.compile("[\u3041-\u30fa]")
# What takes more than one octet everywhere; half-width katakana take one, and any octets may look like them.
_WIDE = re.compile("[\u0080-\uff60\uffa0-\U0010ffff]")
_NOT_WRITTEN = re.compile("[\ue000-\uf8ff\uff61-\uff9f]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "�"
_SAMPLE = 4096  # octets that are enough to see the order of octets by


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
    if (
        codec
        and codec != "us-ascii"
        and not _is_escaped_japanese(octets, codec)
        and not _is_utf_8(octets, codec)
    ):
        text, good = _decode_by(octets, codec)
        if not good and codec in _JAPANESE and (other := _read_other_japanese(octets, codec)):
            return other
        if good or _is_small_damage(octets, text, codec):
            return Decoded(_clean(text), codec, damaged=not good)
    if octets.isascii() and b"\x1b" not in octets:
        unknown = bool(label) and not codec
        return Decoded(octets.decode("ascii"), "us-ascii", guessed=unknown)
    guess = _find_codec(octets)
    text, good = _decode_by(octets, guess)
    return Decoded(_clean(text), guess, guessed=True, damaged=not good)


def decode_whole(octets: bytes, codec: str) -> str | None:
    """The text by that codec; None if it does not take every octet."""
    text, good = _decode_by(octets, codec)
    return text if good else None


def decode_field(raw: bytes, codec: str = "") -> str:
    """A field's octets as text; encoded-words stay as they are.

    Args:
        raw: the octets.
        codec: that of the text that they stood in. One that takes any octets is no reason to doubt UTF-8.
    """
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    return decode(raw, "" if codec not in _EAST_ASIAN and _takes(raw, "utf-8") else codec).text


def _clean(text: str) -> str:
    text = text.removeprefix("\ufeff")
    return _SURROGATES.sub(_REPLACEMENT, text) if not text.isascii() else text


def _is_escaped_japanese(octets: bytes, codec: str) -> bool:
    """Whether it is ISO-2022-JP under the label of a charset that has no escape sequences."""
    return (
        not codec.startswith("iso-2022") and octets.isascii() and any(one in octets for one in _ESCAPES[:2])
    )


def _is_utf_8(octets: bytes, codec: str) -> bool:
    """Whether it is UTF-8 under an East Asian label: nothing but ASCII and well-formed groups of three or
    four.

    Text of those charsets is that by no chance worth counting; Shift_JIS would take it as rare kanji.
    """
    if codec not in _EAST_ASIAN or octets.isascii():
        return False
    try:
        return _NOT_EAST_ASIAN.search(octets.decode("utf-8")) is None
    except UnicodeDecodeError:
        return False


def _is_small_damage(octets: bytes, text: str, codec: str) -> bool:
    """Whether the declared charset is plainly right, and a few octets are broken."""
    if codec in {"utf-16", "utf-16-le", "utf-16-be", "utf-7", "hz", "iso2022_kr"}:
        return len(text.replace(_REPLACEMENT, "")) > 8 * text.count(_REPLACEMENT)
    high = len(octets) - len(octets.translate(None, bytes(range(0x80, 0x100))))
    if codec == "iso-2022-jp":
        return any(escape in octets for escape in _ESCAPES)
    return text.count(_REPLACEMENT) * 6 <= high or _is_cut_off(text)


def _is_cut_off(text: str) -> bool:
    """Whether all is well but the last character: devices cut subjects and names by octets."""
    whole = text.rstrip().removesuffix(_REPLACEMENT)
    return _REPLACEMENT not in whole and _WIDE.search(whole) is not None


def _read_other_japanese(octets: bytes, declared: str) -> Decoded | None:
    """Shift_JIS or EUC-JP under the label of another Japanese charset: the label tells the language."""
    if any(escape in octets for escape in _ESCAPES) or _takes(octets, "utf-8"):
        return None
    found = []
    for codec in {"cp932", "euc-jp"} - {declared}:
        text, whole = _decode_by(octets, codec)
        if whole and _WIDE.search(text) and not _NOT_WRITTEN.search(text):
            found.append(Decoded(text, codec, guessed=True))
    return max(found, key=lambda one: len(_KANA.findall(one.text)), default=None)


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


def _decode_utf_8(octets: bytes) -> tuple[str, bool]:
    try:
        return octets.decode("utf-8"), True
    except UnicodeDecodeError:
        pass
    if b"\xed" in octets:
        # Surrogates, each encoded by itself: what databases and Java programs call UTF-8 (CESU-8).
        with suppress(UnicodeError):
            pairs = octets.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass")
            return pairs.decode("utf-16-le"), True
    return octets.decode("utf-8", "replace"), False


def _decode_utf_16_unmarked(octets: bytes) -> tuple[str, bool]:
    """RFC 2781 §4.3: big-endian is to be assumed; WHATWG: little-endian. ASCII in it shows which."""
    sample = octets[:_SAMPLE]
    big = sample[::2].count(0) > sample[1::2].count(0)
    return _decode_utf_16(octets, "utf-16-be" if big else "utf-16-le")


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
    "utf-8": _decode_utf_8,
    "utf-16": _decode_utf_16_unmarked,
    "utf-16-le": _decode_utf_16,
    "utf-16-be": lambda octets: _decode_utf_16(octets, "utf-16-be"),
    "utf-7": _decode_utf_7,
}


def _find_codec(octets: bytes) -> str:
    """The codec that the octets themselves show."""
    for bom, codec in _BOMS:
        if octets.startswith(bom):
            return codec
    if any(escape in octets for escape in _ESCAPES):
        return "iso2022_kr" if b"\x1b$)C" in octets else "iso-2022-jp"
    text, whole = _decode_utf_8(octets)
    if whole or _is_cut_off(text):
        return "utf-8"
    guess = budget.current().guess(octets, guess_codec)
    return guess if _decode_by(octets, guess)[1] else "cp1252"


def _takes(octets: bytes, codec: str) -> bool:
    try:
        octets.decode(codec)
    except UnicodeDecodeError:
        return False
    return True
