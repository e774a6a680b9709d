"""One reading of some octets: the text that a codec makes of them, and how much of it is wrong."""

import codecs
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from relay.message.text.japanese import decode_euc_jp, decode_iso_2022_jp

ESCAPES = (b"\x1b$B", b"\x1b$@", b"\x1b(J", b"\x1b(I", b"\x1b$(")
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
EAST_ASIAN = {"cp932", "euc-jp", "cp949", "gb18030", "big5"}
_MULTIPLE = EAST_ASIAN | {"utf-8", "johab"}
REPLACEMENT = "�"
_PRIVATE = re.compile("[\ue000-\uf8ff]")
# What the codec makes of octets that begin no character: 80, A0, FD, FE, FF.
_NO_SHIFT_JIS = re.compile("[\x80\xa0\uf8f0-\uf8f3]")
_BEYOND = re.compile("[^\x00-\x7f]+")
_BEHIND = ' \t\r\n";'  # what may stand behind the last character of a text, or of a field's value
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}\Z")  # of a file's name: devices cut before they put it there
_LONGEST_END = 64  # octets in which the last character is looked for
_SAMPLE = 4096  # octets that are enough to see the order of octets by


@dataclass(frozen=True, slots=True)
class Reading:
    """What a codec makes of some octets."""

    codec: str
    text: str
    whole: bool  # whether nothing was replaced
    good: int  # characters beyond ASCII
    wrong: int  # places where octets are none of the codec, but for a character that is cut off at the end
    apart: bool = False  # whether all that is wrong is within one run of characters, and others are right

    @property
    def cost(self) -> int:
        """How bad it is; one that ends within a character is a little worse than a whole one."""
        return 2 * self.wrong + (not self.whole)

    @property
    def fits(self) -> bool:
        """Whether more of it is right than wrong."""
        return self.whole or self.apart or (self.good > 0 and self.good >= self.wrong)

    @property
    def is_likely(self) -> bool:
        """Whether so little of it is wrong that nobody needs to have said the codec."""
        return self.whole or (self.good > 0 and self.wrong * 8 <= self.good)


def is_whole(octets: bytes, codec: str) -> bool:
    """Whether Python's own codec reads every octet."""
    try:
        octets.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def read(octets: bytes, codec: str) -> Reading:
    """Decode with replacement."""
    text, whole = decode_by(octets, codec)
    beyond = len(text) - len(text.encode("ascii", "ignore"))
    # Nobody has these in a mail: they are other octets' doing. Gaiji are, and mean nothing elsewhere.
    private = len(_PRIVATE.findall(text)) if codec in EAST_ASIAN else 0
    replaced = text.count(REPLACEMENT)
    if not replaced and not private:
        return Reading(codec, text, whole, beyond, 0)
    good = beyond - replaced - private
    if codec in _MULTIPLE and _drop_behind(text).endswith(REPLACEMENT) and _ends_within(octets):
        replaced -= 1
    runs = _BEYOND.findall(text)
    broken = sum(1 for run in runs if REPLACEMENT in run or (private and _PRIVATE.search(run)))
    return Reading(codec, text, whole, good, replaced + private, apart=len(runs) > broken == 1)


def _ends_within(octets: bytes) -> bool:
    """Whether the last octets may be the beginning of a character; devices cut by octets."""
    end = octets[-_LONGEST_END:].decode("latin-1")
    return _drop_behind(end)[-1:] >= "\x80"


def _drop_behind(text: str) -> str:
    return _EXTENSION.sub("", text[-_LONGEST_END:].rstrip(_BEHIND))


def decode_by(octets: bytes, codec: str) -> tuple[str, bool]:
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
    # One octet, and no more: the longest sequences of GB 18030 would take digits of ASCII along.
    return octets.decode(codec, "relay-octet" if codec == "gb18030" else "replace"), False


def _replace_octet(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError):
        return REPLACEMENT, error.start + 1
    raise error


codecs.register_error("relay-octet", _replace_octet)


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
    for bom, codec in BOMS[1:]:
        if octets.startswith(bom):
            default, octets = codec, octets[2:]
            break
    text = octets.decode(default, "replace")
    return text, REPLACEMENT not in text and len(octets) % 2 == 0


def _decode_utf_7(octets: bytes) -> tuple[str, bool]:
    text = octets.decode("utf-7", "replace")
    return text, REPLACEMENT not in text


def _decode_cp932(octets: bytes) -> tuple[str, bool]:
    if any(escape in octets for escape in ESCAPES[:2]):  # mislabelled ISO-2022-JP
        return decode_iso_2022_jp(octets)
    text = octets.decode("cp932", "replace")
    if _NO_SHIFT_JIS.search(text):
        text = _NO_SHIFT_JIS.sub(REPLACEMENT, text)
    return text, REPLACEMENT not in text


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
