"""A part that stands in the one before it, because the delimiter between them is broken or gone.

It is letters of a text, or octets of a file, and nobody would know. Whoever writes about mail shows a whole
delimiter, or the other fields of a message, before those of MIME: that is no damage.
"""

import re

_NEXT_FIELD = re.compile(rb"\n[Cc]ontent-")  # of a part, behind the line that should be its delimiter
_ENOUGH = 3  # characters that are a piece of a delimiter
_FIELD_WITH_FOLDS = rb"[^\n]*\n(?:[ \t]+\S[^\n]*\n)*"
# A section of MIME's fields alone: several, or one that says that a message or a multipart follows.
_FIELDS_ALONE = re.compile(
    rb"(?=(?:content-[a-z-]+[ \t]*:%(rest)s){2,7}\r?\n"
    rb"|content-type[ \t]*:[ \t]*(?:multipart|message)/%(rest)s\r?\n)"
    rb"(?:content-[a-z-]+[ \t]*:%(rest)s){0,6}?content-type[ \t]*:" % {b"rest": _FIELD_WITH_FOLDS},
    re.IGNORECASE,
)
_NO_TEXT = re.compile(rb"--|[!-9;-~]+:|[ \t]+\S")  # a delimiter, another field or its fold
_FIELDS = {"message/delivery-status", "text/rfc822-headers"}  # they are fields, and may have MIME's
# The part behind a status (RFC 3464 §2); some programs give the status a type of its own.
_RETURNED = re.compile(
    rb"\ncontent-type[ \t]*:[ \t]*(?:message/(?:rfc822|global)|text/rfc822-headers)", re.IGNORECASE
)
_LAST_LINE = re.compile(
    rb"content-(?:type[ \t]*:[ \t]*[a-z]+/[^\s;]+(?:;[^\n]*)?|transfer-encoding[ \t]*:[ \t]*[a-z0-9-]+"
    rb"|disposition[ \t]*:[ \t]*(?:attachment|inline)(?:;[^\n]*)?)",
    re.IGNORECASE,
)


def has_part(text: bytes, media_type: str, delimiter: bytes) -> bool:
    """Whether a part's body goes on with another part.

    Args:
        text: the body, as it stands.
        media_type: the part's.
        delimiter: that of the multipart that it belongs to.
    """
    if b"\n" + delimiter + b"Content-" in text:  # the line end behind it is gone
        return True
    if media_type == "message/delivery-status" and _RETURNED.search(text):
        return True
    is_fields = media_type in _FIELDS
    if not is_fields and not media_type.startswith("message/") and _ends_with_field(text):
        return True
    for found in _NEXT_FIELD.finditer(text):
        line = text[text.rfind(b"\n", 0, found.start()) + 1 : found.start()]
        if _is_piece(line.strip(), delimiter) or (not is_fields and _is_section(text, line, found.start())):
            return True
    return False


def _ends_with_field(text: bytes) -> bool:
    """Whether a field has changed places with the delimiter behind the text."""
    before, _, last = text.rpartition(b"\n")
    return _LAST_LINE.fullmatch(last) is not None and not _NO_TEXT.match(before.rpartition(b"\n")[2])


def _is_piece(line: bytes, delimiter: bytes) -> bool:
    """Whether a line is what is left of a delimiter, or holds one."""
    is_piece = len(line) > _ENOUGH and (delimiter.startswith(line) or delimiter.endswith(line))
    return is_piece or delimiter in line


def _is_section(text: bytes, line: bytes, at: int) -> bool:
    """Whether fields alone stand behind the line that ends at `at`, and something before them."""
    return (
        not _NO_TEXT.match(line) and _FIELDS_ALONE.match(text, at + 1) is not None and bool(text[:at].strip())
    )
