"""`relay logout ACCOUNT`: the end of a consent."""

import asyncio

import click

from relay import cli
from relay.cli.startup import choose_account, read_app_config
from relay.cli.terminal import echo
from relay.grants import Grant, GrantError, GrantStore
from relay.stores import open_grants
from relay.works.auth.consent import ConsentError, forget, revoke
from relay.works.auth.oauth import AuthServer


@click.command()
@click.argument("account")
@click.option("--force", is_flag=True, help="Forget the grant here though it could not be revoked at Works.")
@cli.config_option
def command(account: str, config_path: str | None, *, force: bool) -> None:
    """Revoke the grant of ACCOUNT at Works, and forget it here.

    Also what to do when a copy of the state directory was stolen: its tokens are worth nothing afterwards. A
    running relay notices by itself within seconds; mail of the account is held until somebody consents.
    """
    config = read_app_config(config_path)
    choose_account(config, account)
    store = open_grants(config)
    try:
        grant = _load(store, account, force=force)
        revoked = _revoke(AuthServer(config.works), grant, force=force) if grant else False
        forget(store, account)
    except GrantError as error:
        raise cli.Failure(str(error), cli.EX_CANTCREAT) from None
    if revoked:
        echo(f"relay: the grant of {account} is revoked and forgotten", err=True)
    else:
        echo(f"relay: the grant of {account} is forgotten here, and was not revoked at Works", err=True)


def _load(store: GrantStore, account: str, *, force: bool) -> Grant | None:
    try:
        grant = store.load(account)
    except GrantError:
        if not force:
            raise
        return None  # what cannot be read cannot be revoked
    if grant is None:
        raise cli.Failure(f"nobody has consented for {account}; there is nothing to revoke", cli.EX_NOINPUT)
    return grant


def _revoke(server: AuthServer, grant: Grant, *, force: bool) -> bool:
    try:
        asyncio.run(revoke(server, grant))
    except ConsentError as error:
        if not force:
            raise cli.Failure(
                f"{error}, and it is kept here; try again, or forget it with --force and remove the app's "
                "access at Works",
                cli.EX_UNAVAILABLE,
            ) from None
        return False
    return True
