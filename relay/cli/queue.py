"""`relay queue`: the operator's verbs."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import click

from relay.cli import EX_DATAERR, EX_USAGE, Suggesting, config_option, json_option
from relay.cli.finding import WAITING, criteria_options, say_count, show_message
from relay.cli.startup import ask, read_config
from relay.cli.status import find_heading
from relay.cli.terminal import confirm, echo, print_answer, print_json, show_time
from relay.cli.trace import tell_reply
from relay.config.model import Config
from relay.host.display import count

_More = dict[str, Any]  # what a verb is asked for
_TIMES = ("arrival", "next_attempt")


@click.group(cls=Suggesting)
def command() -> None:
    """Look at the queue and work on it, beside a running relay or without one."""


@command.command("list")
@criteria_options
@config_option
@json_option
def list_(config_path: str | None, *, as_json: bool, states: tuple[str, ...], **criteria: Any) -> None:
    """List what waits and what failed, newest first.

    \b
      relay queue list --to yamada --since 14:00
      relay queue list --state held --account scanner --limit 0
    """  # noqa: D301 - click's mark is the character itself
    config = read_config(config_path)
    answer = ask(config, "queue_list", states=list(states or WAITING), **criteria)
    if as_json:
        print_json(answer)
        return
    if heading := asyncio.run(find_heading(config)):
        echo(heading)
    for message in answer["messages"]:
        echo("\n".join(show_message(message)))
    if said := say_count(answer):
        echo(said)
    counts = ", ".join(f"{n:,} {state}" for state, n in answer["counts"].items() if n)
    echo(counts or "the queue is empty")
    for name, reason in answer["held_accounts"].items():
        echo(f"account {name} is held, and its mail with it: {reason}")


@command.command()
@click.argument("queue_id")
@config_option
@json_option
def show(queue_id: str, config_path: str | None, *, as_json: bool) -> None:
    """Show one message."""
    print_answer(ask(read_config(config_path), "queue_show", queue_id=queue_id), _show, as_json=as_json)


def _show(answer: dict[str, Any]) -> None:
    for key, value in answer.items():
        if key == "losses":
            value = "; ".join(f"{x['loss']} ({x['detail']})" for x in value)  # noqa: PLW2901
        elif key == "reply":
            value = value and tell_reply(value)  # noqa: PLW2901
        elif isinstance(value, list):
            value = ", ".join(value)  # noqa: PLW2901
        elif key in _TIMES and value:
            value = show_time(value, "seconds")  # noqa: PLW2901
        echo(f"{key.replace('_', ' '):>14}  {value if value not in (None, '') else '-'}")


def _of_messages(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of what is done to the messages that its options name.

    The decorated function is given the configuration, what a verb is asked for, and the other options.
    """

    @functools.wraps(function)
    def run(
        queue_ids: tuple[str, ...],
        account: str,
        config_path: str | None,
        *,
        every: bool,
        **own: Any,
    ) -> None:
        meant = _read_meant(queue_ids, account, every=every)
        function(read_config(config_path), meant, **own)

    for option in (json_option, config_option, _account, _every, _ids):
        option(run)
    return run


_ids = click.argument("queue_ids", nargs=-1)
_every = click.option("--all", "every", is_flag=True, help="All that can be, up to 100,000.")
_account = click.option("--account", default="", metavar="NAME", help="All of this account that can be.")
_unknown_devices = click.option(
    "--unknown-devices",
    is_flag=True,
    help="With --all or --account: also mail that waits until its device is adopted (relay learn).",
)
_unknown = click.option(
    "--unknown", is_flag=True, help="Also what may have been taken already, without asking."
)


def _read_meant(queue_ids: tuple[str, ...], account: str, *, every: bool) -> _More:
    if not (queue_ids or every or account):
        raise click.UsageError("name messages by their id, or give --all or --account")
    if queue_ids and (every or account):
        raise click.UsageError("give ids, or --all, or --account")
    return {"queue_ids": list(queue_ids), "every": every, "account": account}


