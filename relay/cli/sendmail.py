"""`relay sendmail`: stands in for /usr/sbin/sendmail, for cron and programs that know nothing else.

It submits by SMTP, not through the spool, so that any user may call it and the listener's rules hold for all.
The options are those of sendmail(8) as Debian's policy (§11.6) and the LSB have them.
"""

import getopt
import getpass
import os
import smtplib
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import click

from relay.cli import EX_DATAERR, EX_NOUSER, EX_TEMPFAIL, EX_USAGE, Failure
from relay.cli.aliases import read_aliases, resolve
from relay.cli.terminal import echo

# Most have nothing to do here: the relay has no aliases to rebuild, and its queue runs by itself.
_OPTIONS = "A:B:b:C:cD:e:F:f:GIh:iL:mN:nO:o:p:R:r:tUV:vX:x"
_VALUE_WITHIN = ("-q", "-d")  # -q15m, -qRexample.com, -d8: what getopt cannot read; the value is optional
_DEFAULT_SERVER = "127.0.0.1:25"
_ALIASES = "/etc/aliases"
_PATIENCE = 60.0  # seconds; the relay may wait ten for Works' answer
_BLOCK = 64 * 1024
_UNAVAILABLE = b"421 4.3.2 the relay is not running, try again later\r\n"


@dataclass(slots=True)
class _Invocation:
    """What the command line asks for."""

    reverse_path: str | None = None  # None: the caller's own
    full_name: str = ""
    mode: str = "m"  # what -b says
    from_fields: bool = False
    dot_ends: bool = True
    quiet: bool = False
    verbose: bool = False
    recipients: list[str] = field(default_factory=list)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.option(
    "--server", metavar="HOST:PORT", help="The listener; else $RELAY_SENDMAIL_SERVER, else 127.0.0.1:25."
)
@click.option(
    "--aliases",
    "aliases_path",
    metavar="FILE",
    help="Whose root's mail is; else $RELAY_SENDMAIL_ALIASES, else /etc/aliases.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-t] [-i] [-f ADDRESS] [RECIPIENT]…")
def command(arguments: tuple[str, ...], server: str | None, aliases_path: str | None) -> None:
    """Take a message from standard input and send it, as sendmail(8) does.

    \b
    -t          recipients from the To, Cc and Bcc fields, beside those named
    -i, -oi     a line with a lone dot does not end the message
    -f ADDRESS  the envelope's sender; else user@host
    -F NAME     the sender's name, where the message has no From field
    -v          say what the relay answered
    -bs         speak SMTP on standard input and output
    -bp, -bi    what mailq and newaliases do: show the queue; nothing

    A recipient without a domain, such as root, is looked up in /etc/aliases. Other options of sendmail are
    taken and ignored. Exits with 0 when the relay took the message, with 65 when it refused, with 67 when
    nobody said whose a user's mail is, with 75 when it should be tried again.
    """  # noqa: D301 - \b is click's
    invocation = _read_arguments(list(arguments))
    where = _read_server(server or os.environ.get("RELAY_SENDMAIL_SERVER") or _DEFAULT_SERVER)
    if invocation.mode == "s":
        _converse(where)
    elif invocation.mode == "m":
        aliases = Path(aliases_path or os.environ.get("RELAY_SENDMAIL_ALIASES") or _ALIASES)
        try:
            _send(invocation, where, aliases)
        except Failure as failure:
            if invocation.quiet:
                raise click.exceptions.Exit(failure.exit_code) from None
            raise
    elif invocation.mode == "p":
        from relay.cli.queue import command as queue

        queue.main(["list"], prog_name="relay queue", standalone_mode=False)


def _read_arguments(arguments: list[str]) -> _Invocation:
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [one for at, one in enumerate(arguments) if at >= end or not one.startswith(_VALUE_WITHIN)]
    try:
        options, recipients = getopt.gnu_getopt(kept, _OPTIONS)
    except getopt.GetoptError as error:
        raise click.UsageError(str(error)) from None
    invocation = _Invocation(recipients=[one for word in recipients for one in word.split(",") if one])
    for option, value in options:
        _read_option(invocation, option, value)
    if (
        len(kept) < len(arguments)
        and invocation.mode == "m"
        and not (invocation.recipients or invocation.from_fields)
    ):
        invocation.mode = "q"  # run the queue, which the relay does by itself
    if any(
        not one.isprintable()
        for one in (invocation.reverse_path or "", invocation.full_name, *invocation.recipients)
    ):
        raise click.UsageError("an address or a name holds a control character")
    return invocation


def _read_option(invocation: _Invocation, option: str, value: str) -> None:
    long_name, _, long_value = value.partition("=")
    if option in ("-f", "-r"):
        invocation.reverse_path = value.strip("<>")
    elif option == "-F":
        invocation.full_name = value
    elif option == "-t" or (option, value) == ("-o", "t"):
        invocation.from_fields = True
    elif option in ("-i", "-I") or (option, value) == ("-o", "i"):
        invocation.dot_ends = False
    elif (option, long_name) == ("-O", "IgnoreDots"):
        invocation.dot_ends = long_value.lower() not in ("", "true", "t", "1", "yes", "y")
    elif (option, value) in (("-o", "eq"), ("-e", "q")):
        invocation.quiet = True
    elif option == "-v":
        invocation.verbose = True
    elif option == "-b":
        if value not in ("m", "s", "p", "i"):
            raise click.UsageError(f"-b{value} is a mail server's mode; this only sends")
        invocation.mode = value


