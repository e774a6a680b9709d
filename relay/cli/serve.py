"""`relay serve`: the service."""

import sys

import click

from relay.cli import EX_CANTCREAT, EX_UNAVAILABLE, Failure, config_option
from relay.cli.startup import read_config


@click.command()
@config_option
def command(config_path: str | None) -> None:
    """Run the relay until it is told to stop (SIGTERM or Ctrl-C)."""
    config = read_config(config_path)
    from relay import logs, service
    from relay.console.service import open_console
    from relay.load import load
    from relay.smtp.server import ListenError
    from relay.spool import SpoolError, SpoolLocked

    logs.set_up(config.log)
    try:
        service.run(service.serve(config, [open_console], lambda: load(config_path)))
    except SpoolLocked as error:
        raise Failure(f"{error}; stop it first, or give this one another state_dir", EX_UNAVAILABLE) from None
    except SpoolError as error:
        raise Failure(f"state_dir {config.state_dir} cannot be used: {error}", EX_CANTCREAT) from None
    except ListenError as error:
        raise Failure(str(error), EX_UNAVAILABLE) from None
    sys.stderr.flush()
