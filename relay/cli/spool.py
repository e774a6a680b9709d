"""`relay spool`: the database that several nodes share."""

import asyncio
from pathlib import Path

import click

from relay.cli import EX_CANTCREAT, EX_NOINPUT, EX_USAGE, Failure, config_option
from relay.cli.startup import load_config
from relay.cli.terminal import echo
from relay.config.model import Config

_NOT_A_DATABASE = 'spool.url is "sqlite", which needs nothing of this: relay help cluster'


@click.group()
def command() -> None:
    """Prepare the database that keeps the spool."""


@command.command()
@click.option("--url", default="", metavar="URL", help="Of the database's owner; else spool.url.")
@click.option(
    "--password-file", type=click.Path(path_type=Path), help="A file that holds the owner's password."
)
@config_option
def migrate(url: str, password_file: Path | None, config_path: str | None) -> None:
    """Make the tables, or bring them to this release; the relay's role may then use them.

    They are made by whoever owns the database, while the relays of the release before go on.
    """
    from relay.spool import SpoolError
    from relay.stores import migrate_spool

    config = _check(load_config(config_path, None))  # nothing in the state directory is touched
    try:
        done = asyncio.run(migrate_spool(config, url, _read_password(password_file)))
    except SpoolError as error:
        raise Failure(str(error), EX_CANTCREAT) from None
    echo(f"made version {', '.join(map(str, done))} of the tables" if done else "the tables are up to date")


@command.command()
@config_option
def move(config_path: str | None) -> None:
    """Move what one node has, mail, grants and adopted devices, into the database of several.

    No relay may run meanwhile. If it breaks off, run it again: nothing is lost, and nothing is sent twice.
    """
    from relay.cli.startup import read_config
    from relay.grants import GrantError
    from relay.host import logs
    from relay.spool import SpoolError
    from relay.stores import move_spool

    config = _check(read_config(config_path))
    logs.set_up(config.log.model_copy(update={"level": "error"}))
    try:
        done = asyncio.run(move_spool(config))
    except (SpoolError, GrantError) as error:
        raise Failure(str(error), EX_CANTCREAT) from None
    again = f" ({done.known} were there already)" if done.known else ""
    echo(f"moved {done.moved} messages{again}; the old spool lies in {done.aside} and is not needed any more")
    for queue_id in done.damaged:
        echo(f"{queue_id} is damaged and was not moved; it is in the old spool")


def _check(config: Config) -> Config:
    if config.spool.is_embedded:
        raise Failure(_NOT_A_DATABASE, EX_USAGE)
    return config


def _read_password(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {error}", EX_NOINPUT) from None
