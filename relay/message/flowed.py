"""format=flowed (RFC 3676): soft line breaks taken out again."""


def unfold(text: str, *, delsp: bool) -> str:
    """Join flowed lines into paragraphs; quoted lines keep their mark."""
    paragraphs: list[list[str]] = []
    joining = False  # whether the last line ended softly
    depth = 0
    for line in text.split("\n"):
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
