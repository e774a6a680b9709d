"""`relay queue`: the operator's verbs."""

from dataclasses import dataclass
from typing import Any

import click

from relay.cli import EX_DATAERR, config_option, json_option
from relay.cli.startup import ask, print_json, read_config

_STATES = ("queued", "sending", "delayed", "held", "failed", "relayed", "discarded")
_WAITING = ("queued", "sending", "delayed", "held", "failed")


@click.group()
def command() -> None:
    """Look at the queue and work on it, beside a running relay or without one."""


@command.command("list")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(_STATES), help="Only these; may be repeated."
)
@click.option("--limit", default=100, show_default=True, help="At most so many messages.")
@config_option
@json_option
def list_(states: tuple[str, ...], limit: int, config_path: str | None, *, as_json: bool) -> None:
    """List what waits and what failed, oldest first."""
    answer = ask(read_config(config_path), "queue_list", states=list(states or _WAITING), limit=limit)
    if as_json:
        print_json(answer)
        return
    for message in answer["messages"]:
        click.echo("\n".join(_lines(message)))
    counts = ", ".join(f"{n} {state}" for state, n in answer["counts"].items() if n)
    click.echo(counts or "the queue is empty")
    for name, reason in answer["held_accounts"].items():
        click.echo(f"account {name} is held, and its mail with it: {reason}")


def _lines(message: dict[str, Any]) -> list[str]:
    """Like mailq: what fits no table of eighty columns gets lines of its own."""
    to = message["forward_paths"]
    more = f" and {len(to) - 1} more" if len(to) > 1 else ""
    attempts = f", attempts {message['attempts']}" if message["attempts"] else ""
    since = message["arrival"][:19].replace("T", " ")
    lines = [
        f"{message['queue_id']}  {message['state']}  since {since}",
        f"    {message['reverse_path'] or '<>'} → {to[0]}{more}",
        f"    {message['size']} octets, account {message['account']}{attempts}",
    ]
    if message["reason"]:
        lines.append(f"    {message['status']} {message['reason']}")
    if message["next_attempt"]:
        lines.append(f"    next attempt {message['next_attempt'][:19].replace('T', ' ')}")
    return lines


@command.command()
@click.argument("queue_id")
@config_option
@json_option
def show(queue_id: str, config_path: str | None, *, as_json: bool) -> None:
    """Show one message."""
    answer = ask(read_config(config_path), "queue_show", queue_id=queue_id)
    if as_json:
        print_json(answer)
        return
    for key, value in answer.items():
        if key == "losses":
            value = "; ".join(f"{x['loss']} ({x['detail']})" for x in value)  # noqa: PLW2901
        elif isinstance(value, list):
            value = ", ".join(value)  # noqa: PLW2901
        click.echo(f"{key.replace('_', ' '):>14}  {value if value not in (None, '') else '-'}")


_ids = click.argument("queue_ids", nargs=-1)
_every = click.option("--all", "every", is_flag=True, help="All that can be, up to 100,000.")
_account = click.option("--account", default="", help="All of this account that can be.")


@dataclass(frozen=True, slots=True)
class _Meant:
    queue_ids: tuple[str, ...]
    every: bool
    account: str

    def arguments(self) -> dict[str, Any]:
        if not (self.queue_ids or self.every or self.account):
            raise click.UsageError("name messages by their id, or give --all or --account")
        if self.queue_ids and (self.every or self.account):
            raise click.UsageError("give ids, or --all, or --account")
        return {"queue_ids": list(self.queue_ids), "every": self.every, "account": self.account}


@command.command()
@_ids
@_every
@_account
@config_option
@json_option
def retry(
    queue_ids: tuple[str, ...], account: str, config_path: str | None, *, every: bool, as_json: bool
) -> None:
    """Try messages now: delayed, held or failed ones."""
    meant = _Meant(queue_ids, every, account)
    _each("queue_retry", meant, config_path, "queued again", as_json=as_json)


@command.command()
@_ids
@_every
@_account
@config_option
@json_option
def hold(
    queue_ids: tuple[str, ...], account: str, config_path: str | None, *, every: bool, as_json: bool
) -> None:
    """Let messages wait until they are released."""
    _each("queue_hold", _Meant(queue_ids, every, account), config_path, "held", as_json=as_json)


@command.command()
@_ids
@_every
@_account
@config_option
@json_option
def release(
    queue_ids: tuple[str, ...], account: str, config_path: str | None, *, every: bool, as_json: bool
) -> None:
    """Let held messages go. Tries their account again at once, if it is in trouble."""
    meant = _Meant(queue_ids, every, account)
    _each("queue_release", meant, config_path, "queued again", as_json=as_json)


@command.command()
@_ids
@_every
@_account
@config_option
@json_option
@click.confirmation_option(prompt="Throw these messages away for good?")
def discard(
    queue_ids: tuple[str, ...], account: str, config_path: str | None, *, every: bool, as_json: bool
) -> None:
    """Throw messages away for good."""
    _each("queue_discard", _Meant(queue_ids, every, account), config_path, "discarded", as_json=as_json)


def _each(verb: str, meant: _Meant, config_path: str | None, done: str, *, as_json: bool) -> None:
    answer = ask(read_config(config_path), verb, **meant.arguments())
    if as_json:
        print_json(answer)
    else:
        for queue_id in answer["done"]:
            click.echo(f"{queue_id} {done}")
        for problem in answer["problems"]:
            click.echo(f"relay: {problem}", err=True)
        if not answer["done"] and not answer["problems"]:
            click.echo("there is no such message", err=True)
    if answer["problems"]:
        raise click.exceptions.Exit(EX_DATAERR)
