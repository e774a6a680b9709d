"""`relay test`: one mail through everything, and what became of it."""

import asyncio
import io
from collections.abc import Iterator
from typing import Any

import click

from relay.cli import EX_CONFIG, EX_DATAERR, EX_TEMPFAIL, Failure, config_option, json_option
from relay.cli.send import check_paths, send
from relay.cli.startup import choose_account, read_config
from relay.cli.status import read_state
from relay.cli.terminal import echo, print_json
from relay.config.model import Account, Config
from relay.operator.test_mail import write_test

Answer = dict[str, Any]
_EXITS = {"relayed": 0, "refused": EX_DATAERR}  # of each verdict; whatever waits is tried again


@click.command()
@click.argument("address")
@click.option(
    "--account", "name", metavar="NAME", help="The account that sends; else the default, or the first."
)
@config_option
@json_option
def command(address: str, name: str | None, config_path: str | None, *, as_json: bool) -> None:
    """Send one test mail to ADDRESS through everything, as a device's would go.

    Says its id, the verdict, whose mailbox it came from, and where to look. Exits with 0 when Works took it,
    with 65 when it was refused, with 75 while it waits.
    """
    config = read_config(config_path)
    account = _choose(config, name)
    reverse_path, (to,) = check_paths(config, account.address, [address])
    content = io.BytesIO(write_test(config.hostname, account.name, account.address, to))
    answer = asyncio.run(send(config, content, reverse_path, [to]))
    state = asyncio.run(read_state(config))
    seen = next((one for one in state["accounts"] if one["name"] == account.name), None)
    concerns = [one for one in state["concerns"] if one["name"] in ("", account.name)]
    if as_json:
        print_json(answer | {"account": seen, "concerns": concerns})
    else:
        for key, value in _report(answer, account, to, seen, concerns):
            echo(f"{key:>9}  {value}".rstrip())
    raise click.exceptions.Exit(_EXITS.get(answer["verdict"], EX_TEMPFAIL))


def _choose(config: Config, name: str | None) -> Account:
    if name is not None:
        return choose_account(config, name)
    if not config.account:
        raise Failure("there is no [[account]], so nothing can be sent; relay setup writes one", EX_CONFIG)
    return next((one for one in config.account if one.default), config.account[0])


def _report(
    answer: Answer, account: Account, to: str, seen: Answer | None, concerns: list[Answer]
) -> Iterator[tuple[str, str]]:
    yield "verdict", f"{answer['code']} {answer['status']} {answer['text']}"
    yield "account", account.name
    yield "From", _tell_sender(account, seen)
    if answer["verdict"] == "relayed":
        yield "look", f"into the inbox of {to}, and into its spam folder"
        if account.save_sent:
            yield "", f"into the Sent folder of {account.address}, where a copy is"
        yield (
            "",
            f'a mail "[Message delivery failed]" in {account.address} says that {to} could not be reached',
        )
    for concern in concerns:
        yield "trouble", concern["reason"]
        if concern["remedy"]:
            yield "", f"→ {concern['remedy']}"
    if answer["queue_id"]:
        yield "more", f"relay trace {answer['queue_id']}"


def _tell_sender(account: Account, seen: Answer | None) -> str:
    """Whose mailbox Works sends from: it goes by the grant, whatever the message says."""
    grant = seen["grant"] if seen else {}
    whose = grant.get("whose") or account.address
    if grant.get("verified"):
        return whose
    return (
        f"{whose}, if its owner consented, which nobody has seen; "
        f"does the mail come from there? Then: sudo relay accounts --confirm {account.name}"
    )
