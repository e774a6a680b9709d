"""Where mail for the machine's own users goes: /etc/aliases, as other mailers read it (aliases(5)).

cron and most scripts write to `root`. Works takes only whole addresses, so that somebody has to say whose.
"""

from pathlib import Path

# An alias may name another one; a circle ends here.
_DEEPEST = 10


def read_aliases(path: Path) -> dict[str, list[str]]:
    """The aliases in a file, by name in lower case; none if there is no such file.

    Commands, files and lists in files (`|`, `/`, `:include:`) are left out: this only sends.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        rest = line.partition("#")[0]
        if not rest[:1].isspace():
            # A line that begins with a blank goes on with the entry before it.
            before, colon, rest = rest.partition(":")
            name = before.strip().strip('"').lower() if colon else ""
        if name:
            found.setdefault(name, []).extend(_read_addresses(rest))
    return found


def _read_addresses(text: str) -> list[str]:
    words = (word.strip().strip('"').removeprefix("\\") for word in text.split(","))
    return [word for word in words if word and word[0] not in "|/:"]


def resolve(recipient: str, aliases: dict[str, list[str]]) -> list[str]:
    """The whole addresses that a recipient stands for; none if nobody said.

    Args:
        recipient: an address, or the name of a user of this machine.
        aliases: as read; `default` is for every name that is not there.
    """
    names, addresses = [recipient], []
    for _ in range(_DEEPEST):
        addresses += [name for name in names if "@" in name]
        local = [name.lower() for name in names if "@" not in name]
        names = [other for name in local for other in aliases.get(name, aliases.get("default", []))]
    return list(dict.fromkeys(addresses))
