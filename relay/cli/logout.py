"""`relay logout ACCOUNT`: the end of a consent."""

import click

from relay import cli
from relay.cli.startup import ask_consents, choose_account, read_config
from relay.cli.terminal import echo


@click.command()
@click.argument("account")
@click.option("--force", is_flag=True, help="Forget the grant here though it could not be revoked at Works.")
@cli.config_option
def command(account: str, config_path: str | None, *, force: bool) -> None:
    """Revoke the grant of ACCOUNT at Works, and forget it here.

    Also what to do when a copy of the state directory was stolen: its tokens are worth nothing afterwards. A
    running relay notices by itself within seconds; mail of the account is held until somebody consents.
    """
    config = read_config(config_path)
    choose_account(config, account)
    answer = ask_consents(config, "logout", account=account, force=force)
    if not answer["found"]:
        raise cli.Failure(f"nobody has consented for {account}; there is nothing to revoke", cli.EX_NOINPUT)
    if answer["revoked"]:
        echo(f"relay: the grant of {account} is revoked and forgotten", err=True)
    else:
        echo(f"relay: the grant of {account} is forgotten here, and was not revoked at Works", err=True)
