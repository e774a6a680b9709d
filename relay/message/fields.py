"""Field sections: where they end, and which fields they hold (RFC 5322 §2.2).

Read on octets, with what devices really send: no separator line, a fold without white space, an
mbox `From ` line, a section that never ends.
"""

import itertools
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from relay.envelope import Buffer
from relay.message import limits
from relay.message.text.encoded_words import escape_words

_BLANK_LINE = re.compile(rb"(?:\A|\n)\r?\n")
_LINE = re.compile(rb"[^\n]*\n?")
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
_INDENTED_NAME = re.compile(rb"[ \t]+([A-Za-z][A-Za-z0-9-]*):")  # the first field only
_PARAMETER = re.compile(rb"[A-Za-z][A-Za-z0-9*-]*[ \t]*=")
_WITH_PARAMETERS = {"content-type", "content-disposition"}
_DESTINATIONS = {"to", "cc", "bcc"}
_MBOX = re.compile(rb">?From ")
# A message may begin with a byte order mark, empty lines or the end of a lost line when a script made it; a
# body that has no field section before it never goes on with these.
_USUAL = (
    rb"from|to|cc|bcc|subject|date|mime-version|content-[a-z-]+|received|return-path|reply-to|sender|message-id"
    rb"|delivered-to|resent-[a-z-]+|x-[a-z0-9-]+|dkim-signature|authentication-results|envelope-to"
)
# Those that may stand alone before a body. Other words with a colon are a text's own: `Status: OK`,
# `Priority: high`, `http://`.
OWN_NAME = re.compile(
    rb"(?:" + _USUAL + rb"|apparently-to|in-reply-to|user-agent|auto-submitted|errors-to|received-spf"
    rb"|mail-followup-to|(?:list|arc|thread|return|disposition-notification)-[a-z-]+)\Z",
    re.IGNORECASE,
)
_LATE_START = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:>?From [^\r\n]{1,998}\r?\n(?=[ \t]*\r?\n))?(?:[ \t]*\r?\n)*"
    rb"(?:[ \t]+(?![A-Za-z][A-Za-z0-9-]*:)[^\r\n]{1,998}\r?\n)?"
    rb"(?=[ \t]*(?:" + _USUAL + rb"|status)[ \t]*:|>?From )",
    re.IGNORECASE,
)
# A line that a gateway put before the header, and fields behind it that no text has.
_JUNK_START = re.compile(
    rb"(?![!-9;-~]+[ \t]*:)[^\r\n]{1,998}\r?\n(?=(?P<fields>(?:[!-9;-~]+:[^\n]*\n(?:[ \t]+\S[^\n]*\n)*){3,}))"
)
_NAMES = re.compile(rb"^([!-9;-~]+):", re.MULTILINE)
_OF_MAIL = {b"mime-version", b"subject"}
_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]{4,}={0,2}[ \t]*\r?(?:\n|\Z)")
_PART_NAMES = (
    b"content-type",
    b"content-transfer-encoding",
    b"content-disposition",
    b"content-description",
    b"content-id",
    b"content-location",
    b"mime-version",
)
# Of names of MIME's that have lost their first letters.
_ENDS_OF_NAMES = {
    name[cut:].decode() for name in _PART_NAMES for cut in range(1, 8) if name.startswith(b"content-")
}
_CUT_FIELD = re.compile(rb"^([A-Za-z][A-Za-z-]{0,30})(\r?\n)([A-Za-z-]{1,30})([ \t]*:[^\r\n]*)", re.MULTILINE)
_CUT_VALUE = re.compile(
    rb"^(content-(?:transfer-encoding|type|disposition)[ \t]*:)([ \t]*\r?\n)"
    rb"(?=(?:base64|quoted-printable)[ \t]*\r?$"
    rb"|(?:[a-z]+/[a-z0-9.+-]+|attachment|inline)[ \t]*(?:;|\r?$))",
    re.MULTILINE | re.IGNORECASE,
)
_LONGEST_CUT = max(map(len, _PART_NAMES))
# A line end that went, or white space that came, made these go on with the field before them.
_JOINED = re.compile(
    rb"(content-(?:type|transfer-encoding|disposition|id)|mime-version|subject)[ \t]*:", re.IGNORECASE
)
_MAY_HOLD_ANOTHER = {"content-type", "content-transfer-encoding", "content-disposition", "content-id"}
_MAY_HOLD_ANOTHER |= {"mime-version", "from", "to", "cc", "date", "message-id"}
_ADDRESSES = {"from", "to", "cc", "message-id"}
_BARE_NAME = re.compile(rb"name[*0-9]*=[^\";]*\Z", re.IGNORECASE)  # of a file, without quotes
_LOOK_BACK = 998  # octets (RFC 5322 §2.1.1)
_MOST_JOINED = 16  # fields in one
_QUOTED_NAME = re.compile(
    rb"[ \t]*>[> \t]*(content-(?:type|transfer-encoding|disposition|id))[ \t]*:", re.IGNORECASE
)
# What shows that fields follow a line that a gateway put before them.
_MIME_FIELD = re.compile(rb"content-(?:type|transfer-encoding|disposition)[ \t]*:", re.IGNORECASE)
_FIRST_LOOK = 8 * 1024


