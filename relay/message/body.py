"""Which parts are the body, and which are files (RFC 2046 §5.1, and what mail programs make of it).

A Content-ID does not make a part inline, a file name does not make it an attachment: what is text
where a text is expected is the body; all else goes along as files.
"""

from dataclasses import dataclass, field, replace

from relay.envelope import Buffer
from relay.message.base64_lines import begins_format, is_whole
from relay.message.decoding import decode_leaf
from relay.message.files import File, filename_of, from_part, from_text, octets_of
from relay.message.header import find_visible
from relay.message.structure import Part, read_structure
from relay.message.text import budget
from relay.message.text_part import Piece, find_format, find_type, read_text

_TEXT_TYPES = {"text/plain", "text/html", "text/enriched", "text/richtext"}
# Renderings for other programs, made beside the html that all understand.
_OTHER_RENDERINGS = {"text/x-amp-html", "text/watch-html"}
# Texts that a program reads, not a person; any other that is not known is read as plain (RFC 2046 §4.1.4).
_RENDERINGS = {"text/enriched", "text/richtext"}  # of a plain text that stands beside them
_DATA = _OTHER_RENDERINGS | {
    "text/calendar",
    "text/css",
    "text/csv",
    "text/directory",
    "text/ecmascript",
    "text/javascript",
    "text/rfc822-headers",
    "text/rtf",
    "text/tab-separated-values",
    "text/vcard",
    "text/x-vcalendar",
    "text/x-vcard",
    "text/xhtml",
    "text/xml",
    "text/xml-external-parsed-entity",
}
# A longer text of no known type passes as the file that it can be.
_LONGEST_OTHER = 1024 * 1024  # octets
_UNSAID = "its transfer encoding is not said"
_MEANT_AS_TEXT = (".b64", ".txt", ".asc", ".eml")
_OPAQUE = {"application/pkcs7-mime", "application/x-pkcs7-mime"}
_NAMED_LOSSES = {
    "message/external-body": ("external-body", "message/external-body"),
    "message/partial": ("partial", "message/partial"),
}


@dataclass(slots=True)
class Chosen:
    """What a part comes to: texts in their order, files in theirs, and what was lost on the way."""

    pieces: list[Piece] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    losses: list[tuple[str, str]] = field(default_factory=list)  # name, detail
    is_sealed: bool = False  # whether texts are encrypted, or in a signed file

    def add(self, other: "Chosen") -> None:
        """Take over what another part came to."""
        self.pieces += other.pieces
        self.files += other.files
        self.losses += other.losses
        self.is_sealed |= other.is_sealed

    @property
    def has_html(self) -> bool:
        """Whether there is html that shows anything."""
        return any(piece.is_html and piece.shown for piece in self.pieces)

    @property
    def has_text(self) -> bool:
        """Whether there is plain text other than white space."""
        return any(not piece.is_html and piece.shown for piece in self.pieces)


def choose(content: Buffer, part: Part, *, expected: bool = True) -> Chosen:
    """Sort a part and those below it; what is wrong with its fields is a loss.

    Args:
        content: the octets of the message.
        part: the part.
        expected: whether a text is still looked for here; a named text part is then the body.
    """
    chosen = _choose(content, part, expected=expected)
    chosen.losses += _find_damage(part)
    return chosen


def _find_damage(part: Part) -> list[tuple[str, str]]:
    return [("damaged", part.damage)] if part.damage else []


def _choose(content: Buffer, part: Part, *, expected: bool) -> Chosen:
    if not part.is_multipart:
        if part.media_type.startswith("multipart/"):
            return _choose_encoded(content, part, expected=expected)
        chosen = _choose_leaf(content, part, expected=expected)
        if part.closed:  # as no leaf is
            chosen.losses.append(("damaged", "a multipart without any part"))
        return chosen
    subtype = part.media_type.partition("/")[2]
    if subtype == "alternative":
        chosen = _choose_alternative(content, part)
    elif subtype == "related":
        chosen = _choose_related(content, part, expected=expected)
    elif subtype == "appledouble":
        chosen = _choose_appledouble(content, part, expected=expected)
    else:
        chosen = _choose_mixed(content, part, expected=expected)
    if not part.closed:
        chosen.losses.append(("damaged", f"{part.media_type} has no end: something may be missing"))
    if part.resumed:
        chosen.losses.append(("damaged", f"{part.media_type} goes on behind its end"))
    return chosen


