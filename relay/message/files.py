"""Parts that go along as files: their names, types and sizes."""

import mimetypes
import re
from dataclasses import dataclass, replace

from relay.envelope import Buffer
from relay.mail import Attachment, Leaf, Loss, make_loss
from relay.message import armor
from relay.message.decoding import decode_leaf, measure
from relay.message.formats.uuencode import TextFile, decode_uuencoded, decode_yencoded
from relay.message.names import complete_filename, keep_apart, make_filename, make_one_line
from relay.message.structure import Part
from relay.message.text import budget, charsets
from relay.message.text.encoded_words import decode_unstructured

_FALLBACKS = {
    "message/rfc822": "message",
    "message/global": "message",
    "message/news": "message",
    "message/partial": "message",
    "text/calendar": "invite",
    "text/x-vcalendar": "invite",
    "application/pgp-encrypted": "version",
    "application/pgp-signature": "signature",
    "application/pkcs7-signature": "smime",
    "application/x-pkcs7-signature": "smime",
    "application/pkcs7-mime": "smime",
    "application/x-pkcs7-mime": "smime",
    "message/delivery-status": "delivery-status",
    "message/feedback-report": "feedback-report",
    "text/rfc822-headers": "headers",
}
_DECODERS = {"x-uuencode": decode_uuencoded, "x-yencode": decode_yencoded}
_APOSTROPHES = re.compile("'([^']+)'")  # in place of quotation marks, which no field has
_CALENDARS = {"text/calendar", "application/ics", "text/x-vcalendar"}
_LONGEST_CALENDAR = 1024 * 1024  # octets
_LONGEST_TYPE = 255  # RFC 6838 §4.2: 127 characters for each of the two names
_TYPES = mimetypes.MimeTypes()  # the built-in table only: the same on every machine


@dataclass(frozen=True, slots=True)
class File:
    """A file that goes along, before its name is made safe."""

    name: str  # as given; "" without one
    media_type: str  # "" when none was declared
    source: Leaf | tuple[Leaf, ...] | bytes
    content_id: str = ""
    location: str = ""
    method: str = ""  # of text/calendar
    charset: str = ""  # as declared
    is_cut: bool = False  # whether the name ends within a word, an escape or a character
    damage: str = ""  # what is wrong with its octets, in one line; "" for nothing that is known
    size: int = 0  # decoded octets, once it was measured


def from_part(part: Part) -> File:
    """The file that a part is."""
    location = "".join(charsets.decode_field(part.fields.first("content-location") or b"").split())
    last = location.rpartition("/")[2]
    return File(
        name=filename_of(part) or (last if _TYPES.guess_type(last)[0] else ""),
        media_type=part.media_type if part.declared or part.media_type != "text/plain" else "",
        source=part.leaf,
        content_id=content_id_of(part),
        location=location,
        method=part.content_type.parameters.get("method", ""),
        charset=part.content_type.parameters.get("charset", ""),
        is_cut=_is_cut(part),
    )


def from_text(file: TextFile, codec: str) -> File:
    """The file that stood in a text of that codec."""
    return File(charsets.decode_field(file.name, codec), "", file.octets, damage=file.damage)


def filename_of(part: Part) -> str:
    """The name that the part gives itself, decoded, not yet safe; "" without one."""
    given = part.disposition.parameters.get("filename", "").strip()
    name = part.content_type.parameters.get("name", "").strip()
    if not given or (name.startswith(given) and _is_open(part.fields.first("content-disposition") or b"")):
        given = name
    if quoted := _APOSTROPHES.fullmatch(given):
        given = quoted[1]
    if given or part.media_type.startswith(("text/", "message/")):
        return given
    # Some programs put it here; other descriptions are no names.
    description = decode_unstructured(part.fields.first("content-description") or b"")
    return description if _TYPES.guess_type(description)[0] and " " not in description else ""


def _is_cut(part: Part) -> bool:
    """Whether the name was cut off: within an escape or word, or within its quotes and its extension."""
    is_open = any(
        _is_open(part.fields.first(name) or b"") for name in ("content-disposition", "content-type")
    )
    return (
        "filename" in part.disposition.cut
        or "name" in part.content_type.cut
        or (is_open and _TYPES.guess_type(filename_of(part))[0] is None)
    )


def _is_open(raw: bytes) -> bool:
    """Whether the field was cut off within quotes."""
    return raw.count(b'"') % 2 == 1


def content_id_of(part: Part) -> str:
    """The Content-ID without its angle brackets; "" without one."""
    raw = charsets.decode_field(part.fields.first("content-id") or b"")
    return "".join(raw.split()).strip("<>")


def octets_of(content: Buffer, file: File) -> bytes:
    """All octets of a file."""
    if isinstance(file.source, bytes):
        return file.source
    leaves = (file.source,) if isinstance(file.source, Leaf) else file.source
    return b"".join(decode_leaf(content, leaf) for leaf in leaves)


