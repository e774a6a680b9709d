"""Field sections: where they end, and which fields they hold (RFC 5322 §2.2).

Read on octets, with what devices really send: no separator line, a fold without white space, an
mbox `From ` line, a section that never ends.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from relay.envelope import Buffer
from relay.message import limits

_BLANK_LINE = re.compile(rb"(?:\A|\n)\r?\n")
_LINE = re.compile(rb"[^\n]*\n?")
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
_MBOX = re.compile(rb">?From ")
# A message may begin with empty lines when a script made it; a body never begins with these.
_LATE_START = re.compile(
    rb"(?:[ \t]*\r?\n)+(?=(?:from|to|subject|date|mime-version|content-type|received|return-path):)",
    re.IGNORECASE,
)
_FIRST_LOOK = 8 * 1024


@dataclass(frozen=True, slots=True)
class Field:
    """One field."""

    name: str  # lower case
    value: bytes  # as it stands, folds included, without the last line end


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one section, in their order."""

    fields: tuple[Field, ...] = ()

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def first(self, name: str) -> bytes | None:
        """The value of the first field of that name (lower case); None when there is none."""
        return next((field.value for field in self.fields if field.name == name), None)

    def every(self, name: str) -> list[bytes]:
        """The values of all the fields of that name (lower case), in order."""
        return [field.value for field in self.fields if field.name == name]


def read_fields(
    content: Buffer, start: int, end: int, delimiters: Collection[bytes] = ()
) -> tuple[Fields, int]:
    """The fields of the section at `start`, and the offset of the body behind it.

    Args:
        content: the octets of the message.
        start: where the section begins.
        end: where its part ends at the latest.
        delimiters: lines that end the part, and so the section, without an empty line.

    Raises:
        Unconvertible: a limit on octets is passed (5.6.0).
    """
    section, after = _find_section(content, start, end)
    fields: list[Field] = []
    body = start + after
    junk = -1  # offset of the first line that is no field, with no field behind it
    for line in _LINE.finditer(section):
        octets = line[0]
        if not octets:
            break
        if octets.startswith(b"--") and octets.rstrip() in delimiters:
            body = start + line.start()
            break
        if octets[0] in b" \t" and fields and junk < 0:
            fields[-1] = Field(fields[-1].name, fields[-1].value + octets)
        elif name := _NAME.match(octets):
            fields.append(Field(name[1].decode("ascii").lower(), octets[name.end() :]))
            junk = -1
        elif junk < 0 and not _MBOX.match(octets):
            if not fields:
                return Fields(), start
            junk = line.start()
    if junk >= 0:
        body = start + junk
    return Fields(tuple(map(_bounded, fields))), body


def _bounded(field: Field) -> Field:
    if len(field.value) > limits.FIELD:
        raise limits.refuse("octets in one header field", limits.FIELD)
    return Field(field.name, field.value.rstrip(b"\r\n"))


def _find_section(content: Buffer, start: int, end: int) -> tuple[bytes, int]:
    """The octets of the section and the distance to the body."""
    for look in (_FIRST_LOOK, limits.FIELD_SECTION + 2):
        octets = bytes(content[start : min(end, start + look)])
        if blank := _BLANK_LINE.search(octets):
            at = blank.start() + 1 if octets[blank.start()] == 0x0A and blank.end() - blank.start() > 1 else 0
            return (octets[:at], blank.end()) if at else (b"", blank.end())
        if len(octets) < look:
            return octets, len(octets)
    if not _NAME.match(octets) and not _MBOX.match(octets):
        return octets[:_FIRST_LOOK], 0  # no section at all: the caller sees that the first line is no field
    raise limits.refuse("octets in one header section", limits.FIELD_SECTION)


def find_start(content: Buffer) -> int:
    """Where the message's own field section begins: behind empty lines that a script put before it."""
    head = bytes(content[:_FIRST_LOOK])
    late = _LATE_START.match(head)
    return late.end() if late else 0
