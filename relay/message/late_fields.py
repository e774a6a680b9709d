"""Fields behind an empty line that came too early.

Scripts end the field section twice, or put an empty line behind each field. Then all that MIME says stands in
the text. It is taken for fields only where the text bears it out: the boundary that it declares follows, or
html, or Base64. Whoever writes about fields keeps the text that was written.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from relay.envelope import Buffer
from relay.message.fields import OWN_NAME, Field, Fields
from relay.message.parameters import read_structured
from relay.message.text.encoded_words import escape_words

_LOOK = 8 * 1024
_BLANKS = re.compile(rb"(?:[ \t]*\r?\n)*")
# With its folds. Programs that put an empty line behind every line put one before a fold, behind a semicolon.
_FIELD = re.compile(
    rb"([A-Za-z][A-Za-z0-9-]*):[^\n]*\n?(?:(?:(?<=;\r\n)(?:\r\n)+|(?<=;\n)\n+)?[ \t]+[^\s][^\n]*\n?)*"
)
_MIME = re.compile(rb"content-[a-z-]+|mime-version", re.IGNORECASE)
_END = re.compile(rb"[ \t]*\r?\n|--|\Z")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}[ \t]*\r?(?:\n|\Z)")
_ESCAPES = re.compile(rb"=[0-9A-F]{2}|=\r?\n")
_MANY_ESCAPES = re.compile(rb"(?:(?:=[0-9A-F]{2})[^=]{0,200}){3}")
_TAGS = re.compile(rb"</[a-z][a-z0-9]{0,15}>|<br ?/?>", re.IGNORECASE)
# What goes on with a field that ends in a semicolon, behind an empty line; without white space, in quotes.
_FOLD = re.compile(
    rb"(?:(?:[ \t]*\r?\n)*(?:[ \t]+(?:(?:file)?name|charset|boundary)[*0-9]*=|(?:(?:file)?name|boundary)=\")"
    rb"[^\n]*\n)+(?=[ \t]*\r?\n|[a-z-]+:)",
    re.IGNORECASE,
)
_EMPTY_LINE = re.compile(rb"[ \t]*\r?\n")
# Who sends is looked up where a message's fields are, and nowhere else.
_NEVER = {"from", "sender", "bcc", "received", "return-path"}
_OF_PART_ALONE = {"content-disposition", "content-description", "content-id", "content-transfer-encoding"}
_SAID = {"mime-version", "content-type", "content-transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Late:
    """What stands behind the empty line."""

    fields: Fields  # those before it and those behind it
    body: int  # offset of what follows them
    taken: bool = True  # False: they look like fields, and nothing bears them out


def find_late_fields(
    content: Buffer,
    fields: Fields,
    body: int,
    end: int,
    delimiters: Collection[bytes],
    default: str = "text/plain",
) -> Late | None:
    """The fields of a section whose empty line came too early; None where it did not.

    Args:
        content: the octets of the message.
        fields: those of the section.
        body: where the body begins, as the section says.
        end: where the part ends at the latest.
        delimiters: lines that end the part; none for the message itself.
        default: the media type of a section that declares none.
    """
    if _holds_fields(fields, default):
        return _find_before_message(content, fields, body, end) if delimiters else None
    if _is_open(fields) and (fold := _FOLD.match(bytes(content[body : min(end, body + _LOOK)]))):
        return _go_on(content, fields, body, end, delimiters, fold)
    if not _may_begin(bytes(content[body : min(end, body + 100)]), is_part=bool(delimiters)):
        return None
    head = bytes(content[body : min(end, body + _LOOK)])
    late, after = _read(head, body, fields, is_part=bool(delimiters))
    if not any(field.name.startswith("content-") for field in late):
        has_strayed = bool(delimiters) and (not fields.fields or _begins_with_field(fields, head))
        return Late(fields, body, taken=False) if has_strayed else None
    # Of two that say what the content is, the late one was written for it.
    mime = [field for field in late if field.name.startswith("content-")]
    others = (field for field in late if field not in mime and field.name not in _NEVER)
    both = Fields((*mime, *fields, *others))
    rest = head[after:].lstrip(b"\r\n \t")
    if _is_borne_out(fields, late, both, rest, is_part=bool(delimiters)):
        empty = _EMPTY_LINE.match(head, after)
        return Late(both, body + (empty.end() if empty else after))
    names = {field.name for field in late}
    is_parts = bool(delimiters) and names <= _OF_PART_ALONE  # a file may be a message, and begin with others
    looks_late = is_parts or (names >= _SAID and not _has_mime(fields))
    return Late(fields, body, taken=False) if looks_late else None


def _find_before_message(content: Buffer, fields: Fields, body: int, end: int) -> Late | None:
    """The part's disposition and its like, where they and an empty line stand before a message within."""
    head = bytes(content[body : min(end, body + _LOOK)])
    late, after = _read(head, body, fields, is_part=True)
    empty = _EMPTY_LINE.match(head, after)
    names = {field.name for field in late}
    if not names or not names <= _OF_PART_ALONE or empty is None or not _FIELD.match(head, empty.end()):
        return None
    return Late(Fields((*fields, *late)), body + empty.end())


def _holds_fields(fields: Fields, default: str) -> bool:
    """Whether the body is a message, and so begins with fields of its own (RFC 2046 §5.2)."""
    declared = fields.first("content-type")
    kind = read_structured(declared).value if declared is not None else default
    return kind.startswith("message/")


