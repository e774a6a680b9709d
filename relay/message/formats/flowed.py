"""format=flowed (RFC 3676): soft line breaks taken out again."""

import re

_STUFFED = re.compile(r"^ ", re.MULTILINE)
# A line that ends in a space goes on with the next, unless one of them is the signature's mark.
_SOFT = re.compile(r"(?<!\n--) \n(?!-- (?:\n|\Z))")


def unfold(text: str, *, delsp: bool) -> str:
    """Join flowed lines into paragraphs; quoted lines keep their mark."""
    if not text.startswith(">") and "\n>" not in text:
        # Nothing is quoted: two substitutions do it, in little memory however large the text is.
        flat = _SOFT.sub("" if delsp else " ", "\n" + _STUFFED.sub("", text))[1:]
        return flat[:-1] if delsp and flat.endswith(" ") and not flat.endswith("\n-- ") else flat
    return _unfold_quoted(text.split("\n"), delsp=delsp)


def _unfold_quoted(lines: list[str], *, delsp: bool) -> str:
    paragraphs: list[list[str]] = []
    joining = False  # whether the last line ended softly
    depth = 0
    for line in lines:
        quoted = len(line) - len(line.lstrip(">"))
        content = line[quoted:].removeprefix(" ")
        is_signature = content == "-- "
        joins = joining and quoted == depth and not is_signature
        joining = content.endswith(" ") and not is_signature
        depth = quoted
        if joining and delsp:
            content = content[:-1]
        if joins:
            paragraphs[-1].append(content)
        else:
            paragraphs.append([">" * quoted + " " if quoted else "", content])
    return "\n".join(map("".join, paragraphs))