def _choose_encoded(content: Buffer, part: Part, *, expected: bool) -> Chosen:
    """A multipart that was encoded as a whole: what it decodes to is read as a message of its own."""
    budget.current().take_format()
    fields = b"Content-Type:" + (part.fields.first("content-type") or b"") + b"\r\n\r\n"
    whole = fields + decode_leaf(content, part.leaf)
    inner = read_structure(whole, decoded=True)
    if not inner.is_multipart:
        # Nothing in it: the text that it is.
        text = replace(part, content_type=replace(part.content_type, value="text/plain"))
        return _choose_leaf(content, text, expected=expected)
    chosen = choose(whole, inner, expected=expected)
    chosen.files = [_detach(whole, file) for file in chosen.files]
    return chosen


def _detach(content: Buffer, file: File) -> File:
    """The file with its own octets: the content that its range belongs to will not be there."""
    return replace(file, source=octets_of(content, file))


def _choose_leaf(content: Buffer, part: Part, *, expected: bool) -> Chosen:
    is_text = _is_text(part, expected=expected)
    if not is_text and _is_unsaid_base64(content, part):
        part = replace(part, encoding="base64", damage=_UNSAID)
        chosen = _choose_leaf(content, part, expected=expected)
        chosen.losses.append(("damaged", part.damage))
        return chosen
    is_doubtful = bool(filename_of(part)) or part.media_type not in _TEXT_TYPES
    if is_text and (found := find_type(content, part, named=is_doubtful)):
        file = from_part(part)
        return Chosen(files=[replace(file, media_type="" if file.name else found)])
    if not is_text:
        file = from_part(part)
        if not file.name and file.media_type == "application/octet-stream":
            # Without a name and a type it could not be opened.
            file = replace(file, media_type=find_format(content, part) or file.media_type)
        chosen = Chosen(files=[file])
        if part.media_type in _OPAQUE or _is_named_opaque(part):
            signed = part.content_type.parameters.get("smime-type", "").lower() == "signed-data"
            chosen.losses.append(("signature" if signed else "encryption", part.media_type))
            chosen.is_sealed = True
        if part.media_type == "message/partial":
            # Its id and number, without which nobody can put it together, stand in its fields.
            chosen.files = [replace(chosen.files[0], source=find_visible(part.fields, part.end))]
        if loss := _NAMED_LOSSES.get(part.media_type):
            chosen.losses.append(loss)
            # What html refers to by its Content-ID is not here.
            chosen.files = [replace(chosen.files[0], content_id="", location="")]
        return chosen
    read = read_text(content, part)
    return Chosen([read.piece], [from_text(file, read.piece.codec) for file in read.files], read.losses)


def _is_unsaid_base64(content: Buffer, part: Part) -> bool:
    """Whether a file is Base64 of a format that begins otherwise, and no field says so."""
    if part.encoding not in {"7bit", "8bit", "binary"} or filename_of(part).lower().endswith(_MEANT_AS_TEXT):
        return False
    is_file = not part.media_type.startswith(("text/", "message/"))
    return is_file and begins_format(content, part.start) and is_whole(content, part.start, part.end)


def _is_named_opaque(part: Part) -> bool:
    """Whether it is S/MIME by its name alone, as gateways that know no such type send it (RFC 8551 §3.9)."""
    return part.media_type == "application/octet-stream" and filename_of(part).lower().endswith(".p7m")


def _is_text(part: Part, *, expected: bool) -> bool:
    if _is_other_text(part):
        return expected
    if part.media_type not in _TEXT_TYPES or part.disposition.value == "attachment":
        return False
    if part.encoding in {"x-uuencode", "x-yencode"}:
        return False
    named = bool(filename_of(part))
    if named and not part.declared and (part.fields.first("content-type") or b"").strip():
        return False  # a type that means nothing to us, and a name: some file
    return expected or not named


def _is_other_text(part: Part) -> bool:
    """Whether it is a text of a type that is not known, and nothing says that it is a file."""
    return (
        part.media_type.startswith("text/")
        and part.media_type not in _TEXT_TYPES
        and part.media_type not in _DATA
        and part.disposition.value in {"", "inline"}
        and part.encoding not in {"x-uuencode", "x-yencode"}
        and not filename_of(part)
        and part.end - part.start <= _LONGEST_OTHER
    )