@command.command()
@_of_messages
@_unknown_devices
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(("delayed", "held", "failed")),
    help="With --all or --account: only these; may be repeated. By default delayed and held ones.",
)
@_unknown
def retry(config: Config, meant: _More, *, as_json: bool, **own: Any) -> None:
    """Try messages now: delayed, held or failed ones.

    With --all or --account failed ones are left alone, whose senders were told that they were not sent. A
    message of which nobody knows whether Works took it is sent again only when you say so.
    """
    answer = _send_again(config, "queue_retry", meant, own, as_json=as_json)
    if answer["left_failed"] and not as_json:
        echo(f"left alone: {answer['left_failed']} that failed; --state failed sends them again", err=True)
    _print(answer, "queued again", as_json=as_json)


def _send_again(config: Config, verb: str, meant: _More, own: _More, *, as_json: bool) -> dict[str, Any]:
    """Have the messages sent; of those that may have been taken already, the ones that a person wants."""
    answer = ask(config, verb, **meant, **own)
    doubtful = answer["left_unknown"]
    if doubtful and not as_json and _confirm_doubtful(doubtful):
        more = ask(config, verb, queue_ids=doubtful, unknown=True)
        answer["done"] += more["done"]
        answer["problems"] += more["problems"]
        answer["left_unknown"] = []
    if answer["left_unknown"] and not as_json:
        number = len(answer["left_unknown"])
        echo(f"left alone: {number} that may have been taken; --unknown sends them again", err=True)
    return answer


def _confirm_doubtful(queue_ids: list[str]) -> bool:
    """Whether a person wants these sent again; nobody there to answer does not."""
    echo("Works may have taken these already, and whoever got them would get them twice:", err=True)
    for queue_id in queue_ids:
        echo(f"    {queue_id}", err=True)
    return confirm("Send them again?", "none of these was sent again", "--unknown")


@command.command()
@_of_messages
def hold(config: Config, meant: _More, *, as_json: bool) -> None:
    """Let messages wait until they are released."""
    _print(ask(config, "queue_hold", **meant), "held", as_json=as_json)


@command.command()
@_of_messages
@_unknown_devices
@_unknown
def release(config: Config, meant: _More, *, as_json: bool, **own: Any) -> None:
    """Let held messages go. Tries their account again at once, if it is in trouble.

    A message of which nobody knows whether Works took it is sent again only when you say so.
    """
    answer = _send_again(config, "queue_release", meant, own, as_json=as_json)
    _print(answer, "queued again", as_json=as_json)


@command.command()
@_of_messages
@click.option("--yes", is_flag=True, help="Do not ask.")
def discard(config: Config, meant: _More, *, as_json: bool, yes: bool) -> None:
    """Throw messages away for good."""
    queue_ids = meant["queue_ids"]
    for queue_id in queue_ids:
        ask(config, "queue_show", queue_id=queue_id)  # one that there is not is no question
    if not yes and (number := len(queue_ids) or _count_all(config, meant["account"])):
        what = count(number, "message") + f" of account {meant['account']}" * bool(meant["account"])
        if not confirm(f"Throw {what} away for good?", "nothing was thrown away", "--yes"):
            raise click.exceptions.Exit(EX_USAGE)
    _print(ask(config, "queue_discard", **meant), "discarded", as_json=as_json)


def _count_all(config: Config, account: str) -> int:
    """How many messages can be thrown away, of this account or of all ("")."""
    states = [state for state in WAITING if state != "sending"]
    found = ask(config, "queue_list", states=states, limit=1, counted=False, account=account)
    number: int = found["total"]
    return number


def _print(answer: dict[str, Any], done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        accounts = answer.get("accounts", [])
        for name in accounts:
            echo(f"account {name}: its mail is tried again")
        for queue_id in answer["done"]:
            echo(f"{queue_id} {done}")
        for problem in answer["problems"]:
            echo(f"relay: {problem}", err=True)
        left = answer.get("left_unknown") or answer.get("left_failed")
        if not any((answer["done"], answer["problems"], left, accounts)):
            echo("there is no such message", err=True)
    if answer["problems"]:
        raise click.exceptions.Exit(EX_DATAERR)
