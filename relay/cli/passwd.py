"""`relay passwd`: hash a password for [[user]]."""

import sys

import click

from relay.cli import Failure
from relay.cli.terminal import echo
from relay.host.passwords import hash_password


@click.command()
def command() -> None:
    """Hash a password for [[user]].

    Asks for the password twice, or reads one line of standard input when that is not a terminal.
    Prints the value for password_hash.
    """
    if sys.stdin.isatty():
        try:
            password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        except click.Abort:
            raise Failure("no password was given, and nothing was hashed", 130) from None
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise click.UsageError("an empty password lets anybody in; give one")
    echo(hash_password(password))