def _choose_mixed(content: Buffer, part: Part, *, expected: bool) -> Chosen:
    """mixed, report, signed, digest, parallel, form-data, and whatever else there is: one after the other."""
    chosen = Chosen()
    subtype = part.media_type.partition("/")[2]
    if subtype in {"signed", "encrypted"}:
        chosen.losses.append(("signature" if subtype == "signed" else "encryption", part.media_type))
        chosen.is_sealed = subtype == "encrypted"
    for child in part.children:
        chosen.add(choose(content, child, expected=expected and not chosen.pieces))
    return chosen


def _choose_alternative(content: Buffer, part: Part) -> Chosen:
    """The last html that shows anything, else all the texts; what is not chosen is lost, but for its
    files.
    """
    # Markdown beside the text that was made from it would be the same once more.
    is_known = any(
        child.media_type in _TEXT_TYPES or child.media_type.startswith("multipart/")
        for child in part.children
    )
    options = [
        choose(content, child, expected=not (is_known and _is_other_text(child))) for child in part.children
    ]
    preferred = _prefer(options, [child.media_type in _RENDERINGS for child in part.children])
    result = Chosen()
    for child, option in zip(part.children, options, strict=True):
        if any(option is one for one in preferred):
            result.add(option)
            continue
        kept = [file for file in option.files if file.media_type not in _OTHER_RENDERINGS]
        if option.has_text or option.has_html or len(kept) < len(option.files):
            result.losses.append(("text-alternative", child.media_type))
        result.losses += _find_damage(child)  # another part may stand in it
        result.files += kept
    return result


def _prefer(options: list[Chosen], renderings: list[bool]) -> list[Chosen]:
    for option in reversed(options):
        if option.has_html:
            return [option]
    texts = [option for option in options if option.has_text]
    rendered = [option for option, one in zip(options, renderings, strict=True) if one and option.has_text]
    plain = [option for option in texts if not any(option is one for one in rendered)]
    if rendered and plain:
        # The last is the best of those that can be shown (RFC 2046 §5.1.4), unless it says nothing more.
        return rendered[-1:] if _read_words(rendered[-1]) != _read_words(plain[-1]) else plain[-1:]
    # Two plain texts are no alternatives of each other unless they are the same.
    different = {_read_words(option): option for option in reversed(texts)}
    if texts:
        return [option for option in texts if any(option is one for one in different.values())]
    return [option for option in options if option.pieces][-1:]


def _read_words(option: Chosen) -> str:
    """The letters and digits of the texts: marks of quotation and blanks make no other text."""
    text = "".join(piece.text for piece in option.pieces)
    return "".join(filter(str.isalnum, text)) or "".join(text.split())


def _choose_related(content: Buffer, part: Part, *, expected: bool) -> Chosen:
    """The root is sorted; the others are what it may refer to (RFC 2387)."""
    root = _find_root(part)
    chosen = Chosen()
    # A page with its images is for reading, though it has a name and stands behind a text.
    is_page = root.media_type == "text/html" and root.disposition.value != "attachment"
    expected = expected or (is_page and any(map(_may_be_referred_to, part.children)))
    for child in part.children:
        if child is root:
            chosen.add(choose(content, child, expected=expected))
        elif child.is_multipart or not _may_be_referred_to(child) or child.media_type in _NAMED_LOSSES:
            chosen.add(choose(content, child, expected=False))
        else:
            chosen.add(_choose_file(content, child))
    return chosen


def _choose_file(content: Buffer, part: Part) -> Chosen:
    """The part as a file, whatever its type."""
    if _is_unsaid_base64(content, part):
        part = replace(part, encoding="base64", damage=_UNSAID)
    return Chosen(files=[from_part(part)], losses=_find_damage(part))


def _may_be_referred_to(part: Part) -> bool:
    return part.fields.first("content-id") is not None or part.fields.first("content-location") is not None


def _find_root(part: Part) -> Part:
    """The part that `start` names, else the first that can be a body, else the first."""
    start = part.content_type.parameters.get("start", "").strip("<> ")
    if start:
        for child in part.children:
            if from_part(child).content_id == start:
                return child
    for child in part.children:
        if child.is_multipart or child.media_type in _TEXT_TYPES:
            return child
    return part.children[0]


def _choose_appledouble(content: Buffer, part: Part, *, expected: bool) -> Chosen:
    """A Macintosh file (RFC 1740): the half that other systems read goes along, the other does not."""
    chosen = Chosen()
    for child in part.children:
        if child.media_type == "application/applefile" and len(part.children) > 1:
            chosen.losses.append(("resource-fork", filename_of(child) or child.media_type))
        elif child.is_multipart:
            chosen.add(choose(content, child, expected=expected))
        else:
            chosen.add(_choose_file(content, child))
    return chosen
