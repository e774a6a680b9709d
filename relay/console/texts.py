"""The console's texts go through these functions, so that one catalogue translates all of them.

There is no catalogue yet: each text is shown as it stands. Templates use the same functions by Jinja's i18n
extension, as `_("…")` and `{% trans %}…{% endtrans %}`.
"""

from gettext import NullTranslations

TRANSLATIONS = NullTranslations()


def gettext(text: str) -> str:
    """The text in the reader's language."""
    return TRANSLATIONS.gettext(text)


def ngettext(one: str, many: str, number: int) -> str:
    """The text for this number of things, in the reader's language."""
    return TRANSLATIONS.ngettext(one, many, number)
