"""`relay sendmail`: stands in for /usr/sbin/sendmail, for cron and programs that know nothing else.

It submits by SMTP, not through the spool, so that any user may call it and the listener's rules hold for all.
"""

import getopt
import getpass
import os
import smtplib
import socket
import sys
from dataclasses import dataclass, field

import click

from relay.cli import EX_DATAERR, EX_TEMPFAIL, EX_USAGE, Failure

# Those of sendmail(8) as Postfix and Debian's alternatives take them; most have nothing to do here.
_OPTIONS = "ABb:C:F:f:GhiL:mN:no:O:p:q:R:r:tUV:vX:"
_DEFAULT_SERVER = "127.0.0.1:25"
_PATIENCE = 60.0  # seconds; the relay may wait ten for Works' answer


@dataclass(slots=True)
class _Wish:
    """What the command line asks for."""

    reverse_path: str = ""
    from_fields: bool = False
    dot_ends: bool = True
    recipients: list[str] = field(default_factory=list)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.option(
    "--server", metavar="HOST:PORT", help="The listener; else $RELAY_SENDMAIL_SERVER, else 127.0.0.1:25."
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-t] [-i] [-f ADDRESS] [RECIPIENT]…")
def command(arguments: tuple[str, ...], server: str | None) -> None:
    """Take a message from standard input and send it, as sendmail(8) does.

    \b
    -t          recipients from the To, Cc and Bcc fields, beside those named
    -i, -oi     a line with a lone dot does not end the message
    -f ADDRESS  the envelope's sender; else user@host

    Other options of sendmail are taken and ignored. Exits with 0 when the relay took the message, with 65
    when it refused, with 75 when it should be tried again.
    """  # noqa: D301 - \b is click's
    wish = _read_arguments(list(arguments))
    if any(not one.isprintable() for one in (wish.reverse_path, *wish.recipients)):
        raise click.UsageError("an address holds a control character")
    content = _read_content(dot_ends=wish.dot_ends)
    if wish.from_fields:
        from relay.message import destinations

        wish.recipients += [address.addr_spec for address in destinations(content)]
    if not wish.recipients:
        raise Failure("no recipient was named; use -t to read them from the message", EX_USAGE)
    reverse_path = wish.reverse_path or f"{getpass.getuser()}@{socket.getfqdn()}"
    where = server or os.environ.get("RELAY_SENDMAIL_SERVER") or _DEFAULT_SERVER
    _submit(where, reverse_path, list(dict.fromkeys(wish.recipients)), content)


def _read_arguments(arguments: list[str]) -> _Wish:
    try:
        options, recipients = getopt.gnu_getopt(arguments, _OPTIONS)
    except getopt.GetoptError as error:
        raise click.UsageError(str(error)) from None
    wish = _Wish(recipients=[one for word in recipients for one in word.split(",") if one])
    for option, value in options:
        if option in ("-f", "-r"):
            wish.reverse_path = value.strip("<>")
        elif option == "-t":
            wish.from_fields = True
        elif option == "-i" or (option, value) == ("-o", "i"):
            wish.dot_ends = False
        elif option == "-b" and value != "m":
            raise click.UsageError(f"-b{value} is a mail server's mode; this only sends")
    return wish


def _read_content(*, dot_ends: bool) -> bytes:
    from relay.smtp.data import normalise

    content = normalise(sys.stdin.buffer.read())
    if dot_ends and b"\r\n.\r\n" in (lines := b"\r\n" + content):
        content = lines.partition(b"\r\n.\r\n")[0][2:] + b"\r\n"
    return content


def _submit(where: str, reverse_path: str, recipients: list[str], content: bytes) -> None:
    host, colon, port = where.rpartition(":")
    if not (colon and host and port.isdecimal()):
        raise Failure(f"{where}: expected HOST:PORT, such as {_DEFAULT_SERVER}", EX_USAGE)
    try:
        with smtplib.SMTP(host.strip("[]"), int(port), timeout=_PATIENCE) as client:
            client.ehlo_or_helo_if_needed()
            client.command_encoding = "utf-8"
            utf8 = "" if all(one.isascii() for one in (reverse_path, *recipients)) else " SMTPUTF8"
            # smtplib's own mail() and rcpt() rewrite an address that they misread: a@b;c@d becomes a@b.
            _check("sender", *client.docmd(f"MAIL FROM:<{reverse_path}>{utf8}"))
            for recipient in recipients:
                _check(recipient, *client.docmd(f"RCPT TO:<{recipient}>"))
            _check("message", *client.data(content))
    except (OSError, ValueError, OverflowError, smtplib.SMTPException) as error:
        why = getattr(error, "strerror", None) or error
        raise Failure(f"{where}: {why}; is the relay running?", EX_TEMPFAIL) from None


def _check(subject: str, code: int, text: bytes) -> None:
    """All or nothing: one refused recipient ends the command before anything is sent."""
    if code >= 400:  # noqa: PLR2004 - 4yz and 5yz, RFC 5321 §4.2.1
        passing = code < 500  # noqa: PLR2004
        reason = f"{subject}: {code} {text.decode('utf-8', 'replace')}"
        raise Failure(reason, EX_TEMPFAIL if passing else EX_DATAERR)