def measure_files(content: Buffer, files: list[File]) -> tuple[list[File], list[Loss]]:
    """The files that have any octets, with their sizes; the others are lost, and nothing refers to them."""
    kept: list[File] = []
    losses: list[Loss] = []
    for given in files:
        file, fragment = _decode(content, given)
        losses += [make_loss("partial", f"part {fragment} of a file")] if fragment else []
        source, size, damage = _measure(content, file.source)
        if size:
            kept.append(replace(file, source=source, size=size, damage=file.damage or damage))
        else:
            losses.append(make_loss("empty-attachment", _name_of(file, _type_of(file))))
    return kept, losses


def join_calendars(content: Buffer, files: list[File]) -> list[File]:
    """The files without a second copy of an invitation: programs send it as an alternative and as a file.

    Two that have names of their own are two files.
    """
    if sum(map(_is_calendar, files)) < 2:
        return files
    kept: list[File] = []
    places: dict[str, int] = {}
    for file in files:
        if _is_calendar(file):
            budget.current().take_format()
            read = _read_calendar(content, file)
            place = places.setdefault(read.key, len(kept))
            if place < len(kept) and (not file.name or kept[place].name in {"", file.name}):
                first = kept[place]
                if read.is_utf_8 and not _read_calendar(content, first).is_utf_8:
                    # Saved as a file it says no charset, and is read as UTF-8 (RFC 5545 §3.1.4).
                    first = replace(first, source=file.source, size=file.size, damage=file.damage)
                kept[place] = replace(first, name=first.name or file.name)
                continue
        kept.append(file)
    return kept


@dataclass(frozen=True, slots=True)
class _Calendar:
    key: str  # its text without what may differ: folds, line ends, marks and charsets (RFC 5545 §3.1)
    is_utf_8: bool


def _read_calendar(content: Buffer, file: File) -> _Calendar:
    # A fold may stand within a character.
    octets = octets_of(content, file).replace(b"\r\n ", b"").replace(b"\n ", b"")
    decoded = charsets.decode(octets, file.charset)
    text = decoded.text.replace("\r\n ", "").replace("\n ", "")
    return _Calendar("".join(text.split()), decoded.codec in {"us-ascii", "utf-8"})


def _is_calendar(file: File) -> bool:
    is_named = file.media_type in _CALENDARS or file.name.lower().endswith(".ics")
    return is_named and file.size <= _LONGEST_CALENDAR


def _name_of(file: File, media_type: str) -> str:
    given = complete_filename(file.name, media_type) if file.is_cut else file.name
    return make_filename(given, media_type, _fallback(media_type))


def make_attachments(files: list[File], tokens: dict[int, str]) -> tuple[list[Attachment], list[Loss]]:
    """The attachments that the files become; `tokens` has the cid of those that the html refers to."""
    attachments: list[Attachment] = []
    losses: list[Loss] = []
    for number, file in enumerate(files):
        media_type = _type_of(file)
        name = _name_of(file, media_type)
        if file.damage:
            losses.append(make_loss("damaged", f"{name}: {file.damage}"))
        if file.name and name != file.name.strip():
            losses.append(make_loss("attachment-name", f"changed to {name}"))
        elif "\ufffd" in name:
            losses.append(make_loss("attachment-name", f"not all of it is text in its charset: {name}"))
        token = tokens.get(number, "")
        attachments.append(Attachment(name, media_type, file.source, file.size, token, inline=bool(token)))
    names = keep_apart([one.filename for one in attachments])
    return [replace(one, filename=name) for one, name in zip(attachments, names, strict=True)], losses


def _decode(content: Buffer, file: File) -> tuple[File, str]:
    """The file with the octets that uuencode or yEnc held, and which part of a larger one it is, if any."""
    decode = _DECODERS.get(file.source.encoding) if isinstance(file.source, Leaf) else None
    if decode is None or not isinstance(file.source, Leaf):
        return file, ""
    budget.current().take_format()
    found = decode(bytes(content[file.source.start : file.source.end]))
    return replace(file, source=found.octets, damage=found.damage), found.fragment


def _measure(
    content: Buffer, source: Leaf | tuple[Leaf, ...] | bytes
) -> tuple[Leaf | tuple[Leaf, ...] | bytes, int, str]:
    """Where the octets lie, how many there are, and what is wrong with them."""
    if isinstance(source, bytes):
        return source, len(source), ""
    if not isinstance(source, Leaf):
        return source, sum(leaf.end - leaf.start for leaf in source), ""
    measured = measure(content, source)
    return measured.source, measured.size, measured.damage or armor.find_damage_of_file(content, source)


def _type_of(file: File) -> str:
    """The media type; by the name's extension where none was declared."""
    media_type = file.media_type
    if (
        media_type.count("/") != 1
        or media_type.startswith("/")
        or media_type.endswith("/")
        or not media_type.isascii()
        or len(media_type) > _LONGEST_TYPE
    ):
        media_type = _TYPES.guess_type(make_one_line(file.name))[0] or "application/octet-stream"
    if media_type == "text/calendar" and file.method.isalpha():
        return f"text/calendar; method={file.method.upper()}"
    return media_type


def _fallback(media_type: str) -> str:
    if media_type.startswith("image/"):
        return "image"
    return _FALLBACKS.get(media_type.partition(";")[0], "attachment")
