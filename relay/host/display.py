"""What people are shown: text that others wrote, made fit for a terminal, and sizes."""

import re

# What a terminal obeys: C0 without line feed and tab, DEL, C1 (ECMA-48 §5.3), and the marks, embeddings,
# overrides and isolates that change the order in which text is shown (Unicode UAX #9 §2).
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_KILOBYTE, _MEGABYTE, _GIGABYTE = 1024, 1024**2, 1024**3
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean(text: str, replacement: str = _REPLACEMENT) -> str:
    """The text with nothing in it that a terminal would obey; each such character is replaced."""
    return _OBEYED.sub(replacement, text)


def escape_json(text: str) -> str:
    """JSON text whose strings hold such characters as escapes (RFC 8259 §7): the same value for a program."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def show_octets(size: int) -> str:
    """A size for people: 812 B, 40 KB, 1.4 MB."""
    if size < _KILOBYTE:
        return f"{size} B"
    if size < _MEGABYTE:
        return f"{size / _KILOBYTE:.0f} KB"
    if size < _GIGABYTE:
        return f"{size / _MEGABYTE:.1f} MB"
    return f"{size / _GIGABYTE:.1f} GB"


def count(number: int, what: str) -> str:
    """So many of something in English: 1 message, 2,000 messages."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
