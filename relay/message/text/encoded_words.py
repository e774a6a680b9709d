"""Encoded-words (RFC 2047), as mail programs read them.

Adjacent words of one charset are joined before they are decoded: many senders split in the middle of
a character, or of a Base64 quantum.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, zip_longest

from relay.message.text import charsets
from relay.message.text.charsets import Decoded
from relay.message.text.labels import find_codec
from relay.message.transfer import decode_base64, decode_quoted_printable

_BEGIN = r"=\?(?P<{0}charset>[^?\s]+)\?(?P<{0}encoding>[BbQq])\?"
_WORD = re.compile(
    _BEGIN.format("")
    + r"(?P<text>[^?]*|(?:(?!=\?[^?\s]{1,60}\?[BbQq]\?)[^?]|\?(?!=)){0,300})\?="
    # One whose end is missing: devices cut subjects and names, by octets and each line by itself.
    + f"|{_BEGIN.format('cut_')}"
    + r"(?P<cut_text>[^?\s]*)\??(?=\s+=\?|\s*\Z)"
)
# What is left of a word that was cut before its text began.
_REST = re.compile(r"\s+=\?(?:[\w.:*-]+(?:\?[BbQq]?)?)?\Z")
_CUT_ESCAPE = re.compile(r"=[0-9A-Fa-f]?\Z")
_RAW = re.compile(r"[^\x00-\x7f]|\\")
_FOLD = re.compile(r"\r?\n(?=[ \t])|\r?\n")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


@dataclass(slots=True)
class _Word:
    charset: str
    encoding: str  # B or Q
    text: str


def has_words(text: str) -> bool:
    """Whether there is anything to decode."""
    return "=?" in text and _WORD.search(text) is not None


def escape_words(raw: bytes) -> bytes:
    """A field's octets with those of its encoded-words in ASCII, as they should be (RFC 2047 §2).

    Raw octets within a word of Q are of the word's charset, whatever the rest of the field is.
    """
    if raw.isascii() or b"=?" not in raw:
        return raw
    return _WORD.sub(_escape_word, raw.decode("latin-1")).encode("latin-1")


def _escape_word(found: re.Match[str]) -> str:
    if found[0].isascii():
        return found[0]
    is_q = (found["encoding"] or found["cut_encoding"]) in "Qq"
    return _RAW.sub(lambda one: f"={ord(one[0]):02X}" if is_q else "", found[0])


def is_cut(text: str) -> bool:
    """Whether the text ends within an encoded-word."""
    return "=?" in text and any(
        (found["cut_charset"] and _is_known(found)) or _REST.fullmatch(text, found.end())
        for found in _WORD.finditer(text)
    )


def is_guessed(raw: bytes) -> bool:
    """Whether the field's charset has to be guessed: octets that are not UTF-8, a label that means nothing,
    or one that the octets do not agree with.
    """
    if not raw.isascii():
        read = charsets.decode(raw)
        if read.codec != "utf-8" or read.damaged:
            return True
    if b"=?" not in raw:
        return False
    return any(piece.guessed or piece.damaged for piece in _read_words(raw.decode("latin-1")))


def find_charsets(raw: bytes) -> list[str]:
    """The charset labels of the encoded-words in a field."""
    if b"=?" not in raw:
        return []
    words = _WORD.finditer(raw.decode("latin-1"))
    return [(word["charset"] or word["cut_charset"]).partition("*")[0] for word in words]


def decode_unstructured(raw: bytes) -> str:
    """An unstructured field's text: unfolded, decoded, without white space at its ends."""
    return decode_words(_FOLD.sub("", charsets.decode_field(raw))).strip()


def decode_words(text: str) -> str:
    """Decode all encoded-words in the text; white space between two of them goes (RFC 2047 §6.2)."""
    return "".join(piece.text for piece in _read_words(text)) if "=?" in text else text


def _read_words(text: str) -> list[Decoded]:
    """The pieces of the text: runs of words, decoded, and what stands between them."""
    pieces: list[Decoded] = []
    run: list[_Word] = []
    at = 0
    for found in _WORD.finditer(text):
        if found["cut_charset"] and not _is_known(found):
            continue
        between = text[at : found.start()]
        if between.strip() or not run:
            pieces += [*_decode_run(run), Decoded(between, "")]
            run = []
        run.append(_make_word(found))
        at = found.end()
    rest = "" if run and _REST.fullmatch(text, at) else text[at:]
    return [*pieces, *_decode_run(run), Decoded(rest, "")]


def _make_word(found: re.Match[str]) -> _Word:
    whole = "" if found["charset"] else "cut_"
    charset, encoding, text = (found[whole + name] for name in ("charset", "encoding", "text"))
    if whole and encoding in "Qq":
        text = _CUT_ESCAPE.sub("", text)
    return _Word(charset.partition("*")[0].lower(), encoding.upper(), text)


def _is_known(found: re.Match[str]) -> bool:
    return bool(find_codec(found["cut_charset"].partition("*")[0]))


def _decode_run(run: list[_Word]) -> Iterator[Decoded]:
    """Decode adjacent words: the octets of one charset together."""
    for charset, words in groupby(run, key=lambda word: word.charset):
        group = list(words)
        read = charsets.decode(_join(group, split=True), charset)
        if (read.guessed or read.damaged) and len(group) > 1:
            apart = charsets.decode(_join(group, split=False), charset)
            read = read if apart.guessed or apart.damaged else apart
        yield read


def _join(group: list[_Word], *, split: bool) -> bytes:
    """The octets of words of one charset.

    `split`: a word of Base64 that ends within a quantum has its rest in the next one; else its padding is
    missing.
    """
    octets, rest = bytearray(), ""
    for word, follows in zip_longest(group, group[1:]):
        if word.encoding == "Q":
            quoted = word.text.replace("_", " ").encode("utf-8", "replace")
            octets += decode_quoted_printable(quoted)
            continue
        text = rest + (_NOT_BASE64.sub("", word.text) if "=" not in word.text else word.text)
        rest = ""
        if split and "=" not in text and follows is not None and follows.encoding == "B":
            keep = len(text) // 4 * 4
            text, rest = text[:keep], text[keep:]
        octets += decode_base64(text.encode("ascii", "ignore"))
    return bytes(octets)
