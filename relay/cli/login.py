"""`relay login ACCOUNT`: consent."""

import os
import sys
import webbrowser
from collections.abc import Iterator
from typing import Any

import click

from relay import cli
from relay.cli.startup import ask_consents, choose_account, read_config
from relay.cli.terminal import echo
from relay.config.model import Config
from relay.grants import explain_unverified
from relay.works.auth.consent import ConsentError, OtherAnswerError, read_redirect
from relay.works.auth.redirect import RedirectServer

Answer = dict[str, Any]


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

    The member who owns the mailbox opens the URL, logs in and agrees. A running relay makes the exchange by
    the client secret that it has, notices the new grant within seconds, and sends what was held.
    """
    config = read_config(config_path)
    choose_account(config, account)
    _check_state_dir(config)
    question = ask_consents(config, "login_begin", account=account)
    try:
        codes = _paste(question) if paste else _browse(question, wait, opening=not no_browser)
        answer = _exchange(config, account, question, codes, any_mailbox=any_mailbox)
    except ConsentError as error:
        raise cli.Failure(str(error), cli.EX_UNAVAILABLE) from None
    whose = answer["whose"]
    echo(f"relay: {account} may send now" + (f", as {whose}" if whose else ""), err=True)
    if not answer["verified"]:
        echo(f"relay: {explain_unverified(account, question['address'])}", err=True)


def _exchange(
    config: Config, account: str, question: Answer, codes: Iterator[str], *, any_mailbox: bool
) -> Answer:
    """Exchange the first code that is taken."""
    why = "no code came"
    for code in codes:
        answer = ask_consents(
            config,
            "login",
            account=account,
            code=code,
            verifier=question["verifier"],
            any_mailbox=any_mailbox,
        )
        if not answer["again"]:
            return answer
        why = answer["again"]
        echo(f"relay: {why}", err=True)
    raise ConsentError(why)


def _check_state_dir(config: Config) -> None:
    # Made here by root, it would be root's, and the service could not refresh.
    if not config.state_dir.is_dir():
        raise cli.Failure(
            f"{config.state_dir}: no such directory; create it, owned by the user that runs the relay",
            cli.EX_CANTCREAT,
        )
    if not os.access(config.state_dir, os.W_OK):
        raise cli.Failure(
            f"{config.state_dir}: may not be written by this user; run as its owner, or as root",
            cli.EX_NOPERM,
        )


def _paste(question: Answer) -> Iterator[str]:
    """What a person pastes, until it is a code that is taken; nothing good is no reason to begin anew."""
    echo(
        "Open this URL in a private window of any browser, log in as the mailbox's owner, and agree:",
        err=True,
    )
    echo(question["url"])
    while True:
        echo("Then paste the address that the browser ended at (or the code in it):", err=True)
        line = sys.stdin.readline()
        if not line:
            raise ConsentError("nothing was pasted")
        try:
            yield _read_pasted(line, question["state"])
        except OtherAnswerError as error:
            echo(f"relay: {error}", err=True)


def _read_pasted(line: str, state: str) -> str:
    if not line.strip():
        raise OtherAnswerError("nothing was pasted")
    if not line.strip().isprintable():  # nor are octets that are no text in this locale
        raise OtherAnswerError("this is no address; copy the whole address that the browser ended at")
    return read_redirect(line, state, bare_code=True)


def _browse(question: Answer, wait: int, *, opening: bool) -> Iterator[str]:
    """The code that the browser brings."""
    with RedirectServer(question["redirect_url"], question["state"], question["url"]).running() as redirect:
        echo(
            "Open this URL in a browser on this machine, log in as the mailbox's owner, and agree:", err=True
        )
        echo(question["url"])
        # Without a display a text browser would take over the terminal.
        if opening and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(redirect.page_url)
        code = redirect.wait(wait)
    yield code
