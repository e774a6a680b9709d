"""A text part's octets → the text that it shows, and the files that stood in it."""

import binascii
import codecs
import re
from dataclasses import dataclass, field, replace

from relay.envelope import Buffer
from relay.message import armor
from relay.message.decoding import Octets, decode_leaf, read_octets
from relay.message.formats import html
from relay.message.formats.enriched import read_enriched, read_richtext
from relay.message.formats.flowed import unfold
from relay.message.formats.uuencode import TextFile, extract_files
from relay.message.magic import find_magic
from relay.message.structure import Part
from relay.message.text import budget, charsets

_META = re.compile(rb"""(?i)<meta[^<>]{0,200}?charset\s*=\s*["']?([A-Za-z0-9_:.-]{2,40})""")
_XML = re.compile(rb"""(?i)\A\s*<\?xml[^<>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9_:.-]{2,40})""")
_HEAD = 4096  # octets of a file that are looked at
# What a blank line too early left in front of the text: a banner may begin with a word and a colon, too.
_FIELD = re.compile(rb"(?:content-[a-z-]+|mime-version|message-id|x-[a-z-]+):", re.IGNORECASE)
# Controls that no text has; ESC, SO and SI belong to charsets.
_BINARY = re.compile(rb"[\x00-\x08\x10-\x1a\x1c-\x1f]")


_PLAIN = {"7bit", "8bit", "binary"}
_BASE64 = re.compile(rb"\s*[A-Za-z0-9+/]{60}[A-Za-z0-9+/\r\n]*={0,2}\s*")
_HIGH_ESCAPES = re.compile(rb"=[89A-F][0-9A-F]=[89A-F][0-9A-F]=[89A-F][0-9A-F]")
_NO_ESCAPE = re.compile(rb"=(?![0-9A-F]{2}|[ \t]*\r?(?:\n|\Z))")
_FEWEST_ESCAPES = 3


@dataclass(slots=True)
class Piece:
    """A text of the body."""

    is_html: bool
    text: str
    codec: str = "us-ascii"
    base: str = ""  # the part's Content-Location, to which references are relative
    shown: bool = field(init=False)  # whether anything of it would be seen

    def __post_init__(self) -> None:
        self.shown = not html.is_empty(self.text) if self.is_html else bool(self.text.strip())


@dataclass(slots=True)
class TextRead:
    """What a text part comes to."""

    piece: Piece
    files: list[TextFile]
    losses: list[tuple[str, str]]


def find_type(content: Buffer, part: Part, *, named: bool) -> str:
    """The media type of what calls itself text and is a file, "" for a text: devices send scans as
    text/plain.
    """
    if part.encoding != "base64" and not named:
        return ""
    label = part.content_type.parameters.get("charset", "").lower()
    if "utf-16" in label or "utf16" in label or "ucs" in label or "unicode" in label or "utf-32" in label:
        return ""
    head = decode_leaf(content, part.leaf, most=_HEAD)
    if known := find_magic(head):
        return known
    is_binary = named and not head.startswith((b"\xff\xfe", b"\xfe\xff")) and _BINARY.search(head)
    return "application/octet-stream" if is_binary else ""


def find_format(content: Buffer, part: Part) -> str:
    """The media type of a format that a file's first octets tell; "" for any other."""
    return find_magic(decode_leaf(content, part.leaf, most=_HEAD))


def read_text(content: Buffer, part: Part) -> TextRead:
    """The text of a part."""
    budget.current().take_encoded(part.leaf.end - part.leaf.start)
    read = read_octets(content, part.leaf)
    octets = read.octets
    budget.current().take_text(octets)
    files: list[TextFile] = []
    if part.media_type == "text/plain":
        octets, files = extract_files(octets)
    label = find_label(part, octets)
    decoded = charsets.decode(octets, label)
    damages = filter(None, (read.damage, armor.find_damage(octets)))
    losses = [("damaged", f"{part.media_type}: {damage}") for damage in damages]
    losses += [("partial", f"part {file.fragment} of a file") for file in files if file.fragment]
    if part.encoding in _PLAIN and (named := _find_unsaid_encoding(octets, label)):
        losses.append(("damaged", f"{part.media_type}: it looks like {named}, which no field says"))
    if "\0" in decoded.text:
        losses.append(("damaged", f"{part.media_type}: NUL, which no text has, was left out"))
    losses += name_charset(part.media_type, decoded)
    is_html = part.media_type == "text/html"
    # Other controls stay: they are seen nowhere, and they were sent. NUL ends a text for many programs.
    text = _put_around(decoded.text.replace("\0", ""), read)
    if not (is_html and part.encoding == "base64"):
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    location = charsets.decode_field(part.fields.first("content-location") or b"")
    return TextRead(
        Piece(is_html, _shape(part, text), decoded.codec, "".join(location.split())), files, losses
    )


