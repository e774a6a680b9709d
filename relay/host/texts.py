"""Every text of the pages, of the console and of the simulated Works, goes through these functions.

So one catalogue translates all of them. There is none yet: each text is shown as it stands. Templates use the
same functions by Jinja's i18n extension, as `_("…")` and `{% trans %}…{% endtrans %}`; `{{ reason|say }}` is
what another part of the relay says.
"""

import re
from collections.abc import Iterable
from gettext import NullTranslations

_HOLE = re.compile(r"\\\{\w+\\\}")  # `{name}` as re.escape leaves it


class _Catalogue:
    """What is in use."""

    def __init__(self) -> None:
        self.translations = NullTranslations()
        self.sentences: list[tuple[re.Pattern[str], str]] = []


_CATALOGUE = _Catalogue()


def install(translations: NullTranslations, sentences: Iterable[str] = ()) -> None:
    """Have every page speak by this catalogue.

    Args:
        translations: the texts.
        sentences: those of its texts that other parts of the relay make with names and numbers in them:
            `{name}` stands for each.
    """
    _CATALOGUE.translations = translations
    _CATALOGUE.sentences = [(_make_pattern(one), one) for one in sentences]


def _make_pattern(sentence: str) -> re.Pattern[str]:
    return re.compile(_HOLE.sub(lambda hole: f"(?P<{hole[0][2:-2]}>.+?)", re.escape(sentence)), re.DOTALL)


def mark(text: str) -> str:
    """A text that stands in a table, and goes through `gettext` where it is shown."""
    return text


def gettext(text: str) -> str:
    """The text in the reader's language."""
    return _CATALOGUE.translations.gettext(text)


def ngettext(one: str, many: str, number: int) -> str:
    """The text for this number of things, in the reader's language."""
    return _CATALOGUE.translations.ngettext(one, many, number)


def say(sentence: object) -> str:
    """A word or a sentence that another part of the relay made, or stored, in the reader's language."""
    text = str(sentence)
    for pattern, known in _CATALOGUE.sentences:
        if match := pattern.fullmatch(text):
            return gettext(known).format(**match.groupdict())
    return gettext(text) if text else ""
