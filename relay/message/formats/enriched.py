"""text/enriched (RFC 1896) and text/richtext (RFC 1341 §7.1.3) as plain text."""

import re
from collections.abc import Callable

_COMMAND = re.compile(r"<(/?)([A-Za-z0-9-]{1,60})>|(<<)")
_LINE_ENDS = re.compile(r"\n+")
_HIDDEN = {"param", "comment"}
_BREAKS = {"nl": "\n", "np": "\n\n", "lt": "<", "paragraph": "\n"}


def read_enriched(text: str) -> str:
    """Text without its commands: one line end is a space, of several one goes; within `<nofill>` each is what
    it is.
    """
    return _drop_commands(text, {}, _fill)


def read_richtext(text: str) -> str:
    """Text without its commands: line ends are spaces, `<nl>` and `<paragraph>` make lines."""
    return _drop_commands(text, _BREAKS, lambda text: text.replace("\n", " "))


def _fill(text: str) -> str:
    return _LINE_ENDS.sub(lambda run: " " if len(run[0]) == 1 else run[0][1:], text)


def _drop_commands(text: str, breaks: dict[str, str], fill: Callable[[str], str]) -> str:
    pieces: list[str] = []
    hidden = literal = 0  # how many of such environments are open
    at = 0
    for found in _COMMAND.finditer(text):
        if not hidden:
            piece = text[at : found.start()]
            pieces.append(piece if literal else fill(piece))
        at = found.end()
        name = (found[2] or "").lower()
        if found[3] and not hidden:
            pieces.append("<")
        elif name in _HIDDEN:
            hidden = max(0, hidden + (-1 if found[1] else 1))
        elif name == "nofill" and not hidden:
            literal = max(0, literal + (-1 if found[1] else 1))
        elif not hidden:
            pieces.append(breaks.get(name, "") if not found[1] or name == "paragraph" else "")
    if not hidden:
        pieces.append(text[at:] if literal else fill(text[at:]))
    return "".join(pieces).rstrip() + "\n"
