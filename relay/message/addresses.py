"""Mailboxes of originator and destination fields (RFC 5322 §3.4), read as people write them.

Semicolons between mailboxes, missing brackets, groups, comments, route addresses, encoded-words anywhere: all
mailboxes are found, in time linear in the field. What is no mailbox is passed over.
"""

import re
from collections.abc import Iterable

from relay.mail import Address
from relay.message import limits
from relay.message.text import budget, charsets
from relay.message.text.encoded_words import decode_words, has_words

_UNQUOTED = r"""(?P<word>=\?[^?\s]{1,100}\?[BbQq]\?[^?]*\?=)
    |(?P<angle><(?:[^<>"]|"(?:[^"\\]|\\.)*")*>|<[^<>",;]*)
    |(?P<literal>\[[0-9A-Za-z.:-]*\])
    |(?P<special>[,;:()])
    |(?P<blank>\s+)
    |(?P<atom>[^\s,;:()<>"\[\]=]+|[^\s])"""
_TOKEN = re.compile(r"""(?P<quoted>"(?:[^"\\]|\\.)*"?)|""" + _UNQUOTED, re.VERBOSE | re.DOTALL)
_UNQUOTED_TOKEN = re.compile(_UNQUOTED, re.VERBOSE | re.DOTALL)
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_BARE = r'[^\s"@]+@[^\s"@]+'
# A name in quotes beside an address without brackets; behind a quoted local part there is no blank.
_NAMED_BARE = re.compile(rf"({_QUOTED})\s+({_BARE})|({_BARE})\s+({_QUOTED})", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
# Blanks and marks that are in no address, and come along when one is copied from a page.
_UNSAFE = re.compile("[\x00-\x20\x7f\xa0\u200b-\u200f\u2028-\u202e\u2060\u3000\ufeff]")
# A keyboard in Japan or China has these where another has comma, semicolon and blank; no domain has them.
_WIDE = re.compile("[\uff0c\uff1b\u3001\u3000]")
_BLANKS_AND_MARKS = re.compile(r"[\s<>\"'(),;:]+")
_COMMENT = re.compile(r"\([^()]*\)")
_WIDE_COMMENT = re.compile("\uff08([^\uff08\uff09]*)\uff09")
_PARENTHESIS = re.compile(r"\\.|[()]", re.DOTALL)
_STOP = re.compile("[,;]")
_ANGLE = re.compile("<[^<>]*>")
_LONGEST_WORDS = 1000  # octets; a display name in the request has 200 characters at the most
_LOCAL_PART = re.compile(r"[A-Za-z0-9._+-]+\Z")
# A word in quotes, whole between the dots of a local part (RFC 5322 §3.4.1, §4.4).
_QUOTED_WORD = re.compile(r'(?:\A|(?<=\.))"((?:[^"\\]|\\.)*)"(?=[.@])', re.DOTALL)
# Blanks before a dot of the domain (RFC 5322 §4.4); behind one of a domain that is no name yet, too.
_BEFORE_DOT = re.compile(r"@[^\s@\"]*(?:\s+\.\s*[^\s.@\"][^\s@\"]*)+")
# Blanks on both sides of a dot of the local part; those on one side may be a name's (`Dr. John john@e.com`).
_AROUND_DOT = re.compile(r"(?<!\S)[^\s@\"]++(?:\s+\.\s+[^\s@\".]++){1,20}+(?=@)")
_BEHIND_DOT = re.compile(r"([^\s@\"]+@[^\s@.\"]+\.)\s+([^\s@\"]+)")
# A device says the same From and To with every message: so many fields, no longer than this, are remembered.
_REMEMBERED, _SHORT = 256, 200


def read_addresses(raw: Iterable[bytes]) -> tuple[Address, ...]:
    """All mailboxes of the fields, in order; those of groups included.

    Raises:
        Unconvertible: there are more than a message may have (5.6.0).
    """
    found: list[Address] = []
    for field in raw:
        found += _read_short(field) if len(field) <= _SHORT else _read(field)
        if len(found) > limits.ADDRESSES:
            raise limits.refuse("addresses", limits.ADDRESSES)
    return tuple(found)


def read_originators(raw: Iterable[bytes]) -> tuple[Address, ...]:
    """The mailboxes of From, Sender or Reply-To; a name that a comma cuts (`Yamada, Taro <taro@example.com>`)
    is one.

    Raises:
        Unconvertible: as `read_addresses`.
    """
    found: list[Address] = []
    words: list[Address] = []
    for one in read_addresses(raw):
        if "@" not in one.addr_spec and not one.display_name:
            words.append(one)
            continue
        if words and one.display_name:
            names = (*(word.addr_spec for word in words), one.display_name)
            found.append(Address(", ".join(names), one.addr_spec))
        else:
            found += [*words, one]
        words = []
    return (*found, *words)


def _read(field: bytes) -> tuple[Address, ...]:
    return tuple(_Reader(re.sub(r"\r?\n", "", charsets.decode_field(field))).read())


_remembered: dict[bytes, tuple[Address, ...]] = {}


def _read_short(field: bytes) -> tuple[Address, ...]:
    found = _remembered.get(field)
    if found is None:
        found = _read(field)
        # What was read in the cheap way must not be met again by a message that has its share yet.
        if not budget.current().spent:
            if len(_remembered) >= _REMEMBERED:
                _remembered.clear()
            _remembered[field] = found
    return found


def read_words(raw: Iterable[bytes]) -> tuple[Address, ...]:
    """The first field's words as a display name without an address; none for an empty group."""
    field = next(filter(bytes.strip, raw), b"")[:_LONGEST_WORDS]
    text = _ANGLE.sub(" ", re.sub(r"\r?\n", "", charsets.decode_field(field)))
    name = "" if ":" in text else _display(text.strip(" \t,;()<>"))
    return (Address(name, ""),) if name else ()


class _Reader:
    """Reads one field's text."""

    def __init__(self, text: str, *, nested: bool = False) -> None:
        self._text = text
        self._nested = nested
        self._nests = True  # whether comments do, as far as is known
        self._last = text.rfind(")")
        self._found: list[Address] = []
        self._start()

    def _start(self) -> None:
        self._words: list[str] = []  # what may be a display name or a bare addr-spec, with its blanks
        self._comment: list[str] = []
        self._angle: str | None = None
        self._has_at = False  # whether an @ is among the words

    def read(self) -> list[Address]:
        at = 0
        token = _TOKEN
        while found := token.match(self._text, at):
            kind, text = found.lastgroup, found[0]
            at = found.end()
            if kind == "quoted" and not _closes(text):
                # A quotation mark too many must not swallow the mailboxes behind it; no other closes either.
                at, token = found.start() + 1, _UNQUOTED_TOKEN
            elif text == "(":
                comment, at = self._read_comment(at)
                self._comment.append(comment)
            elif kind == "special":
                self._take_special(text)
            elif kind == "angle":
                self._take_angle(text)
            else:
                self._words.append(text)
                self._has_at = self._has_at or "@" in text
        self._finish()
        return self._found

    def _read_comment(self, at: int) -> tuple[str, int]:
        """The comment that begins at `at`, and the offset behind it (RFC 5322 §3.2.2)."""
        depth = 1
        for found in _PARENTHESIS.finditer(self._text, at) if self._nests else ():
            depth += {"(": 1, ")": -1}.get(found[0], 0)
            if not depth:
                return self._text[at : found.start()], found.end()
        self._nests = False  # one that never closes: from here on each ends as soon as it can, in linear time
        if at <= self._last:
            end = self._text.find(")", at)
            return self._text[at:end], end + 1
        stop = _STOP.search(self._text, at)  # the next mailbox is none of it
        end = stop.start() if stop else len(self._text)
        return self._text[at:end], end

    def _take_special(self, text: str) -> None:
        if text in ",;":
            self._finish()
        elif text == ":" and self._angle is None and not self._has_at:
            self._start()  # a group's name
        elif text == ":":
            self._words.append(text)

    def _take_angle(self, text: str) -> None:
        if self._angle:  # "<a@b> <c@d>": two mailboxes without a comma
            self._finish()
        several = text.count("@") > 1 and not text.startswith("<@") and _STOP.search(text)
        if several and not self._nested:
            self._found += _Reader(text.strip("<>"), nested=True).read()  # a bracket that closes too late
            return
        self._angle = text.strip("<>").strip()

    def _finish(self) -> None:
        words, comment, angle = self._words, self._comment, self._angle
        if not words and not comment and angle is None:
            return
        self._start()
        name = "".join(words).strip()
        if angle is None:
            self._finish_bare(name, "".join(comment))
        else:
            spec = clean_addr_spec(angle)
            # An address of another kind, `</O=EXAMPLE/CN=JOHN>`, has the real one beside it; <root> is meant.
            is_other = "@" not in spec and not (name.startswith('"') and _LOCAL_PART.match(spec))
            if is_other and (loose := _find_loose(decode_words(name))):
                spec = clean_addr_spec(loose[0])
            self._add(_display(name) or _display("".join(comment)), spec)

    def _finish_bare(self, name: str, comment: str) -> None:
        """A mailbox without angle brackets, or words that are none."""
        if has_words(name) and not self._nested:
            inner = _Reader(decode_words(name), nested=True).read()
            self._found += [one for one in inner if "@" in one.addr_spec]
            return
        if named := _NAMED_BARE.fullmatch(name):
            self._add(_display(named[1] or named[4]), clean_addr_spec(named[2] or named[3]))
            return
        if several := self._find_several(name):
            self._found += _Reader(several, nested=True).read()
            return
        if "@" in name and '"' not in name and (wide := _WIDE_COMMENT.search(name)):
            name, comment = _WIDE_COMMENT.sub(" ", name).strip(), comment or wide[1]
        name = _join_dots(name)
        spec = clean_addr_spec(name)
        if len(name.split()) > 1 and '"' not in name:  # `John Doe john@example.com`, or `a@b c@d`
            loose = _find_loose(name)
            if loose:
                display = _display(name[: name.index(loose[0])])
                self._found += [
                    Address(display if not number else "", clean_addr_spec(one))
                    for number, one in enumerate(loose)
                ]
                return
        self._add(_display(comment), spec)

    def _find_several(self, name: str) -> str:
        """The list of mailboxes that was put into quotes as a whole, or has wide separators; "" for none."""
        if self._nested or name.count("@") < 2:
            return ""
        inner = name[1:-1] if name.startswith('"') and name.endswith('"') else name
        if '"' in inner or not (_WIDE.search(inner) or (inner != name and _STOP.search(inner))):
            return ""
        return _WIDE.sub(",", inner)

    def _add(self, name: str, spec: str) -> None:
        if spec:
            self._found.append(Address(name, spec))


def _closes(quoted: str) -> bool:
    """Whether a quoted string has its second quotation mark, and that one is not escaped."""
    before = quoted[:-1]
    return len(quoted) > 1 and quoted.endswith('"') and (len(before) - len(before.rstrip("\\"))) % 2 == 0


def _find_loose(text: str) -> list[str]:
    """The words that are addresses, wherever they stand."""
    words = _BLANKS_AND_MARKS.split(text) if "@" in text else []
    found = [word.rstrip("]") if "[" not in word else word for word in words if "@" in word[1:-1]]
    return list(dict.fromkeys(found))


def _display(text: str) -> str:
    """A display name: unquoted, decoded, in one line."""
    pieces = []
    for token in _TOKEN.finditer(text.strip()):
        piece = token[0]
        if token.lastgroup == "quoted":
            piece = _QUOTED_PAIR.sub(r"\1", piece[1:].removesuffix('"'))
        pieces.append(piece)
    return " ".join(decode_words("".join(pieces)).split())


def unquote(spec: str) -> str:
    """An addr-spec without the quotes of its local part: the same mailbox (RFC 5321 §4.1.2).

    What stood in the quotes may be in no address that the API takes: the result is still to be checked.
    """
    if '"' not in spec:
        return spec
    local, at, domain = spec.rpartition("@")
    return _QUOTED_WORD.sub(lambda word: _QUOTED_PAIR.sub(r"\1", word[1]), local + at) + domain


def _join_dots(text: str) -> str:
    """The text without the blanks that RFC 5322 §4.4 lets stand around the dots of an addr-spec."""
    text = _AROUND_DOT.sub(lambda found: "".join(found[0].split()), text) if " . " in text else text
    text = _BEFORE_DOT.sub(lambda found: "".join(found[0].split()), text)
    return found[1] + found[2] if (found := _BEHIND_DOT.fullmatch(text)) else text


def clean_addr_spec(text: str) -> str:
    """An addr-spec without route, blanks and needless quotes; "" when it cannot be one."""
    text = text.strip().strip("<>").strip()
    if text.lower().startswith("mailto:"):
        text = text[7:]
    if "(" in text and '"' not in text:
        text = _COMMENT.sub("", text)
    if "<" in text:  # a quote that never closed swallowed the bracket
        text = text.rpartition("<")[2]
    if text.startswith("["):
        text = text.strip("[]")
    if text.startswith("@") and ":" in text:  # a source route, RFC 5322 §4.4
        text = text.rpartition(":")[2]
    if has_words(text):
        text = decode_words(text)
    if text.startswith('"') and '"@' in text:
        local, _, domain = text.rpartition("@")
        bare = unquote(f"{local}@").removesuffix("@")
        return f"{bare if _LOCAL_PART.match(bare) else local}@{_UNSAFE.sub('', domain)}"
    return _UNSAFE.sub("", text).strip("'\"").rstrip(".")
