"""HTML bodies: what they refer to, and text put beside or into them. Their own octets stay as they are."""

import html
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from relay.message.formats.markup import read_markup, shows

# Where a reference may stand: behind a quote, a sign of equality, a bracket, or the comma of a `srcset`.
_CID_COLON = re.compile(":(?<=[cC][iI][dD].)")
_BEFORE_CID = re.compile(r"""(&(?:quot|apos|#0{0,4}3[49]|#x2[27]);|["'=(,])\s{0,20}\Z""", re.IGNORECASE)
_LONGEST_BEFORE = 30  # characters
_CID_END = re.compile(r"""[\s"'<>)\\]|&(?:quot|apos|#0{0,4}3[49]|#x2[27]);""", re.IGNORECASE)
_LONGEST_CID = 1000  # characters
_REFERENCE = re.compile(
    r"""(?i)((?:\b(?:src|background|poster|data|href)\s*=\s*|url\(\s*))(["']?)([^"'<>\s)]+)"""
)
_DOCTYPE = "<!doctype"
_TOPS = ("body", "/head", "html", _DOCTYPE)  # what is seen begins behind the first of these that is there
# `<!--[if !mso]><!--><body><!--<![endif]-->`: Outlook leaves out what stands before the end of the condition.
_CONDITION_END = re.compile(r"\s*+<!(?:--<!)?\[endif\](?:--)?>", re.IGNORECASE)
# So much shows what it is: markup that goes on for longer and says nothing is somebody's page all the same.
_LOOK = 1024 * 1024  # characters
# Soft hyphens, joiners, marks of direction and fillers, by which mail is filled up to look empty.
_INVISIBLE = str.maketrans(
    dict.fromkeys("\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u3164\ufeff")
)


def is_empty(text: str) -> bool:
    """Whether nothing of it would be seen; in one pass, at most over the first million characters."""
    if len(text) > _LOOK:
        return False
    at = 0
    for found, behind in read_markup(text):
        if _is_visible(text[at : found.start()]) or shows(found, text[found.end() : behind]):
            return False
        at = behind
    return not _is_visible(text[at:])


def _is_visible(text: str) -> bool:
    return bool(text.strip() and html.unescape(text).translate(_INVISIBLE).strip())


def from_text(text: str) -> str:
    """Plain text as HTML, its lines and spaces kept."""
    return f'<div style="white-space: pre-wrap">{html.escape(text, quote=False)}</div>'


def note(line: str) -> str:
    """A line of ours, as an element."""
    return f"<div>{html.escape(line, quote=False)}</div>"


def rewrite_cids(text: str, find: Callable[[str, bool], str]) -> str:
    """Replace each reference to a part by its Content-ID with `cid:TOKEN`.

    Args:
        text: the HTML.
        find: gives the token for a reference, "" when it is to none of the message's parts; the flag
            says whether it was written as cid: (otherwise it is a location).
    """
    pieces: list[str] = []
    at = 0
    tried = 0  # nothing is looked at twice, so that time stays linear
    for found in _CID_COLON.finditer(text):
        start = found.end() - len("cid:")
        before = _BEFORE_CID.search(text, max(0, start - _LONGEST_BEFORE), start)
        if before is None or before.start() < tried:
            continue
        for tried in _find_ends(text, found.end(), before[1]):
            if token := _find_cid(text[found.end() : tried], find):
                pieces += [text[at:start], "cid:", token]
                at = tried
                break
    return "".join((*pieces, text[at:]))


def rewrite_locations(text: str, find: Callable[[str, bool], str]) -> str:
    """Replace each reference to a part by its Content-Location; all else as `rewrite_cids`."""

    def replace_location(found: re.Match[str]) -> str:
        raw = html.unescape(found[3])
        if raw.lower().startswith(("cid:", "data:", "#", "mailto:")):
            return found[0]
        token = find(raw, False)
        return f"{found[1]}{found[2]}cid:{token}" if token else found[0]

    return _REFERENCE.sub(replace_location, text)


def _find_ends(text: str, start: int, before: str) -> Iterator[int]:
    """Where a Content-ID that begins at `start` may end: at its closing quote, then where no URL goes on.

    Some hold what a URL must not, blanks and brackets, and nobody has encoded them.
    """
    if before not in "=(,":
        closing = text.find(before, start, start + _LONGEST_CID)
        if closing >= 0:
            yield closing
    end = _CID_END.search(text, start, start + _LONGEST_CID)
    at = end.start() if end else min(len(text), start + _LONGEST_CID)
    yield at
    if text.startswith("/", at - 1):  # <img src=cid:one/>
        yield at - 1


def _find_cid(raw: str, find: Callable[[str, bool], str]) -> str:
    """The token of a Content-ID as html has it: escaped, percent-encoded, in angle brackets or not."""
    text = html.unescape(raw)
    for one in (text, unquote(text)):
        if token := find("".join(one.split()).strip("<>"), True):
            return token
    return ""


def insert_first(text: str, addition: str) -> str:
    """Put an element before everything that is seen."""
    tops = _find_tops(text[:_LOOK])
    at = next((tops[name] for name in _TOPS if name in tops), 0)
    if condition := _CONDITION_END.match(text, at):
        at = condition.end()
    return text[:at] + addition + text[at:]


def has_body(text: str) -> bool:
    """Whether it has a body tag, behind which an element is put."""
    return "body" in _find_tops(text)


def _find_tops(text: str) -> dict[str, int]:
    """Where the first of each of the tags ends, as far as the body's."""
    tops: dict[str, int] = {}
    for found, _ in read_markup(text):
        name = found[1].lower() if found[3] else found[0][: len(_DOCTYPE)].lower()
        if name in _TOPS:
            tops.setdefault(name, found.end())
        if name == "body":
            break
    return tops
