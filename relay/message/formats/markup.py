"""HTML cut into markup and text as a browser cuts it (HTML Standard §13.2.5), in one pass."""

import re
from collections.abc import Iterator

# A comment; a tag (its name, its attributes, its end); or what a browser takes for a comment. A ">" within a
# quoted value ends nothing. Whatever is never closed goes on to the end of the text, and nothing that was
# read is given back: that keeps time linear. A bracket before anything else is text.
_MARKUP = re.compile(
    r"""
    <(?:!--(?:-?>|.*?(?:--!?>|\Z))
    |(/?[a-z][^\s/>]*+)((?:[^>=]++|=\s*+(?:"[^"]*+"?+|'[^']*+'?+|[^\s>]++)?+)*+)(>?+)
    |[!?/][^>]*+>?+)
    """,
    re.ASCII | re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
# Within these no markup begins before their own end. Not `head`: whatever is no part of it ends it (HTML
# Standard §13.2.6.4.4), and many forget to.
_RAW = {
    name: re.compile(rf"</{name}[\s/>]", re.ASCII | re.IGNORECASE) for name in ("style", "script", "title")
}
_SHOWN = {
    *("img", "v:imagedata", "v:fill", "video", "audio", "object", "embed", "iframe", "svg"),
    *("input", "select", "textarea"),
}
_HIDDEN_INPUT = re.compile(r"""\btype\s*+=\s*+["']?hidden\b""", re.IGNORECASE)
_BACKGROUND = re.compile(r"""\bbackground\s*+=\s*+["']?+\s*+[^\s"'>]""", re.IGNORECASE)
_DECLARATION_END = re.compile(r"[;{}]")
_IMAGES = ("background", "image", "content", "list-style")  # in names of properties; no font, no behavior


def read_markup(text: str) -> Iterator[tuple[re.Match[str], int]]:
    """Each piece of markup, and the offset at which text goes on behind it.

    Its groups are a tag's name (that of an end tag with its slash), its attributes and its `>`; None for
    anything else. What a style sheet, a script or a title holds is no text.
    """
    at = 0
    while found := _MARKUP.search(text, at):
        at = found.end()
        if found[1] and (end := _RAW.get(found[1].lower())):
            closing = end.search(text, at)
            at = closing.start() if closing else len(text)
        yield found, at


def shows(found: re.Match[str], content: str) -> bool:
    """Whether markup shows something by itself; `content` is what it holds that is no text."""
    if not found[1]:
        return False
    name, attributes = found[1].lower(), found[2]
    if name in _SHOWN:
        return name != "input" or not _HIDDEN_INPUT.search(attributes)
    if not found[3] and ">" in attributes:
        return True  # a quote that nothing closes: not every program takes all that follows for a value
    return bool(_BACKGROUND.search(attributes)) or _has_image(content or attributes)


def _has_image(style: str) -> bool:
    """Whether a style sheet, or a style among attributes, names an image."""
    style = style.lower()
    if "url(" not in style:
        return False
    values = (one.partition("url(") for one in _DECLARATION_END.split(style))
    return any(url and any(word in before for word in _IMAGES) for before, url, _ in values)
