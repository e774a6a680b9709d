"""Django's SMTP backend, with what the relay said of each message.

Everything about connections, TLS, logins and messages is Django's own. Added are the reply's verdict, one
exception, the options of a message, and that a message goes to all of its recipients or to nobody.
"""

import copy
import smtplib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from django.conf import settings
from django.core.mail.backends import smtp
from django.core.mail.message import EmailMessage
from typing_extensions import override

from relay.django.errors import Verdict, read_failure, read_taken

# Attributes of a message, and the fields by which the relay is told. It removes them from the message.
OPTIONS = {
    "relay_security_level": "X-Works-Security-Level",
    "relay_send_separately": "X-Works-Send-Separately",
    "relay_save_sent": "X-Works-Save-Sent",
    "relay_tracking": "X-Works-Tracking",
    "relay_fail_on_loss": "X-Works-Fail-On-Loss",
}
_RESULTS = {"relay_id", "relay_verdict"}
# The relay may wait ten seconds for Works' answer. Without a limit a silent host stops a worker for ever.
_TIMEOUT = 60.0  # seconds
_NO_OPTIONS = "it takes no options from here: set options_by_field = true for this site in relay.toml"
_FIRST_ACCEPTED, _BEYOND_ACCEPTED = 200, 300


class _Connection(smtplib.SMTP):
    """An SMTP session that sends to all recipients or to nobody, and knows its last message's verdict."""

    outcome: tuple[Verdict, str] = (Verdict.NOT_TAKEN, "")  # the verdict and the queue id
    has_options = False  # the message's
    content_sent = False

    @override
    def rcpt(self, recip: str, options: Sequence[str] = ()) -> tuple[int, bytes]:
        # smtplib would send to those who were accepted, and Django would drop the others without a word.
        code, text = super().rcpt(recip, options)
        if not _FIRST_ACCEPTED <= code < _BEYOND_ACCEPTED:
            with suppress(OSError):
                self.rset()
            raise smtplib.SMTPRecipientsRefused({recip: (code, text)})
        return code, text

    @override
    def data(self, msg: Any) -> tuple[int, bytes]:
        self.content_sent = True
        code, text = super().data(msg)
        self.outcome = read_taken(text)
        return code, text

    @override
    def sendmail(self, *arguments: Any, **more: Any) -> dict[str, tuple[int, bytes]]:
        self.content_sent = False
        try:
            if self.has_options and not self.takes_options:
                raise smtplib.SMTPNotSupportedError(_NO_OPTIONS)
            return super().sendmail(*arguments, **more)
        except OSError as error:
            # What a server said is certain; a reply that did not come is not.
            failure = read_failure(
                error, str(getattr(self, "_host", "relay")), content_sent=self.content_sent
            )
            self.outcome = failure.verdict, failure.queue_id
            raise failure from error

    @cached_property
    def takes_options(self) -> bool:
        """Whether the relay obeys options in fields of a message; it may depend on who has logged in."""
        self.ehlo()
        return self.has_extn("x-works-options")

    def is_alive(self) -> bool:
        """Whether the other end still answers."""
        try:
            return self.noop()[0] == 250  # noqa: PLR2004 - RFC 5321 §4.2.3
        except OSError:
            return False


class _TlsConnection(_Connection, smtplib.SMTP_SSL):
    """The same over TLS from the first octet."""


class EmailBackend(smtp.EmailBackend):
    """Sends by a relay.

    A message that was sent has `relay_verdict` (a `Verdict`) and `relay_id` afterwards. What is not taken
    raises `RelayError`, unless `fail_silently` is set: then the message's `relay_verdict` tells.

    Args:
        fail_on_loss: names of losses that no message may have; the relay refuses one that would. A message's
            `relay_fail_on_loss` takes precedence. Before Django 6.1 also the setting EMAIL_FAIL_ON_LOSS.
        more: as for Django's own SMTP backend.
    """

    def __init__(self, *arguments: Any, fail_on_loss: Iterable[str] | None = None, **more: Any) -> None:
        super().__init__(*arguments, **more)
        if fail_on_loss is None:
            fail_on_loss = getattr(settings, "EMAIL_FAIL_ON_LOSS", ())
        self.fail_on_loss = (fail_on_loss,) if isinstance(fail_on_loss, str) else tuple(fail_on_loss)
        self.timeout: float = _TIMEOUT if self.timeout is None else self.timeout

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        """What Django opens a connection with."""
        return _TlsConnection if self.use_ssl else _Connection

    @override
    def open(self) -> bool | None:
        if self.connection and not self.connection.is_alive():
            # The relay was restarted, or ended a session that was idle.
            self.close()
        try:
            opened: bool | None = super().open()
        except OSError as error:
            with suppress(OSError):
                self.close()
            raise read_failure(error, f"{self.host}:{self.port}") from error
        return opened

    @override
    def send_messages(self, email_messages: Iterable[EmailMessage]) -> int:
        messages = list(email_messages or ())
        for message in messages:
            # Also of those that are not reached because an earlier one fails.
            message.relay_id, message.relay_verdict = "", Verdict.NOT_TAKEN
        sent: int = super().send_messages(messages)
        return sent

    @override
    def _send(self, email_message: EmailMessage) -> bool:
        self.connection.outcome = Verdict.NOT_TAKEN, ""
        try:
            fields = read_options(vars(email_message), self.fail_on_loss)
            self.connection.has_options = bool(fields)
            sent: bool = super()._send(_add_fields(email_message, fields))
        finally:
            # Also where an error is to pass silently.
            email_message.relay_verdict, email_message.relay_id = self.connection.outcome
        return sent


def _add_fields(message: EmailMessage, fields: Mapping[str, str]) -> EmailMessage:
    """The message as it is sent; the caller's own stays as it is."""
    if not fields:
        return message
    message = copy.copy(message)
    message.extra_headers = {**message.extra_headers, **fields}
    return message


def read_options(attributes: Mapping[str, Any], fail_on_loss: Sequence[str] = ()) -> dict[str, str]:
    """The header fields for a message's options.

    Args:
        attributes: those of the message.
        fail_on_loss: the losses that no message may have.

    Raises:
        AttributeError: one that begins with `relay_` is no option.
    """
    wished = {name: value for name, value in attributes.items() if name.startswith("relay_")}
    unknown = wished.keys() - OPTIONS.keys() - _RESULTS
    if unknown:
        raise AttributeError(f"{', '.join(sorted(unknown))}: no option; there are {', '.join(OPTIONS)}")
    wished.setdefault("relay_fail_on_loss", fail_on_loss)
    fields = {OPTIONS[name]: _to_field(value) for name, value in wished.items() if name in OPTIONS}
    return {name: value for name, value in fields.items() if value}


def _to_field(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return ", ".join(value or ())
