"""Which parts are the body, and which are files (RFC 2046 §5.1, and what mail programs make of it).

A Content-ID does not make a part inline, a file name does not make it an attachment: what is text
where a text is expected is the body; all else goes along as files.
"""

import re
from dataclasses import dataclass, field

from relay.envelope import Buffer
from relay.message import charsets, html
from relay.message.flowed import unfold
from relay.message.structure import Part
from relay.message.transfer import decode_leaf

_TEXT_TYPES = {"text/plain", "text/html", "text/enriched", "text/richtext"}
# Renderings for other programs, made beside the html that all understand.
_OTHER_RENDERINGS = {"text/x-amp-html", "text/watch-html"}
_META = re.compile(rb"""(?i)<meta[^>]{0,200}?charset\s*=\s*["']?([A-Za-z0-9_:.-]{2,40})""")


@dataclass(slots=True)
class Piece:
    """A text of the body."""

    is_html: bool
    text: str


@dataclass(slots=True)
class Chosen:
    """What a part comes to: texts in their order, files in theirs, and what was lost on the way."""

    pieces: list[Piece] = field(default_factory=list)
    files: list[Part] = field(default_factory=list)
    losses: list[tuple[str, str]] = field(default_factory=list)  # name, detail

    def add(self, other: "Chosen") -> None:
        """Take over what another part came to."""
        self.pieces += other.pieces
        self.files += other.files
        self.losses += other.losses

    @property
    def has_html(self) -> bool:
        """Whether there is html that shows anything."""
        return any(piece.is_html and not html.is_empty(piece.text) for piece in self.pieces)

    @property
    def has_text(self) -> bool:
        """Whether there is plain text other than white space."""
        return any(not piece.is_html and piece.text.strip() for piece in self.pieces)


def choose(content: Buffer, part: Part, *, expected: bool = True) -> Chosen:
    """Sort a part and those below it.

    Args:
        content: the octets of the message.
        part: the part.
        expected: whether a text is still looked for here; a named text part is then the body.
    """
    if not part.is_multipart:
        return _choose_leaf(content, part, expected=expected)
    subtype = part.media_type.partition("/")[2]
    if subtype == "alternative":
        return _choose_alternative(content, part)
    if subtype == "related":
        return _choose_related(content, part, expected=expected)
    if subtype == "encrypted":
        return Chosen(files=list(part.children), losses=[("encryption", "multipart/encrypted")])
    chosen = Chosen()
    if subtype == "signed":
        chosen.losses.append(("signature", "multipart/signed"))
    for child in part.children:
        chosen.add(choose(content, child, expected=expected and not chosen.pieces))
    return chosen


def _choose_leaf(content: Buffer, part: Part, *, expected: bool) -> Chosen:
    if not _is_text(part, expected=expected):
        return Chosen(files=[part])
    piece, losses = read_text(content, part)
    return Chosen([piece], losses=losses)


def _is_text(part: Part, *, expected: bool) -> bool:
    if part.media_type not in _TEXT_TYPES or part.disposition.value == "attachment":
        return False
    return expected or not filename_of(part)


def filename_of(part: Part) -> str:
    """The name that the part gives itself, decoded, not yet safe; "" without one."""
    return part.disposition.parameters.get("filename") or part.content_type.parameters.get("name") or ""


def _choose_alternative(content: Buffer, part: Part) -> Chosen:
    """The last html that shows anything, else the first text; the other texts are lost, the files are not."""
    options = [choose(content, child, expected=True) for child in part.children]
    chosen = _prefer(options)
    result = Chosen()
    for child, option in zip(part.children, options, strict=True):
        if option is chosen:
            result.add(option)
            continue
        if option.has_text or option.has_html:
            result.losses.append(("text-alternative", child.media_type))
        result.files += [one for one in option.files if one.media_type not in _OTHER_RENDERINGS]
        if len(option.files) > len(result.files):
            result.losses.append(("text-alternative", "a rendering for other programs"))
    return result


def _prefer(options: list[Chosen]) -> Chosen | None:
    for option in reversed(options):
        if option.has_html:
            return option
    for option in options:
        if option.has_text:
            return option
    return next((option for option in options if option.pieces), None)


def _choose_related(content: Buffer, part: Part, *, expected: bool) -> Chosen:
    """The root is sorted; the others are what it may refer to (RFC 2387)."""
    root = _find_root(part)
    chosen = Chosen()
    for child in part.children:
        if child is root:
            chosen.add(choose(content, child, expected=expected))
        elif child.is_multipart or not _refers(child):
            chosen.add(choose(content, child, expected=False))
        else:
            chosen.files.append(child)
    return chosen


def _refers(part: Part) -> bool:
    return part.fields.first("content-id") is not None or part.fields.first("content-location") is not None


def _find_root(part: Part) -> Part:
    start = part.content_type.parameters.get("start", "").strip("<> ")
    named = [one for one in part.children if start and content_id_of(one) == start]
    if named:
        return named[0]
    return part.children[0]


def content_id_of(part: Part) -> str:
    """The Content-ID without its angle brackets; "" without one."""
    raw = charsets.decode_field(part.fields.first("content-id") or b"")
    return "".join(raw.split()).strip("<>")


def read_text(content: Buffer, part: Part) -> tuple[Piece, list[tuple[str, str]]]:
    """The text of a part, with what was lost in reading it."""
    octets = decode_leaf(content, part.leaf)
    label = part.content_type.parameters.get("charset", "")
    is_html = part.media_type == "text/html"
    if is_html and not label and (meta := _META.search(octets[:4096])):
        label = meta[1].decode("ascii")
    decoded = charsets.decode(octets, label)
    losses = []
    if decoded.guessed or decoded.damaged:
        what = "unknown or missing" if decoded.guessed else "not wholly followed"
        losses.append(("charset-guessed", f"{part.media_type}: charset {what}, read as {decoded.codec}"))
    text = decoded.text
    if not (is_html and part.encoding == "base64"):
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    parameters = part.content_type.parameters
    if part.media_type == "text/plain" and parameters.get("format", "").lower() == "flowed":
        text = unfold(text, delsp=parameters.get("delsp", "").lower() == "yes")
    return Piece(is_html, text), losses


def join(pieces: list[Piece]) -> tuple[str, str]:
    """All texts as one body, and its content type, "text" or "html"."""
    if not any(piece.is_html for piece in pieces) or (
        not any(piece.is_html and not html.is_empty(piece.text) for piece in pieces)
        and any(not piece.is_html and piece.text.strip() for piece in pieces)
    ):
        texts = [piece.text for piece in pieces if not piece.is_html]
        kept = [text for text in texts if text.strip()] or texts[:1]
        return "\n".join(kept), "text"
    shown = [piece for piece in pieces if piece.is_html or piece.text.strip()]
    return "\n".join(piece.text if piece.is_html else html.from_text(piece.text) for piece in shown), "html"