def _read_server(where: str) -> tuple[str, int]:
    host, colon, port = where.rpartition(":")
    if not (colon and host and port.isdecimal()):
        raise Failure(f"{where}: expected HOST:PORT, such as {_DEFAULT_SERVER}", EX_USAGE)
    return host.strip("[]"), int(port)


def _send(invocation: _Invocation, where: tuple[str, int], aliases: Path) -> None:
    content = _read_content(dot_ends=invocation.dot_ends)
    if invocation.from_fields:
        from relay.message import destinations

        invocation.recipients += [address.addr_spec for address in destinations(content)]
    if not invocation.recipients:
        raise Failure("no recipient was named; use -t to read them from the message", EX_USAGE)
    given = invocation.reverse_path
    own = given if given and "@" in given else f"{given or getpass.getuser()}@{socket.getfqdn()}"
    if invocation.full_name:
        content = _name_sender(content, invocation.full_name, own)
    # -f "" and -f "<>" are the null reverse-path (RFC 5321 §4.5.5), which is nobody's.
    reply = _submit(where, "" if given == "" else own, _resolve(invocation.recipients, aliases), content)
    if invocation.verbose:
        echo(reply)


def _resolve(recipients: list[str], path: Path) -> list[str]:
    """All recipients as whole addresses, each once."""
    if all("@" in one for one in recipients):
        return list(dict.fromkeys(recipients))
    try:
        aliases = read_aliases(path)
    except OSError as error:
        raise Failure(f"{path}: cannot be read ({error.strerror})", EX_TEMPFAIL) from None
    found: list[str] = []
    for recipient in recipients:
        addresses = resolve(recipient, aliases)
        if not addresses:
            raise Failure(
                f"{recipient}: whose mail is this? Write a line `{recipient}: name@example.com` into {path}",
                EX_NOUSER,
            )
        found += addresses
    return list(dict.fromkeys(found))


def _name_sender(content: bytes, full_name: str, address: str) -> bytes:
    """Add a From field with the name, unless the message says itself who it is from."""
    from relay.message import originators

    if originators(content):
        return content
    name = full_name.replace("\\", "\\\\").replace('"', '\\"')
    return f'From: "{name}" <{address}>\r\n'.encode() + content


def _read_content(*, dot_ends: bool) -> bytes:
    from relay.smtp.data import normalise

    content = normalise(sys.stdin.buffer.read())
    if dot_ends and b"\r\n.\r\n" in (lines := b"\r\n" + content):
        content = lines.partition(b"\r\n.\r\n")[0][2:] + b"\r\n"
    return content


def _submit(where: tuple[str, int], reverse_path: str, recipients: list[str], content: bytes) -> str:
    """Send it, and give the relay's answer."""
    try:
        with smtplib.SMTP(*where, timeout=_PATIENCE) as client:
            client.ehlo_or_helo_if_needed()
            client.command_encoding = "utf-8"
            utf8 = "" if all(one.isascii() for one in (reverse_path, *recipients)) else " SMTPUTF8"
            # smtplib's own mail() and rcpt() rewrite an address that they misread: a@b;c@d becomes a@b.
            _check("sender", *client.docmd(f"MAIL FROM:<{reverse_path}>{utf8}"))
            for recipient in recipients:
                _check(recipient, *client.docmd(f"RCPT TO:<{recipient}>"))
            code, text = client.data(content)
            _check("message", code, text)
            return f"{code} {text.decode('utf-8', 'replace')}"
    except (OSError, ValueError, OverflowError, smtplib.SMTPException) as error:
        raise _not_running(where, error) from None


def _not_running(where: tuple[str, int], error: Exception) -> Failure:
    why = getattr(error, "strerror", None) or error
    return Failure(f"{where[0]}:{where[1]}: {why}; is the relay running?", EX_TEMPFAIL)


def _check(subject: str, code: int, text: bytes) -> None:
    """All or nothing: one refused recipient ends the command before anything is sent."""
    if code >= 400:  # noqa: PLR2004 - 4yz and 5yz, RFC 5321 §4.2.1
        passing = code < 500  # noqa: PLR2004
        reason = f"{subject}: {code} {text.decode('utf-8', 'replace')}"
        raise Failure(reason, EX_TEMPFAIL if passing else EX_DATAERR)


def _converse(where: tuple[str, int]) -> None:
    """Join the caller, who speaks SMTP, and the listener, until the listener hangs up."""
    try:
        listener = socket.create_connection(where, _PATIENCE)
    except (OSError, OverflowError) as error:
        _write(sys.stdout.buffer, _UNAVAILABLE)
        raise _not_running(where, error) from None
    with listener:
        listener.settimeout(None)  # the relay ends a session that is idle
        threading.Thread(target=_pass_on, args=(listener,), daemon=True).start()
        with suppress(ConnectionError):
            while block := listener.recv(_BLOCK):
                _write(sys.stdout.buffer, block)


def _pass_on(listener: socket.socket) -> None:
    with suppress(OSError):
        while block := os.read(sys.stdin.fileno(), _BLOCK):
            listener.sendall(block)
        listener.shutdown(socket.SHUT_WR)


def _write(stream: BinaryIO, octets: bytes) -> None:
    stream.write(octets)
    stream.flush()
