"""Structured fields: a value and its parameters (RFC 2045 §5.1, RFC 2183, RFC 2231).

Tolerant of what is sent: spaces in unquoted values, a quote that never closes, encoded-words in
quotes (RFC 2047 §5 forbids them, everybody sends them), raw octets, Windows paths.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from relay.message.text import charsets
from relay.message.text.encoded_words import decode_words, has_words, is_cut
from relay.message.text.labels import find_codec

# `text/plain`, also with blanks around the slash, in quotes, with a comment behind it or no semicolon.
_ATOM = r"[!#$%&*+.^_`{|}~0-9A-Za-z-]"
_VALUE = re.compile(rf"""[\s"'<]*({_ATOM}+)(?:\s*/\s*({_ATOM}*))?(?!{_ATOM}|\s*=)["']?""")
_PARAMETER = re.compile(
    r"""[;,\s]*([^=;,\s"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?([^;]*)|((?:=\?[^?]*\?[BbQq]\?[^?]*\?=|[^;])*))""",
    re.DOTALL,
)
_UNPARTED = re.compile(r"\s+(?:file)?name\*?=")  # a parameter without the semicolon before it
_SKIP = re.compile(r"[;\s]*[^;]*")
_SECTION = re.compile(r"(.+?)\*(?:(\d{1,4})(\*?))?\Z")
_QUOTED_PAIR = re.compile(r'\\(["\\])')
_EXTENDED = re.compile(r"([A-Za-z0-9_.:-]*)'([A-Za-z0-9-]*)'(.*)\Z", re.DOTALL)
# Encoded-words, where they stand outside quotes, with the equals sign of the parameter whose value they are.
_WORD = r"=\?[^?\s]+\?[BbQq]\?[^?]*\?="
_WORDS = re.compile(rf'"(?:[^"\\]|\\.)*"?|(?P<equals>=\s*)?(?P<words>{_WORD}(?:\s+{_WORD})*)', re.DOTALL)
_CUT_ESCAPE = re.compile(rb"%[0-9A-Fa-f]?\Z")
_COMMENT = re.compile(r"\A\s*\([^()]*\)")
_FOLD = re.compile(r"\r?\n")
_MOST_PARAMETERS = 1000


@dataclass(frozen=True, slots=True)
class Structured:
    """A structured field's value, in lower case, and its parameters, decoded, by name in lower case."""

    value: str
    parameters: dict[str, str] = field(default_factory=dict)
    # The parameters whose value ends within a word, an escape or a character.
    cut: frozenset[str] = frozenset()


def read_structured(raw: bytes) -> Structured:
    """Read a Content-Type or Content-Disposition; any octets are readable, if only as an empty value."""
    text = open_words(_FOLD.sub("", charsets.decode_field(raw)))
    found = _VALUE.match(text)
    if found is None:  # "Content-Type: charset=utf-8": no value at all
        return Structured("", *_read_parameters(text))
    value = f"{found[1]}/{found[2]}" if found[2] else found[1]
    return Structured(value.lower(), *_read_parameters(_COMMENT.sub(" ", text[found.end() :], count=1)))


def open_words(text: str) -> str:
    """Decode encoded-words that hold more than a parameter's value, or all of the field.

    RFC 2047 §5 forbids them; Python's `email` makes them of a field with a name that is not ASCII.
    """
    if "=?" not in text:
        return text
    return _WORDS.sub(
        lambda found: decode_words(found["words"]) if found["words"] and not found["equals"] else found[0],
        text,
    )


def _read_parameters(text: str) -> tuple[dict[str, str], frozenset[str]]:
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    at = 0
    for _ in range(_MOST_PARAMETERS):
        found = _PARAMETER.match(text, at)
        if found is None:
            skipped = _SKIP.match(text, at)
            if skipped is None or skipped.end() <= at:
                break
            at = skipped.end()
            continue
        at = found.end()
        name = found[1].lower()
        rest = found[3] or ""
        if _UNPARTED.match(rest):
            at, rest = found.start(3), ""
        value = _unquote(found[2], rest) if found[2] is not None else found[4].strip().strip('"')
        if numbered := _SECTION.match(name):
            extended = numbered[2] is None or bool(numbered[3])
            sections.setdefault(numbered[1], {}).setdefault(int(numbered[2] or 0), (value, extended))
        else:
            plain.setdefault(name, value)
    decoded = {name: _decode_plain(value) for name, value in plain.items()}
    # RFC 2231 wins over the plain form (RFC 6266 §4.3 says so for HTTP, and every mail program does it).
    joined = {name: _join(parts) for name, parts in sections.items()}
    decoded.update({name: value for name, (value, _) in joined.items() if value or name not in decoded})
    cut = {name for name, value in plain.items() if name not in joined and is_cut(value)}
    cut |= {name for name, (_, is_within) in joined.items() if is_within}
    cut |= {name for name, value in decoded.items() if value.rstrip().endswith("\ufffd")}
    return decoded, frozenset(cut)


def _unquote(value: str, rest: str) -> str:
    """The text of a quoted string; `rest` stands behind its quote, and belongs to it if it ends in
    another.
    """
    inner = _QUOTED_PAIR.sub(r"\1", value)
    rest = rest.rstrip()
    return f'{inner}"{rest[:-1]}' if rest.endswith('"') and "=" not in rest else inner


def _decode_plain(value: str) -> str:
    if has_words(value):
        return decode_words(value)
    extended = _EXTENDED.match(value)
    if extended and extended[1] and "%" in extended[3] and find_codec(extended[1]):
        return charsets.decode(unquote_to_bytes(extended[3]), extended[1]).text
    return value


def _join(parts: dict[int, tuple[str, bool]]) -> tuple[str, bool]:
    """Put the sections of RFC 2231 §3 together; octets are decoded only when all are there.

    The flag says whether the last one ends within an escape.
    """
    charset = ""
    octets = bytearray()
    is_extended = False
    for number in sorted(parts):
        value, extended = parts[number]
        if extended and not is_extended:
            is_extended = True
            if head := _EXTENDED.match(value):
                # Some quote what stands behind the charset, where no quotes can be (RFC 2231 §7).
                charset, value = head[1], head[3].strip('"')
        # Some senders cut within "%E3": nothing is unquoted before all is together.
        octets += (value if extended else value.replace("%", "%25")).encode("utf-8", "surrogatepass")
    kept = _CUT_ESCAPE.sub(b"", octets)
    is_cut_off = is_extended and len(kept) < len(octets)
    whole = unquote_to_bytes(bytes(kept if is_cut_off else octets))
    if not is_extended:
        return _decode_plain(whole.decode("utf-8", "replace")), False
    text = charsets.decode(whole, charset).text
    return decode_words(text) if has_words(text) else text, is_cut_off
