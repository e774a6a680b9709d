"""The tree of parts, found in the octets themselves (RFC 2046 §5.1).

One pass over the content looks for lines that begin with two hyphens and compares them with the
boundaries of the multiparts that are open. No other line is looked at, nothing is copied but the field
sections: a leaf is a range of octets. That is why the standard library's parser, which makes an object of
each line, is not used for structure.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from relay.envelope import Buffer
from relay.mail import Leaf
from relay.message import limits
from relay.message.fields import Fields, find_start, read_fields
from relay.message.late_fields import find_late_fields
from relay.message.parameters import Structured, open_words, read_structured
from relay.message.swallowed import has_part

_BLOCK = 1024 * 1024
_DENSE = 4096  # candidates in one block, behind which the regular expression goes on, as it is faster then
_USUAL_TYPES = {
    "text": "text/plain",
    "html": "text/html",
    "plain": "text/plain",
    "text/htm": "text/html",
    "multipart": "multipart/mixed",
    "mixed": "multipart/mixed",
    "alternative": "multipart/alternative",
    "related": "multipart/related",
}
_LONGEST_DELIMITER = 4096
_BROKEN = "its fields are broken"
_LATE = "fields stand behind an empty line"
_RENDERINGS = ["text/plain", "text/html"]
_LOST = "the delimiter before it is broken"
_SWALLOWED = "a part whose delimiter is broken stands in the text"
_LONGEST_LOOKED_AT = 256 * 1024  # octets of a text
_UNSAID = "that it is a multipart is not said"
_LOOKS_LATE = "what looks like fields stands in the text"
_ENCODINGS = {
    "base64": "base64",
    "quotedprintable": "quoted-printable",
    "8bit": "8bit",
    "binary": "binary",
    "xuue": "x-uuencode",
    "uue": "x-uuencode",
    "xbase64": "base64",
    "xyenc": "x-yencode",
    "yenc": "x-yencode",
}
_NONE = (["7bit"], ["8bit"], ["binary"])
_COMMENT = re.compile(r"\([^()]*\)")
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_RAW_BOUNDARY = re.compile(rb"""boundary\s*=\s*["']?([^"';\r\n]+)""", re.IGNORECASE)
_GUESSED_BOUNDARY = re.compile(
    rb"(?:\A|\n)--([^\r\n]{1,200}?)[ \t]*\r?\n(?=(?:content-|mime-)[!-9;-~]+[ \t]*:)", re.IGNORECASE
)


_PREAMBLE = re.compile(
    rb"\s*(?:[^\r\n]{0,200}(?:MIME|multi-?part|boundary=)[^\r\n]{0,200}\s+){0,3}", re.IGNORECASE
)
# Fields of a part where no part is: a preamble or epilogue is shown to nobody (RFC 2046 §5.1.1).
_PART_FIELD = re.compile(
    rb"(?:\A|\n)(?:--[!-~]{1,200}?)?(?=content-(?:type|transfer-encoding|disposition)[ \t]*:)", re.IGNORECASE
)
_HEAD = 8 * 1024  # octets that are looked at for such


@dataclass(slots=True)
class Part:
    """One part: its fields, and where its body lies."""

    fields: Fields
    start: int  # offset of the body's first octet
    end: int  # offset after its last one
    content_type: Structured
    disposition: Structured
    encoding: str  # lower case; 7bit when absent or not understood
    declared: bool = True  # whether a Content-Type was there and had the form type/subtype
    children: list["Part"] = field(default_factory=list)
    closed: bool = False  # whether the close-delimiter was seen, with no part behind it
    resumed: bool = False  # whether a part came behind a close-delimiter
    behind: int = 0  # offset behind the close-delimiter; 0 without one
    is_root: bool = False  # whether it is the message itself
    damage: str = ""  # what is wrong with its fields

    @property
    def media_type(self) -> str:
        """type/subtype, lower case."""
        return self.content_type.value

    @property
    def leaf(self) -> Leaf:
        """The body as a range of the content."""
        return Leaf(self.start, self.end, self.encoding)

    @property
    def is_multipart(self) -> bool:
        """Whether it has parts of its own."""
        return bool(self.children)


def read_structure(content: Buffer, *, decoded: bool = False) -> Part:
    """The message's tree of parts; the root is the message itself.

    Args:
        content: the octets.
        decoded: they are what a multipart that was encoded as a whole came to; that is done once, for the
        root.

    Raises:
        Unconvertible: a limit is passed (5.6.0).
    """
    return _Reader(content, decoded=decoded).read(find_start(content), len(content))


class _Reader:
    """Reads the tree; counts the parts."""

    def __init__(self, content: Buffer, *, decoded: bool) -> None:
        self._decoded = decoded
        self._content = content
        self._parts = 0

    def read(self, start: int, end: int) -> Part:
        root = self._open(start, end, (), "text/plain")
        root.is_root = True
        name = self._find_unsaid(root)
        if name:
            root.content_type = Structured("multipart/mixed", {"boundary": name})
            root.damage = _UNSAID
        before = bytes(self._content[:start]).removeprefix(b"\xef\xbb\xbf").strip()
        if before and not before.startswith((b"From ", b">From ")):
            root.damage = root.damage or _BROKEN
        self._read_children(root, 0)
        for part in _walk(root):
            if part.damage == _UNSAID and [child.media_type for child in part.children] == _RENDERINGS:
                part.content_type = replace(part.content_type, value="multipart/alternative")
        return root

    def _find_unsaid(self, root: Part) -> str:
        """The boundary of a message that begins with a part and ends as a multipart; "" for any other."""
        if not root.fields.fields or root.fields.first("content-type") is not None:
            return ""
        head = bytes(self._content[root.start : root.start + _HEAD])
        found = _GUESSED_BOUNDARY.match(_PREAMBLE.sub(b"", head, count=1))
        tail = bytes(self._content[max(root.start, root.end - _HEAD) : root.end])
        return found[1].decode("latin-1") if found and b"\n--%s--" % found[1] in tail else ""

    def _find_inner(self, part: Part, delimiters: tuple[bytes, ...]) -> str:
        """The boundary of a part that begins with a part of its own; "" for any other."""
        head = bytes(self._content[part.start : min(part.end, part.start + _HEAD)])
        found = _GUESSED_BOUNDARY.match(_PREAMBLE.sub(b"", head, count=1))
        is_own = found is not None and b"--" + found[1] not in delimiters
        return found[1].decode("latin-1") if found and is_own else ""

    def _add_lost(self, parent: Part, start: int, at: int, depth: int) -> None:
        """Add the part between two delimiters that hold none, whose own is broken.

        Looked for in the one pass alone, so that nothing is read more than twice.
        """
        found = (
            _PART_FIELD.search(bytes(self._content[start : min(at, start + _HEAD)])) if at > start else None
        )
        if depth or found is None:
            return
        part = self._open(start + found.end(), at, (), "text/plain")
        part.damage, part.end = _LOST, parent.end
        _end(self._content, part, at)
        if bytes(self._content[part.start : min(part.end, part.start + _HEAD)]).strip():
            self._read_children(part, depth + 1)
            parent.children.append(part)
        elif start > parent.start and not bytes(self._content[start : start + found.start()]).strip():
            # A field has changed places with the delimiter behind it.
            parent.damage = parent.damage or _BROKEN

    def _open(self, start: int, end: int, delimiters: tuple[bytes, ...], default: str) -> Part:
        self._parts += 1
        if self._parts > limits.PARTS:
            raise limits.refuse("parts", limits.PARTS)
        fields, body = read_fields(self._content, start, end, delimiters)
        late = find_late_fields(self._content, fields, body, end, delimiters, default)
        if late is None:
            part = make_part(fields, body, end, default)
            part.damage = _BROKEN if fields.broken else ""
            is_unsaid = delimiters and not part.declared and default == "text/plain"
            if is_unsaid and (name := self._find_inner(part, delimiters)):
                part.content_type = Structured("multipart/mixed", {"boundary": name})
                part.damage = _UNSAID
            return part
        part = make_part(late.fields, late.body, end, default)
        part.damage = _LATE if late.taken else _LOOKS_LATE
        return part

    def _read_children(self, top: Part, depth: int) -> None:
        """Find the parts of a multipart, and theirs, in one pass."""
        if not _boundary_of(top):
            self._guess(top, depth)
            return
        stack = [top]
        self._scan(stack, depth)
        for part in _childless(top):
            self._guess(part, depth)
        for parent in (part for part in _walk(top) if part.children):
            for child in parent.children:
                if not child.damage and self._has_swallowed(child, b"--" + _boundary_of(parent)):
                    child.damage = _SWALLOWED

    def _has_swallowed(self, part: Part, delimiter: bytes) -> bool:
        """Whether a text goes on with a part whose delimiter is broken."""
        if part.children or part.encoding == "base64":  # whose decoder names what is none
            return False
        text = bytes(self._content[part.start : min(part.end, part.start + _LONGEST_LOOKED_AT)])
        return has_part(text, part.media_type, delimiter)

    def _scan(self, stack: list[Part], depth: int) -> None:
        """The one pass; `stack` holds the open multiparts, and above them the open leaf, if there is one."""
        resume, end = stack[0].start, stack[0].end
        boundaries = {_boundary_of(stack[0]): [0]}
        for at in _find_candidates(self._content, resume, end, boundaries):
            if at < resume:
                continue
            line, behind = self._line(at, end)
            level, closing = _match(line, boundaries)
            if level < 0:
                continue
            closed = stack[level + 1].behind if len(stack) > level + 1 else 0
            self._close(stack, level + 1, at)
            _forget(boundaries, level + 1)
            resume = behind
            parent = stack[level]
            if closed:
                self._add_lost(parent, closed, at, depth)
            if closing:
                _end(self._content, parent, at)
                parent.closed, parent.behind = True, behind
                # A part may follow all the same, and would vanish if it were not read; but one more of that
                # boundary belongs to the outer multipart that has the same.
                if len(boundaries[_boundary_of(parent)]) > 1:
                    self._close(stack, level, behind)
                    _forget(boundaries, level)
                continue
            parent.resumed, parent.closed = parent.resumed or parent.closed, False
            if depth + len(stack) > limits.DEPTH:
                raise limits.refuse("levels of nesting", limits.DEPTH)
            default = "message/rfc822" if parent.media_type == "multipart/digest" else "text/plain"
            lines = tuple(b"--" + name + tail for name in boundaries for tail in (b"", b"--"))
            if not parent.children:
                self._add_lost(parent, parent.start, at, depth)
            child = self._open(behind, end, lines, default)
            parent.children.append(child)
            stack.append(child)
            if name := _boundary_of(child):
                boundaries.setdefault(name, []).append(len(stack) - 1)
            resume = child.start
        self._close(stack, 0, end)

    def _line(self, at: int, end: int) -> tuple[bytes, int]:
        """The line at `at` without its line end, and the offset behind it."""
        octets = bytes(self._content[at : min(end, at + _LONGEST_DELIMITER)])
        cut = octets.find(b"\n")
        if cut < 0:
            return octets.rstrip(), at + len(octets)
        return octets[:cut].rstrip(), at + cut + 1

    def _close(self, stack: list[Part], level: int, at: int) -> None:
        """End all open parts from `level` up before the line at `at`."""
        while len(stack) > level:
            _end(self._content, stack.pop(), at)

    def _guess(self, part: Part, depth: int) -> None:
        """A multipart whose boundary is missing or never comes: take the first line that looks like one.

        Nothing found: the body is read as text, so that it is seen.
        """
        if not part.media_type.startswith("multipart/"):
            return
        if part.closed:  # it has no parts, and says so
            part.content_type = replace(part.content_type, value="text/plain")
            return
        if part.encoding in {"base64", "quoted-printable"} and part.is_root and not self._decoded:
            return  # encoded as a whole, against RFC 2045 §6.4: `body` decodes it
        head = bytes(self._content[part.start : min(part.end, part.start + _BLOCK)])
        found = _GUESSED_BOUNDARY.search(head)
        if found is None or found[1] == part.content_type.parameters.get("boundary", "").encode(
            "utf-8", "replace"
        ):
            part.content_type = replace(part.content_type, value="text/plain")
            return
        boundary = found[1].decode("latin-1")
        part.content_type = Structured(
            part.media_type, {**part.content_type.parameters, "boundary": boundary}
        )
        self._scan([part], depth)
        for child in _childless(part):
            child.content_type = replace(child.content_type, value="text/plain")


def make_part(fields: Fields, start: int, end: int, default: str = "text/plain") -> Part:
    """A part, from its fields and the range of its body."""
    content_type = read_structured(_find_longest(fields, "content-type"))
    media_type = _USUAL_TYPES.get(content_type.value, content_type.value)
    declared = media_type.count("/") == 1 and not media_type.endswith("/")
    content_type = Structured(media_type if declared else default, content_type.parameters, content_type.cut)
    disposition = read_structured(_find_longest(fields, "content-disposition"))
    return Part(fields, start, end, content_type, disposition, _read_encoding(fields), declared)


def _find_longest(fields: Fields, name: str) -> bytes:
    """The field's value; of one that was sent again with more, the longer."""
    first, *others = [value for value in fields.every(name) if value.strip()] or [b""]
    return max((one for one in (first, *others) if one.startswith(first)), key=len) if others else first


def _read_encoding(fields: Fields) -> str:
    """The content-transfer-encoding. Of two, Base64 goes before none: whether it is some is seen."""
    found = [_find_encoding(raw) for raw in fields.every("content-transfer-encoding") if raw.strip()]
    return "base64" if found[:1] in _NONE and "base64" in found else next(iter(found), "7bit")


def _find_encoding(raw: bytes) -> str:
    """An encoding, however it is spelled: `7-bit`, `Quoted Printable`, `x-uue`."""
    letters = _NOT_WORD.sub("", _COMMENT.sub("", open_words(raw.decode("latin-1"))).lower())
    for start, encoding in _ENCODINGS.items():
        if letters.startswith(start) or (len(letters) > 2 and start.startswith(letters)):  # cut off
            return encoding
    return "7bit"


def _end(content: Buffer, part: Part, at: int) -> None:
    """End a part before the line at `at`, if it has no end; its line end belongs to the delimiter."""
    if not part.closed:
        before = bytes(content[max(part.start, at - 2) : at]) if at < part.end else b""
        part.end = max(part.start, at - (2 if before == b"\r\n" else before.endswith(b"\n")))


def _boundary_of(part: Part) -> bytes:
    if not part.media_type.startswith("multipart/"):
        return b""
    boundary = part.content_type.parameters.get("boundary", "").rstrip()
    if not boundary.isascii() and (raw := _RAW_BOUNDARY.search(part.fields.first("content-type") or b"")):
        return raw[1].rstrip()
    return boundary.encode("utf-8", "replace")


def _match(line: bytes, boundaries: dict[bytes, list[int]]) -> tuple[int, bool]:
    """The level of the multipart that the line delimits, or -1; and whether it closes it."""
    name = line[2:]
    if name in boundaries:
        return boundaries[name][-1], False
    if name.endswith(b"--") and name[:-2].rstrip() in boundaries:
        return boundaries[name[:-2].rstrip()][-1], True
    return -1, False


def _forget(boundaries: dict[bytes, list[int]], level: int) -> None:
    """Drop the boundaries of the multiparts from `level` up: they are closed."""
    for name in [name for name, levels in boundaries.items() if levels[-1] >= level]:
        boundaries[name] = [one for one in boundaries[name] if one < level]
        if not boundaries[name]:
            del boundaries[name]


def _walk(part: Part) -> Iterator[Part]:
    """All parts of the tree."""
    pending = [part]
    while pending:
        one = pending.pop()
        yield one
        pending.extend(one.children)


def _childless(part: Part) -> Iterator[Part]:
    """All multiparts in the tree that turned out to have no parts."""
    return (one for one in _walk(part) if one.media_type.startswith("multipart/") and not one.children)


def _find_candidates(
    content: Buffer, start: int, end: int, boundaries: Mapping[bytes, list[int]]
) -> Iterator[int]:
    """Offsets of the lines that begin with two hyphens, from `start` (a line's beginning) on.

    Where such lines are dense (a table drawn in hyphens, an attack), only those that go on with an open
    boundary.
    """
    if bytes(content[start : start + 2]) == b"--":
        yield start
    for at in range(start, end, _BLOCK):
        # Two octets of overlap, so that no candidate is cut in two.
        block = bytes(content[at : min(end, at + _BLOCK + 2)])
        if b"-" not in block:
            # Base64 has no hyphens, and looking for one octet costs next to nothing.
            continue
        found, left = block.find(b"\n--"), _DENSE
        while found >= 0 and left:
            yield at + found + 1
            found, left = block.find(b"\n--", found + 1), left - 1
        if found >= 0:
            block = bytes(content[at : min(end, at + _BLOCK + _LONGEST_DELIMITER)])
            yield from (at + one for one in _find_dense(block, found, boundaries))


def _find_dense(block: bytes, found: int, boundaries: Mapping[bytes, list[int]]) -> Iterator[int]:
    """The same within one block from `found` on, by a regular expression made anew when the open boundaries
    change.
    """
    while boundaries:
        names = tuple(boundaries)
        pattern = re.compile(rb"\n--(?:" + b"|".join(map(re.escape, names)) + rb")(?:--)?[ \t]*\r?(?:\n|\Z)")
        while tuple(boundaries) == names:
            match = pattern.search(block, found)
            if match is None or match.start() >= _BLOCK:
                return
            found = match.start() + 1
            yield found