@dataclass(frozen=True, slots=True)
class Field:
    """One field."""

    name: str  # lower case
    value: bytes  # as it stands, folds included, without the last line end; encoded-words are ASCII
    recoded: bool = False  # whether it was raw octets of another charset, and is UTF-8 now
    start: int = 0  # offset of its first octet in the content
    end: int = 0  # of what follows: the next field, or what stands behind the last one


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one section, in their order."""

    fields: tuple[Field, ...] = ()
    broken: bool = False  # whether something is wrong with them that may have cost a piece of one

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def first(self, name: str) -> bytes | None:
        """The value of the first field of that name (lower case), an empty one last; None when there is
        none.
        """
        found = self.every(name)
        return next((value for value in found if value.strip()), found[0] if found else None)

    def every(self, name: str) -> list[bytes]:
        """The values of all the fields of that name (lower case), in order."""
        return [field.value for field in self.fields if field.name == name]


@dataclass(slots=True)
class _Found:
    name: str
    line: int  # offset of the field in the section
    begin: int  # of its value
    end: int


def read_fields(
    content: Buffer, start: int, end: int, delimiters: Collection[bytes] = ()
) -> tuple[Fields, int]:
    """The fields of the section at `start`, and the offset of the body behind it.

    A message without any field of mail has no section: its first lines only look like fields.

    Args:
        content: the octets of the message.
        start: where the section begins.
        end: where its part ends at the latest.
        delimiters: lines that end the part, and so the section, without an empty line.

    Raises:
        Unconvertible: a limit on octets is passed (5.6.0).
    """
    raw, after = _find_section(content, start, end, delimiters)
    section = _mend(raw)
    found: list[_Found] = []
    body = start + after
    junk = -1  # offset of the first line that is no field, with no field behind it
    is_broken = section != raw
    for line in _LINE.finditer(section):
        octets = line[0]
        if not octets:
            break
        if octets.startswith(b"--") and octets.rstrip() in delimiters:
            body = start + line.start()
            break
        quoted = _QUOTED_NAME.match(octets) if octets[0] in b"> \t" else None
        name = quoted or _NAME.match(octets) or (None if found else _INDENTED_NAME.match(octets))
        if name:
            at = line.start()
            # What is lost of a field that is lost as a whole is said there.
            is_broken |= junk >= 0 and not (found and found[-1].name.startswith("x-"))
            lower = name[1].decode("ascii").lower()
            is_broken |= quoted is not None or lower in _ENDS_OF_NAMES
            found.append(_Found(lower, at, at + name.end(), line.end()))
            junk = -1
        elif found and junk < 0 and (octets[0] in b" \t" or _is_parameter(section, found[-1], octets)):
            found[-1].end = line.end()
        elif junk < 0 and not _MBOX.match(octets):
            if (found or delimiters) and _is_cut_name(content, start + line.start(), end):
                break
            if not found and not (delimiters and _MIME_FIELD.match(section, line.end())):
                return Fields(), start
            junk = -1 if octets.startswith(b":") else line.start()
    if not delimiters and found and not any(OWN_NAME.match(one.name.encode()) for one in found):
        return Fields(), start
    apart = [piece for one in found for piece in _separate(section, one)]
    is_broken |= len(apart) > len(found) or (bool(delimiters) and junk >= 0) or _has_strayed(section, found)
    found = apart
    ends = [*(one.line for one in found[1:]), *(one.end for one in found[-1:])]
    fields = Fields(
        tuple(
            _make_field(section, one, start + one.line, start + end)
            for one, end in zip(found, ends, strict=True)
        ),
        broken=is_broken,
    )
    return fields, start + junk if _is_text(section, junk, fields) else body


def _has_strayed(section: bytes, found: list[_Found]) -> bool:
    """Whether the parameter that a field announces goes on with the encoding behind it."""
    return b"name=" in section and any(
        second.name == "content-transfer-encoding"
        and b"name=" in section[second.begin : second.end]
        and section[first.begin : first.end].rstrip().endswith(b";")
        for first, second in itertools.pairwise(found)
    )


def _separate(section: bytes, field: _Found) -> Iterator[_Found]:
    """The field, and those of MIME and the subject that go on its line or its fold."""
    if field.name in _MAY_HOLD_ANOTHER and section.find(b":", field.begin, field.end) >= 0:
        quotes, at = 0, field.begin
        for joined in itertools.islice(_JOINED.finditer(section, field.begin, field.end), _MOST_JOINED):
            quotes += section.count(b'"', at, joined.start())
            at = joined.start()
            if quotes % 2 == 0 and _may_end(
                field, section[max(field.begin, at - _LOOK_BACK) : at], joined[1]
            ):
                yield _Found(field.name, field.line, field.begin, at)
                field = _Found(joined[1].decode("ascii").lower(), at, joined.end(), field.end)
    yield field


def _may_end(field: _Found, value: bytes, name: bytes) -> bool:
    """Whether the field may be over behind this end of its value, where `name` and a colon stand.

    They may also stand in a display name, an encoded-word, a group's name or a file's name.
    """
    is_begun = b"@" in value if field.name in _ADDRESSES else bool(value.strip())
    word = b"" if value[-1:].isspace() else value[value.rfind(b" ") + 1 :]
    in_word = b"=?" in word and not word.endswith(b"?=")
    in_name = not name.lower().startswith(b"content-") and _BARE_NAME.search(value)
    return is_begun and not in_word and not in_name


def _mend(section: bytes) -> bytes:
    """The section with the fields of MIME in one piece that a line end had cut in two; its length stays."""
    mended = _CUT_FIELD.sub(_join_field, section)
    return _CUT_VALUE.sub(lambda found: found[1] + b" " * len(found[2]), mended)


def _join_field(found: re.Match[bytes]) -> bytes:
    begun, line_end, name, rest = found.groups()
    if (begun + name).lower() not in _PART_NAMES:
        return found[0]
    return begun + name + rest + b" " * len(line_end)


def _is_text(section: bytes, junk: int, fields: Fields) -> bool:
    """Whether a text whose empty line was forgotten begins at `junk`; Base64 does only if it is some."""
    return junk >= 0 and (_BASE64_LINE.match(section, junk) is not None or not _is_base64(fields))


def _is_parameter(section: bytes, field: _Found, line: bytes) -> bool:
    """Whether the line goes on with the field's parameters, and the white space of the fold was forgotten."""
    return (
        field.name in _WITH_PARAMETERS
        and _PARAMETER.match(line) is not None
        and section[field.begin : field.end].rstrip().endswith(b";")
    )


