"""Encoded-words (RFC 2047), as mail programs read them.

Adjacent words of one charset are joined before they are decoded: many senders split in the middle of
a character, or of a Base64 quantum.
"""

import re
from dataclasses import dataclass

from relay.message import charsets
from relay.message.labels import find_codec
from relay.message.transfer import decode_base64, decode_quoted_printable

_WORD = re.compile(r"=\?([^?\s]+)\?([BbQq])\?([^?]*|(?:[^?]|\?(?!=)){0,300})\?=")
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


def is_guessed(raw: bytes) -> bool:
    """Whether the field's charset has to be guessed: octets that are not UTF-8, or a label that means
    nothing.
    """
    if not raw.isascii() and charsets.decode(raw).codec != "utf-8":
        return True
    return any(not find_codec(word[1].partition("*")[0]) for word in _WORD.finditer(raw.decode("latin-1")))


def find_charsets(raw: bytes) -> list[str]:
    """The charset labels of the encoded-words in a field."""
    if b"=?" not in raw:
        return []
    return [word[1].partition("*")[0] for word in _WORD.finditer(raw.decode("latin-1"))]


def decode_unstructured(raw: bytes) -> str:
    """An unstructured field's text: unfolded, decoded, without white space at its ends."""
    return decode_words(_FOLD.sub("", charsets.decode_field(raw))).strip()


def decode_words(text: str) -> str:
    """Decode all encoded-words in the text; white space between two of them goes (RFC 2047 §6.2)."""
    pieces: list[str] = []
    run: list[_Word] = []
    at = 0
    for found in _WORD.finditer(text):
        between = text[at : found.start()]
        if between.strip() or not run:
            pieces += [_decode_run(run), between]
            run = []
        run.append(_Word(found[1].partition("*")[0].lower(), found[2].upper(), found[3]))
        at = found.end()
    pieces += [_decode_run(run), text[at:]]
    return "".join(pieces)


def _decode_run(run: list[_Word]) -> str:
    """Decode adjacent words: the octets of one charset together."""
    pieces: list[str] = []
    octets = bytearray()
    for number, word in enumerate(run):
        octets += _octets(word, run, number)
        if number + 1 == len(run) or run[number + 1].charset != word.charset:
            pieces.append(charsets.decode(bytes(octets), word.charset).text)
            octets = bytearray()
    return "".join(pieces)


def _octets(word: _Word, run: list[_Word], number: int) -> bytes:
    if word.encoding == "Q":
        return decode_quoted_printable(word.text.replace("_", " ").encode("utf-8", "replace"), in_field=True)
    text = _NOT_BASE64.sub("", word.text) if "=" not in word.text else word.text
    follows = run[number + 1] if number + 1 < len(run) else None
    if (
        "=" not in text
        and len(text) % 4
        and follows
        and follows.encoding == "B"
        and follows.charset == word.charset
    ):
        # A quantum split over two words: hand the rest to the next one.
        keep = len(text) // 4 * 4
        follows.text = text[keep:] + follows.text
        text = text[:keep]
    return decode_base64(text.encode("ascii", "ignore"))
