"""Raw 8-bit fields, read by the charsets that the same message declares elsewhere.

A subject or a file name in raw octets is a dozen of them: too few to guess by. The program that wrote them
wrote the texts beside them too, and those say what they are: the charset of the same part first, then those
of the other parts (html may say it itself), then those of encoded-words, then that of the language that
Content-Language or html declares, then the charset that texts which say nothing, and all the raw fields, are
of together. Only when none of them fits is guessed by the field alone (see `charsets`).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice

from relay.envelope import Buffer
from relay.message.decoding import decode_leaf
from relay.message.fields import Field, Fields
from relay.message.parameters import read_structured
from relay.message.structure import Part
from relay.message.text import budget, charsets
from relay.message.text.encoded_words import find_charsets
from relay.message.text.guessing import LATIN, guess_codec
from relay.message.text.labels import find_codec
from relay.message.text.readings import EAST_ASIAN, read
from relay.message.text_part import find_label

_SINGLE = ("iso8859", "cp125", "cp8", "koi8", "mac-", "tis-620", "ptcp154", "cp437", "cp737")
_PRIVATE = re.compile("[\ue000-\uf8ff\ufffd]")
_HEAD = 4096  # octets of an html part, in which it may say its charset
_MOST_HINTS = 8
# The charset by which text in a language is read; a Japanese one stands for all three.
_LANGUAGES = {
    "ja": "cp932",
    "ko": "cp949",
    "zh-tw": "big5",
    "zh-hk": "big5",
    "zh-hant": "big5",
    "zh": "gb18030",
}
_HTML_LANGUAGE = re.compile(rb"""(?i)<html\b[^<>]{0,500}?\blang\s*=\s*["']?([A-Za-z-]{2,20})""")
_MOST_TEXTS = 4  # that say no charset
_MOST_FIELDS = 200  # raw ones of one message; no honest one has more
_NAMES = {"subject", "from", "sender", "reply-to", "to", "cc", "bcc", "content-type", "content-disposition"}
_NAMES |= {"content-description", "content-location"}


def settle_fields(content: Buffer, root: Part) -> None:
    """Turn every raw field that is not UTF-8 into UTF-8, in all parts, where a declared charset fits."""
    parts = list(_walk(root))

    @cache
    def hint() -> list[str]:
        return list(islice(dict.fromkeys(filter(None, _find_hints(content, parts))), _MOST_HINTS))

    budget.current().find_hints = hint
    raw = [part for part in parts if any(map(_is_raw, part.fields))]
    if not raw:
        return
    hints = [*hint(), *_guess_together(content, parts, raw)]
    left = _MOST_FIELDS
    for part in raw:
        own = _own_charset(part)
        left -= _settle(part, [own, *hints] if own else hints, left)
        if not left:
            return


def _walk(root: Part) -> Iterator[Part]:
    """All parts, in their order."""
    pending = [root]
    while pending:
        part = pending.pop()
        yield part
        pending.extend(reversed(part.children))


def _is_raw(field: Field) -> bool:
    """Whether its octets are neither ASCII nor UTF-8, and no escape sequences say what they are."""
    if field.value.isascii() or field.name not in _NAMES or b"\x1b$" in field.value:
        return False
    return not charsets.may_be_utf_8(field.value)


def _own_charset(part: Part) -> str:
    return find_codec(part.content_type.parameters.get("charset", ""))


def _find_hints(content: Buffer, parts: list[Part]) -> Iterator[str]:
    """The codecs that the message names: its texts' first, those of encoded-words, those of languages."""
    languages: list[bytes] = []
    for part in parts:
        languages += part.fields.every("content-language")[:1]
        if codec := _own_charset(part):
            yield codec
        elif part.media_type == "text/html" and not part.is_multipart:
            head = decode_leaf(content, part.leaf, most=_HEAD)
            languages += _HTML_LANGUAGE.findall(head)[:1]
            yield find_codec(find_label(part, head))
    for part in parts:
        for field in part.fields:
            yield from map(find_codec, find_charsets(field.value))
    yield from map(_find_by_language, languages)


def _find_by_language(tags: bytes) -> str:
    """The codec of the first language of the list (RFC 3282 §2, RFC 5646); "" for none that needs one."""
    tag = tags.partition(b",")[0].decode("latin-1").strip().lower()
    return next((codec for start, codec in _LANGUAGES.items() if f"{tag}-".startswith(f"{start}-")), "")


def _guess_together(content: Buffer, parts: list[Part], raw: list[Part]) -> Iterator[str]:
    """The codec of texts that declare none, and of the raw fields, as far as they are one program's words."""
    texts = (part for part in parts if part.media_type.startswith("text/") and not _own_charset(part))
    heads = [decode_leaf(content, part.leaf, most=_HEAD) for part in islice(texts, _MOST_TEXTS)]
    fields = [field.value for part in raw for field in part.fields if _is_raw(field)][:_MOST_FIELDS]
    raws = dict.fromkeys(one for one in (*heads, *fields) if not charsets.may_be_utf_8(one))
    octets = b"\n".join(raws)[:_HEAD]
    codec = budget.current().guess(octets, guess_codec)
    if read(octets, codec).is_likely:
        yield codec


def _settle(part: Part, hints: Iterable[str], most: int) -> int:
    """Recode the part's raw fields, at most so many; gives how many there were."""
    raw = [field for field in part.fields if _is_raw(field)][:most]
    recoded = {id(field): _recode(field, hints) for field in raw}
    part.fields = Fields(tuple(recoded.get(id(field), field) for field in part.fields))
    for name, attribute in (("content-type", "content_type"), ("content-disposition", "disposition")):
        value = getattr(part, attribute).value
        again = read_structured(part.fields.first(name) or b"")
        setattr(part, attribute, replace(again, value=value))
    return len(raw)


def _recode(field: Field, hints: Iterable[str]) -> Field:
    guess = budget.current().guess(field.value, guess_codec)
    text = next((text for codec in hints if (text := _decode(field.value, codec, guess))), "")
    return replace(field, value=text.encode(), recoded=True) if text else field


def _decode(octets: bytes, codec: str, guess: str) -> str:
    """The octets in that charset, "" when they are none of it."""
    if found := charsets.read_hinted(octets, codec):
        return found.text
    if codec in EAST_ASIAN or not codec.startswith(_SINGLE):
        return ""  # UTF-8, ASCII, 7-bit charsets: raw octets show that it was not used
    if codec in LATIN and not _is_latin(codec, guess):
        return ""
    decoded = charsets.decode(octets, codec)
    fits = not decoded.guessed and not decoded.damaged and not _PRIVATE.search(decoded.text)
    return decoded.text if fits else ""


def _is_latin(codec: str, guess: str) -> bool:
    """Whether nothing speaks against a charset that takes anything; iso-8859-1 (read as windows-1252) is also
    what programs say that never thought of charsets.
    """
    return guess in LATIN if codec == "cp1252" else guess not in EAST_ASIAN
