"""Fields behind an empty line that came too early.

Scripts end the field section twice, or put an empty line behind each field. Then all that MIME says stands in
the text. It is taken for fields only where the text bears it out: the boundary that it declares follows, or
html, or Base64. Whoever writes about fields keeps the text that was written.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from relay.envelope import Buffer
from relay.message.fields import OWN_NAME, Field, Fields
from relay.message.parameters import read_structured
from relay.message.text.encoded_words import escape_words

_LOOK = 8 * 1024
_BLANKS = re.compile(rb"(?:[ \t]*\r?\n)*")
_FIELD = re.compile(rb"([A-Za-z][A-Za-z0-9-]*):[^\n]*\n?(?:[ \t]+[^\s][^\n]*\n?)*")
_MIME = re.compile(rb"content-[a-z-]+|mime-version", re.IGNORECASE)
_END = re.compile(rb"[ \t]*\r?\n|--|\Z")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}[ \t]*\r?(?:\n|\Z)")
_ESCAPES = re.compile(rb"=[0-9A-F]{2}|=\r?\n")
# Who sends is looked up where a message's fields are, and nowhere else.
_NEVER = {"from", "sender", "bcc", "received", "return-path"}
_SAID = {"mime-version", "content-type", "content-transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Late:
    """What stands behind the empty line."""

    fields: Fields  # those before it and those behind it
    body: int  # offset of what follows them
    taken: bool = True  # False: they look like fields, and nothing bears them out


def find_late_fields(
    content: Buffer, fields: Fields, body: int, end: int, delimiters: Collection[bytes]
) -> Late | None:
    """The fields of a section whose empty line came too early; None where it did not.

    Args:
        content: the octets of the message.
        fields: those of the section.
        body: where the body begins, as the section says.
        end: where the part ends at the latest.
        delimiters: lines that end the part; none for the message itself.
    """
    if not _may_begin(bytes(content[body : min(end, body + 100)]), is_part=bool(delimiters)):
        return None
    head = bytes(content[body : min(end, body + _LOOK)])
    late, after = _read(head, body, is_part=bool(delimiters))
    if not any(field.name.startswith("content-") for field in late):
        return None
    both = Fields((*fields, *(field for field in late if field.name not in _NEVER)))
    rest = head[after:].lstrip(b"\r\n \t")
    if _is_borne_out(fields, both, rest, is_part=bool(delimiters)):
        return Late(both, body + after)
    names = {field.name for field in late}
    return Late(fields, body, taken=False) if names >= _SAID and not _has_mime(fields) else None


def _may_begin(head: bytes, *, is_part: bool) -> bool:
    name = _FIELD.match(head.lstrip(b"\r\n \t"))
    return name is not None and (_MIME if is_part else OWN_NAME).fullmatch(name[1]) is not None


def _read(head: bytes, offset: int, *, is_part: bool) -> tuple[list[Field], int]:
    """The fields at the beginning, empty lines between them passed over, and where they end."""
    found: list[Field] = []
    at = end = 0
    while blanks := _BLANKS.match(head, at):
        field = _FIELD.match(head, blanks.end())
        if field is None or not (_MIME if is_part else OWN_NAME).fullmatch(field[1]):
            break
        value = escape_words(field[0].partition(b":")[2].rstrip(b"\r\n"))
        name = field[1].decode().lower()
        found.append(Field(name, value, start=offset + field.start(), end=offset + field.end()))
        at = end = field.end()
    # What follows the last one is empty, or a boundary.
    return (found, end) if _END.match(head, end) else ([], 0)


def _has_mime(fields: Fields) -> bool:
    return any(_MIME.fullmatch(field.name.encode()) for field in fields)


def _is_borne_out(own: Fields, both: Fields, rest: bytes, *, is_part: bool) -> bool:
    """Whether what follows is what the fields say."""
    declared = own.first("content-type")
    content_type = read_structured(both.first("content-type") or b"")
    encoding = (both.first("content-transfer-encoding") or b"").strip().lower()
    if encoding.startswith(b"base64") and _BASE64.match(rest):
        return True
    if declared is not None:
        # What is no text does not begin with fields.
        return is_part and not read_structured(declared).value.startswith(("text/", "message/", "multipart/"))
    if boundary := content_type.parameters.get("boundary", ""):
        return b"\n--" + boundary.encode() in b"\n" + rest
    if is_part and not own.fields:
        return "/" in content_type.value
    if encoding.startswith(b"quoted-printable") and _ESCAPES.search(rest):
        return True
    return content_type.value == "text/html" and rest.startswith(b"<")