def _is_cut_name(content: Buffer, start: int, end: int) -> bool:
    """Whether the message was cut off within a part's field name, so that nothing of it is a text."""
    if end < len(content) or end - start > _LONGEST_CUT:
        return False
    octets = bytes(content[start:end]).lower()
    return len(octets) > 1 and any(name.startswith(octets) for name in _PART_NAMES)


def _is_base64(fields: Fields) -> bool:
    return (fields.first("content-transfer-encoding") or b"").strip(b' \t\r\n"').lower().startswith(b"base64")


def _make_field(section: bytes, found: _Found, start: int, end: int) -> Field:
    # So many mailboxes as a message may have need more room than anything else that a field says.
    most = limits.FIELD_SECTION if found.name in _DESTINATIONS else limits.FIELD
    if found.end - found.begin > most:
        raise limits.refuse("octets in one header field", most)
    value = section[found.begin : found.end].rstrip(b"\r\n")
    return Field(found.name, escape_words(value), start=start, end=end)


def _find_section(content: Buffer, start: int, end: int, delimiters: Collection[bytes]) -> tuple[bytes, int]:
    """The octets of the section and the distance to the body."""
    for look in (_FIRST_LOOK, limits.FIELD_SECTION + 2):
        octets = bytes(content[start : min(end, start + look)])
        if blank := _BLANK_LINE.search(octets):
            at = blank.start() + 1 if octets[blank.start()] == 0x0A and blank.end() - blank.start() > 1 else 0
            return (octets[:at], blank.end()) if at else (b"", blank.end())
        if len(octets) < look or _has_delimiter(octets, delimiters):
            return octets, len(octets)
    if not (delimiters or _has_own(octets[:_FIRST_LOOK])) or not (_NAME.match(octets) or _MBOX.match(octets)):
        return octets[:_FIRST_LOOK], 0  # no section at all: the caller sees that no line is a field
    raise limits.refuse("octets in one header section", limits.FIELD_SECTION)


def _has_own(octets: bytes) -> bool:
    """Whether a field of mail is among these lines."""
    names = (_NAME.match(line) for line in octets.split(b"\n"))
    return any(name is not None and OWN_NAME.match(name[1]) for name in names)


def _has_delimiter(octets: bytes, delimiters: Collection[bytes]) -> bool:
    """Whether the part ends here, so that no more need be looked at, part after part."""
    return any(line.startswith(b"--") and line.rstrip() in delimiters for line in octets.split(b"\n")[:-1])


def find_start(content: Buffer) -> int:
    """Where the message's own field section begins: behind empty lines that a script put before it."""
    head = bytes(content[:_FIRST_LOOK])
    late = _LATE_START.match(head) or _JUNK_START.match(head)
    if late and late.re is _JUNK_START and not _OF_MAIL.issubset(_NAMES.findall(late["fields"].lower())):
        return 0
    return late.end() if late else 0
