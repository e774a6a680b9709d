"""The commands. Each is a module of its own, imported only when it is asked for.

Exit codes are those of sysexits.h: 64 usage, 65 bad data, 66 no input, 67 no such user, 69 unavailable,
70 internal error, 73 cannot create, 74 output error, 75 temporary failure, 77 no permission, 78
configuration.
"""

import errno
import importlib
import io
import os
import sys
from collections.abc import Iterable
from typing import Any

import click

from relay import __version__
from relay.cli.terminal import echo

# Name of the command, and what `relay --help` says of it: no import of the module for the help.
_COMMANDS = {
    "serve": "Run the relay.",
    "setup": "Ask five questions, and write relay.toml.",
    "install": "Install the service, the command, its manual and completion.",
    "sandbox": "Try the whole relay against a simulated Works; no account needed.",
    "status": "Show how the relay is, on one screen.",
    "check": "Check configuration, spool, grants and reachability.",
    "login": "Consent: let the relay send as an account.",
    "logout": "Revoke the consent of an account, and forget it.",
    "accounts": "Show the accounts and their grants.",
    "explain": "Show what a message would become, and what it would lose.",
    "test": "Send one test mail through everything, and say what became of it.",
    "send": "Put a message into the relay.",
    "sendmail": "Stand in for /usr/sbin/sendmail.",
    "queue": "Look at the queue and work on it.",
    "trace": "Find a message, and tell what happened to it.",
    "spool": "Prepare the database that several nodes share.",
    "passwd": "Hash a password for [[user]].",
    "doctor": "Say what is wrong with a device, and what to change.",
    "learn": "Get to know unknown devices, and adopt them.",
    "certificate": "Make a self-signed certificate for a listener.",
    "help": "Show a document, such as what an answer of Works means.",
}

EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_NOUSER, EX_UNAVAILABLE, EX_SOFTWARE = 64, 65, 66, 67, 69, 70
EX_CANTCREAT, EX_IOERR, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG = 73, 74, 75, 77, 78
# What a link to this program is, by its name.
_CALLED = {
    "sendmail": ("sendmail",),
    "mailq": ("sendmail", "-bp"),
    "newaliases": ("sendmail", "-bi"),
}
# The streams are the only files without a name that a command writes to: what ails one of them.
UNWRITTEN = (errno.EPIPE, errno.ENOSPC, errno.EIO)


def suggest(name: str, known: Iterable[str]) -> str:
    """What was probably meant, as the end of a sentence; "" if nothing is near."""
    import difflib

    close = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


class Suggesting(click.Group):
    """Commands of which one that is nearly right is guessed."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click."""
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}{suggest(args[0], known)}")
        return super().resolve_command(ctx, args)


class _Lazy(Suggesting):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"relay.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


class Failure(click.ClickException):
    """A plain sentence on standard error, and an exit code of sysexits."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class and reads the instance

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature
        """Print the sentence, each line with the command's name before it."""
        for line in self.format_message().splitlines():
            echo(f"relay: {line}", err=True)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="relay")
def group() -> None:
    """An SMTP-to-API relay gateway for LINE WORKS and NAVER WORKS.

    Try it without an account: relay sandbox
    """


config_option = click.option(
    "--config",
    "config_path",
    metavar="FILE",
    help="The configuration; else $RELAY_CONFIG, else /etc/relay/relay.toml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def _arguments() -> list[str]:
    # A link /usr/sbin/sendmail to this program is sendmail, and mailq and newaliases come with it.
    called = os.path.basename(sys.argv[0])  # noqa: PTH119 - pathlib costs the help its speed
    return [*_CALLED.get(called, ()), *sys.argv[1:]]


def _prepare_streams() -> None:
    """Let the commands rely on the three streams, whatever the caller left of them."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            # Closed: the next file or socket that is opened would be taken for the stream.
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A locale without an arrow or a kanji shows its number and ends no command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """Run the command line, and exit."""
    _prepare_streams()
    try:
        # click gives the code of an Exit back, and a command's own value, which here is always None.
        sys.exit(group.main(_arguments(), prog_name="relay", standalone_mode=False))
    except click.UsageError as error:
        error.show()
        sys.exit(EX_USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        echo("relay: stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader (head, less) has seen enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.filename or error.errno not in UNWRITTEN:
            raise
        echo(f"relay: the output cannot be written: {error.strerror}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EX_IOERR)
