"""A message's own options: how Works is to send it, said in X-Works fields.

They count only where the configuration lets them (`options_by_field`), and no recipient is shown them.
"""

from collections.abc import Sequence
from typing import get_args

from relay.mail import KINDS, Options, SecurityLevel, Unconvertible
from relay.message.fields import Fields

_LEVEL = "x-works-security-level"
_SWITCHES = {
    "x-works-send-separately": "send_separately",
    "x-works-save-sent": "save_sent",
    "x-works-tracking": "tracking",
}
_FAIL_ON_LOSS = "x-works-fail-on-loss"
NAMES = frozenset({_LEVEL, *_SWITCHES, _FAIL_ON_LOSS})  # in lower case
_LEVELS: dict[str, SecurityLevel] = {level.lower(): level for level in get_args(SecurityLevel) if level}
_WORDS = {"yes": True, "no": False}


def find_options(fields: Fields) -> tuple[tuple[str, bytes], ...]:
    """The X-Works fields of a message that are options: their names in lower case, and their values."""
    return tuple((field.name, field.value) for field in fields if field.name in NAMES)


def read_options(found: Sequence[tuple[str, bytes]]) -> Options:
    """What they ask for.

    Args:
        found: by `find_options`.

    Raises:
        Unconvertible: a value is none of those that are possible, or two fields differ (5.6.0). The reason
            does not repeat the value: it is content.
    """
    options: dict[str, SecurityLevel | bool] = {}
    for name, value in found:
        if name == _FAIL_ON_LOSS:
            continue
        word = value.decode("latin-1").strip().lower()
        key = _SWITCHES.get(name, "security_level")
        known: dict[str, SecurityLevel] | dict[str, bool] = _WORDS if name in _SWITCHES else _LEVELS
        if word not in known:
            raise Unconvertible("5.6.0", f"{name.title()}: expected {_list(list(known.values()))}")
        if options.setdefault(key, known[word]) != known[word]:
            raise Unconvertible("5.6.0", f"{name.title()}: is there twice, with two values")
    return Options(**options)  # type: ignore[arg-type]  # each key has values of its own type


def read_unwanted_losses(found: Sequence[tuple[str, bytes]]) -> frozenset[str]:
    """The losses that the message would rather be refused for than have.

    Args:
        found: by `find_options`.

    Raises:
        Unconvertible: there is no such loss (5.6.0).
    """
    values = [value.decode("latin-1") for name, value in found if name == _FAIL_ON_LOSS]
    words = frozenset(word.strip().lower() for value in values for word in value.split(","))
    if not words <= KINDS.keys():
        raise Unconvertible(
            "5.6.0", f"{_FAIL_ON_LOSS.title()}: expected names of losses, with commas between"
        )
    return words


def _list(values: Sequence[SecurityLevel | bool]) -> str:
    words = [("yes" if one else "no") if isinstance(one, bool) else one for one in values]
    return f"{', '.join(words[:-1])} or {words[-1]}"
