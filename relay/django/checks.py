"""The system check of `manage.py check --deploy`: whether the relay is there, and would take the site's mail.

It asks by SMTP as far as RCPT, so that nothing is sent. It is no check of every start, which would want the
relay to run whenever `migrate` does.
"""

from collections.abc import Iterator
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core import mail
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from relay.django.backend import EmailBackend
from relay.django.errors import RelayError, Verdict

_FIRST_REFUSED = 400  # RFC 5321 §4.2.1


def check_relay(app_configs: object = None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001 - Django's signature
    """What is wrong with the relay that each mailer names."""
    return [problem for backend in _find_backends() for problem in _examine(backend)]


def _find_backends() -> Iterator[EmailBackend]:
    if hasattr(settings, "MAILERS"):  # Django 6.1 and later
        found = [mail.mailers[alias] for alias in settings.MAILERS]
    else:
        found = [mail.get_connection()]
    yield from (one for one in found if isinstance(one, EmailBackend))


def _examine(backend: EmailBackend) -> Iterator[CheckMessage]:
    backend.fail_silently = False
    try:
        backend.open()
    except RelayError as error:
        if error.verdict is Verdict.REFUSED:
            yield Error(
                f"The relay does not let this site in: {error}",
                hint="The user, the password, TLS and the relay's `networks` have to fit each other.",
                id="works_relay.E001",
            )
        else:
            yield CheckWarning(
                f"The relay cannot be reached: {error}",
                hint="Sending raises RelayError until it runs; look at the host and port in the settings.",
                id="works_relay.W001",
            )
        return
    try:
        for setting in ("DEFAULT_FROM_EMAIL", "SERVER_EMAIL"):
            yield from _ask_about(backend, setting)
    finally:
        backend.close()


def _ask_about(backend: EmailBackend, setting: str) -> Iterator[CheckMessage]:
    """Ask whether mail from a setting's address would be taken, by a transaction that ends before DATA."""
    address = parseaddr(getattr(settings, setting))[1]
    connection = backend.connection
    try:
        connection.ehlo_or_helo_if_needed()
        code, text = connection.mail(address)
        if code < _FIRST_REFUSED:
            code, text = connection.docmd(f"RCPT TO:<{address}>")
        connection.rset()
    except OSError as error:
        code, text = 0, str(error).encode()
    if not code or code >= _FIRST_REFUSED:
        said = text.decode("utf-8", "replace")
        yield CheckWarning(
            f"The relay would not take mail from {setting} ({address}): {code} {said}",
            hint="Give it an account with this address or a default account, and look at may_send_as.",
            id="works_relay.W002",
        )