def _find_unsaid_encoding(octets: bytes, label: str) -> str:
    """The transfer encoding that all of a text is in though no field says so; "" for none.

    It stays as it came, as it may have been meant.
    """
    if not _HIGH_ESCAPES.search(octets):
        if not _BASE64.match(octets, 0, _HEAD) or not _BASE64.fullmatch(octets):
            return ""
        signs = b"".join(octets.split())
        found = charsets.decode(b"" if len(signs) % 4 else binascii.a2b_base64(signs), label)
        return "" if found.guessed or found.damaged or found.text.isascii() else "Base64"
    is_coded = octets.isascii() and len(_HIGH_ESCAPES.findall(octets)) >= _FEWEST_ESCAPES
    return "quoted-printable" if is_coded and not _NO_ESCAPE.search(octets) else ""


def _put_around(text: str, read: Octets) -> str:
    """The text between the lines that stood before and behind its Base64."""
    before = b"" if _FIELD.match(read.before) else read.before
    if not before and not read.behind:
        return text
    pieces = (charsets.decode(before).text, text.rstrip("\r\n"), charsets.decode(read.behind).text)
    return "\n".join(filter(None, pieces))


def name_charset(what: str, decoded: charsets.Decoded) -> list[tuple[str, str]]:
    """The loss of a text whose charset was not what was declared."""
    if decoded.guessed:
        return [("charset-guessed", f"{what}: unknown, wrong or missing; read as {decoded.codec}")]
    if decoded.damaged:
        return [("charset-guessed", f"{what}: some characters are none of {decoded.codec}")]
    return []


def decode_html(octets: bytes, declared: str, codepage: str) -> charsets.Decoded:
    """Html that is no part: by its own word, then by what was declared beside it, then by a guess.

    Args:
        octets: the html.
        declared: a label; "" when there is none.
        codepage: of the system that it was made on: it is better than a guess, unless it is UTF-8.
    """
    own = "utf-8" if octets.startswith(codecs.BOM_UTF8) else _find_html_label(octets)
    for label in filter(None, (own, declared)):
        decoded = charsets.decode(octets, label)
        if not decoded.guessed:
            return decoded
    guess = charsets.decode(octets)
    if not guess.guessed or guess.codec == "utf-8" or not codepage:
        return guess
    return replace(charsets.decode(octets, codepage), guessed=True)


def find_label(part: Part, octets: bytes) -> str:
    """The charset that the part declares, html also within its first octets; "" when there is none."""
    label = part.content_type.parameters.get("charset", "")
    return _find_html_label(octets) if part.media_type == "text/html" and not label else label


def _find_html_label(octets: bytes) -> str:
    """The charset that html says itself; "" when there is none."""
    found = _META.search(octets[:4096]) or _XML.search(octets[:4096])
    # A page that was saved as UTF-16 says so in ASCII letters only if it is not.
    label = found[1].decode("ascii") if found else ""
    return "" if label.lower().startswith(("utf-16", "utf16", "unicode")) else label


def _shape(part: Part, text: str) -> str:
    parameters = part.content_type.parameters
    if part.media_type == "text/plain" and parameters.get("format", "").lower() == "flowed":
        return unfold(text, delsp=parameters.get("delsp", "").lower() == "yes")
    if part.media_type == "text/enriched":
        return read_enriched(text)
    return read_richtext(text) if part.media_type == "text/richtext" else text


def join(pieces: list[Piece]) -> tuple[str, str]:
    """All texts as one body, and its content type, "text" or "html"."""
    shown = [piece for piece in pieces if piece.shown] or pieces[:1]
    if not any(piece.is_html for piece in shown):
        return _join_lines([piece.text for piece in shown]), "text"
    texts = [piece.text if piece.is_html else html.from_text(piece.text) for piece in shown]
    return _join_lines(texts), "html"


def _join_lines(texts: list[str]) -> str:
    """The texts, each beginning on a line of its own."""
    return "".join(
        text if number + 1 == len(texts) or text.endswith("\n") else text + "\n"
        for number, text in enumerate(texts)
    )
