"""`relay login ACCOUNT`: consent."""

import asyncio
import os
import sys
import webbrowser

import click

from relay import cli
from relay.cli.startup import choose_account, read_app_config
from relay.cli.terminal import echo
from relay.config.model import Account, Config
from relay.grants import Grant, GrantError, explain_unverified
from relay.stores import open_grants
from relay.works.auth.consent import AuthorizationRequest, ConsentError, complete, keep, read_redirect
from relay.works.auth.oauth import AuthServer
from relay.works.auth.redirect import RedirectServer


@click.command()
@click.argument("account")
@click.option("--paste", is_flag=True, help="No browser here: print the URL, read the redirected one.")
@click.option("--no-browser", is_flag=True, help="Print the URL, and do not open it.")
@click.option(
    "--wait", default=600, show_default=True, metavar="SECONDS", help="How long to wait for consent."
)
@click.option("--any-mailbox", is_flag=True, help="Take the consent of another address than the account's.")
@cli.config_option
def command(
    account: str, config_path: str | None, wait: int, *, paste: bool, no_browser: bool, any_mailbox: bool
) -> None:
    """Consent: let the relay send as ACCOUNT, a name from relay.toml.

    The member who owns the mailbox opens the URL, logs in and agrees. A running relay notices the
    new grant by itself within seconds and sends what was held.
    """
    config = read_app_config(config_path)
    chosen = choose_account(config, account)
    server = AuthServer(config.works)
    store = open_grants(config)
    try:
        _check_state_dir(config)
        request = AuthorizationRequest.make()
        url = server.authorize_url(request.state, request.challenge)
        if paste:
            code = _paste(url, request.state)
        else:
            code = _browse(config, url, request.state, wait, opening=not no_browser)
        grant = asyncio.run(complete(config.works, server, code, request.verifier))
        _check_mailbox(chosen, grant, any_mailbox=any_mailbox)
        keep(store, account, grant)
    except ConsentError as error:
        raise cli.Failure(str(error), cli.EX_UNAVAILABLE) from None
    except GrantError as error:
        raise cli.Failure(str(error), cli.EX_CANTCREAT) from None
    echo(f"relay: {account} may send now" + (f", as {grant.whose}" if grant.whose else ""), err=True)
    if not grant.is_verified:
        echo(f"relay: {explain_unverified(account, chosen.address)}", err=True)


def _check_state_dir(config: Config) -> None:
    # Made here by root, it would be root's, and the service could not refresh.
    if not config.state_dir.is_dir():
        raise GrantError(
            f"{config.state_dir}: no such directory; create it, owned by the user that runs the relay"
        )
    if not os.access(config.state_dir, os.W_OK):
        raise cli.Failure(
            f"{config.state_dir}: may not be written by this user; run as its owner, or as root",
            cli.EX_NOPERM,
        )


def _paste(url: str, state: str) -> str:
    echo("Open this URL in any browser, log in as the mailbox's owner, and agree:", err=True)
    echo(url)
    echo("Then paste the address that the browser ended at (or the code in it):", err=True)
    line = sys.stdin.readline()
    if not line.strip():
        raise ConsentError("nothing was pasted")
    if not line.strip().isprintable():  # nor are octets that are no text in this locale
        raise ConsentError("this is no address; copy the whole address that the browser ended at")
    return read_redirect(line, state, bare_code=True)


def _browse(config: Config, url: str, state: str, wait: int, *, opening: bool) -> str:
    with RedirectServer(config.works.redirect_url, state, url).running() as redirect:
        echo(
            "Open this URL in a browser on this machine, log in as the mailbox's owner, and agree:", err=True
        )
        echo(url)
        # Without a display a text browser would take over the terminal.
        if opening and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(redirect.page_url)
        return redirect.wait(wait)


def _check_mailbox(account: Account, grant: Grant, *, any_mailbox: bool) -> None:
    if grant.whose and grant.whose.lower() != account.address.lower() and not any_mailbox:
        raise ConsentError(
            f"{grant.whose} consented, but the account's address is {account.address}: "
            "log in as that member, or use --any-mailbox if this is meant"
        )