def _go_on(
    content: Buffer, fields: Fields, body: int, end: int, delimiters: Collection[bytes], fold: re.Match[bytes]
) -> Late:
    """The fields with what belongs to the last of them, and those that follow."""
    *kept, last = fields.fields
    value = last.value + fold[0].replace(b"\r", b"").replace(b"\n", b"").rstrip(b"; \t")
    longer = Fields((*kept, replace(last, value=value)))
    start = body + fold.end()
    empty = _EMPTY_LINE.match(bytes(content[start : start + 100]))
    behind = find_late_fields(content, longer, start, end, delimiters)
    return behind or Late(longer, start + (empty.end() if empty else 0))


def _is_open(fields: Fields) -> bool:
    """Whether the last field is one with parameters, and says that another one follows."""
    last = fields.fields[-1] if fields.fields else None
    return (
        last is not None
        and last.name in {"content-type", "content-disposition"}
        and last.value.endswith(b";")
    )


def _begins_with_field(fields: Fields, head: bytes) -> bool:
    """Whether what is no text begins with a field that parts alone have."""
    name = _FIELD.match(head.lstrip(b"\r\n \t"))
    declared = fields.first("content-type")
    is_text = declared is None or read_structured(declared).value.startswith("text/")
    return name is not None and name[1].decode().lower() in _OF_PART_ALONE and not is_text


def _may_begin(head: bytes, *, is_part: bool) -> bool:
    name = _FIELD.match(head.lstrip(b"\r\n \t"))
    return name is not None and (not is_part or _MIME.fullmatch(name[1]) is not None)


def _read(head: bytes, offset: int, own: Fields, *, is_part: bool) -> tuple[list[Field], int]:
    """The fields at the beginning, empty lines between them passed over, and where they end.

    What is coded may follow at once, if the fields before the empty line say no encoding.
    """
    found: list[Field] = []
    at = end = 0
    while blanks := _BLANKS.match(head, at):
        field = _FIELD.match(head, blanks.end())
        if field is None or not _may_follow(field[1], apart=bool(found and blanks[0]), is_part=is_part):
            break
        value = escape_words(field[0].partition(b":")[2].rstrip(b"\r\n"))
        name = field[1].decode().lower()
        found.append(Field(name, value, start=offset + field.start(), end=offset + field.end()))
        at = end = field.end()
    # What follows the last one is empty, or a boundary, or what it says.
    encoding = Fields(tuple(found)).first("content-transfer-encoding") or b""
    is_coded = own.first("content-transfer-encoding") is None and (
        (encoding.strip().lower() == b"base64" and _BASE64.match(head, end))
        or (encoding.strip().lower() == b"quoted-printable" and _MANY_ESCAPES.search(head, end))
    )
    return (found, end) if is_coded or _END.match(head, end) else ([], 0)


def _may_follow(name: bytes, *, apart: bool, is_part: bool) -> bool:
    """Whether a field of that name may be one of them; behind an empty line only one of mail."""
    if is_part:
        return _MIME.fullmatch(name) is not None
    return not apart or OWN_NAME.match(name) is not None


def _has_mime(fields: Fields) -> bool:
    return any(_MIME.fullmatch(field.name.encode()) for field in fields)


def _is_borne_out(own: Fields, late: list[Field], both: Fields, rest: bytes, *, is_part: bool) -> bool:
    """Whether what follows is what the fields say."""
    declared = own.first("content-type")
    content_type = read_structured(both.first("content-type") or b"")
    encoding = (both.first("content-transfer-encoding") or b"").strip().lower()
    if encoding.startswith(b"base64") and _BASE64.match(rest):
        return True
    boundary = content_type.parameters.get("boundary", "")
    if declared is not None:
        kind = read_structured(declared).value
        if kind.startswith("text/"):
            return _is_plainly_late(own, late, boundary, rest, is_part=is_part)
        return is_part and not kind.startswith(("message/", "multipart/"))
    if boundary or (is_part and not own.fields):
        return _has_boundary(rest, boundary) if boundary else "/" in content_type.value
    if not OWN_NAME.match(late[0].name.encode()):
        return False  # what a server answered, perhaps
    return (
        (encoding.startswith(b"quoted-printable") and _ESCAPES.search(rest) is not None)
        or (content_type.value == "text/calendar" and rest.upper().startswith(b"BEGIN:VCALENDAR"))
        or (content_type.value == "text/html" and (rest.startswith(b"<") or len(_TAGS.findall(rest)) > 1))
    )


def _is_plainly_late(own: Fields, late: list[Field], boundary: str, rest: bytes, *, is_part: bool) -> bool:
    """Whether the fields are the text's own, though it has a type: a library or server put that first."""
    names = {field.name for field in late}
    if not _MIME.fullmatch(late[0].name.encode()):
        return False  # somebody shows a message as it came
    if boundary and "content-type" in names:
        return _has_boundary(rest, boundary)
    encoding = Fields(tuple(late)).first("content-transfer-encoding") or b""
    is_coded = "content-type" not in names and encoding.strip().lower().startswith(b"quoted-printable")
    if is_coded and _MANY_ESCAPES.search(rest):
        return True
    given = read_structured(Fields(tuple(late)).first("content-disposition") or b"").parameters
    return is_part and own.first("content-disposition") is None and bool(given.get("filename"))


def _has_boundary(rest: bytes, boundary: str) -> bool:
    return b"\n--" + boundary.encode() in b"\n" + rest
