"""`relay status`: everything on one screen, the worst first."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from relay.cli import EX_UNAVAILABLE, config_option, json_option
from relay.cli.startup import call, read_config
from relay.cli.terminal import echo, print_answer, show_time
from relay.config.model import Config
from relay.operator import calling

if TYPE_CHECKING:
    from relay.works.auth.keeping import Keeping

_COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}
_MOST_OF_A_KIND = 5  # that are shown
_Tree = dict[str, Any]  # what the state is in JSON


@click.command()
@config_option
@json_option
def command(config_path: str | None, *, as_json: bool) -> None:
    """Show how the relay is: what is wrong and what to do, the queue, accounts, listeners.

    Exits with 69 when mail does not go, is not taken or needs a person, also when the relay does not run;
    with 0 when all is well, or somebody should only look.
    """
    state = asyncio.run(read_state(read_config(config_path)))
    print_answer(state, _print, as_json=as_json)
    if state["health"] == "bad":
        raise click.exceptions.Exit(EX_UNAVAILABLE)


async def read_state(config: Config) -> _Tree:
    """The state of the service that runs, or of what it left. Ends the command where nobody may ask."""
    return await call(config, "state", EX_UNAVAILABLE) or await _read_stopped(config)


async def read_accounts(config: Config, grants: "Keeping") -> dict[str, _Tree]:
    """How the accounts stand, by name: as the service that runs says it, else as their files do."""
    from relay.host.clock import Clock
    from relay.operator.reading import Reader
    from relay.operator.state import as_json

    # Also beside a service: it may not have read this configuration yet.
    accounts: list[_Tree] = as_json(await Reader(None, grants, Clock()).read(config))["accounts"]
    if state := await calling.ask_state(config.control_socket):
        accounts += state["accounts"]
    return {account["name"]: account for account in accounts}


async def find_heading(config: Config) -> str:
    """What matters most, where a service runs and something is wrong; else ""."""
    state = await calling.ask_state(config.control_socket)
    return say_headline(state["headline"]) if state and state["health"] != "ok" else ""


async def _read_stopped(config: Config) -> _Tree:
    from relay.host import logs
    from relay.host.clock import Clock
    from relay.operator.reading import Reader
    from relay.operator.state import as_json
    from relay.spool import SpoolError
    from relay.stores import open_grants, open_spool

    logs.be_silent()
    spool = open_spool(config)
    try:
        opened = spool.exists()
        if opened:
            await spool.open(stands=False)
    except SpoolError as error:
        echo(f"relay: the spool cannot be opened: {error}", err=True)
        opened = False
    try:
        state = await Reader(spool if opened else None, open_grants(config, spool), Clock()).read(config)
    finally:
        if opened:
            await spool.close()
    told: _Tree = as_json(state)
    return told


def _print(state: _Tree) -> None:
    echo(say_headline(state["headline"]), head=click.style("● ", fg=_COLOURS[state["health"]]))
    if not state["started"]:
        echo(f"{'':>6} → sudo systemctl start relay, and look why it ended: sudo journalctl -u relay -e")
    started = f", since {show_time(state['started'])}" if state["started"] else ""
    echo(f"  {state['hostname']}, relay {state['version']}{started}")
    _print_concerns(state["concerns"])
    echo()
    for title, lines in (
        ("queue", _queue(state["queue"], state["disk"])),
        ("disk", _disk(state["disk"])),
        ("requests", _requests(state["requests"])),
        ("accounts", map(_account, state["accounts"])),
        ("copies", [f"unseen, of every message: {', '.join(state['archive'])}"] * bool(state["archive"])),
        ("listeners", map(_listener, state["listeners"])),
        ("nodes", map(_node, state["nodes"])),
    ):
        for number, line in enumerate(lines):
            echo(f"{'' if number else title:>11}  {line}")


def say_headline(headline: _Tree) -> str:
    """What matters most, with times as people read them."""
    mark = "" if headline["next_try"] else ";"  # "Works is down since …" is one clause
    since = f"{mark} since {show_time(headline['since'])}" if headline["since"] else ""
    tried = f", next try {show_time(headline['next_try'])}" if headline["next_try"] else ""
    waiting = headline["waiting"]
    waits = f"; {waiting:,} {'message waits' if waiting == 1 else 'messages wait'}" if waiting else ""
    text: str = headline["text"]
    return f"{text[:1].upper()}{text[1:]}{since}{tried}{waits}"


def _print_concerns(concerns: Sequence[_Tree]) -> None:
    """A few of each kind: hundreds of held messages would leave the screen to nothing else."""
    by_kind: dict[str, list[_Tree]] = {}
    for concern in concerns:
        by_kind.setdefault(concern["kind"], []).append(concern)
    for kind, some in by_kind.items():
        for concern in some[:_MOST_OF_A_KIND]:
            _print_concern(concern)
        if len(some) > _MOST_OF_A_KIND:
            more = len(some) - _MOST_OF_A_KIND
            echo(f"{'':>6} … and {more:,} more of this kind ({kind}); --json has all of them")


def _print_concern(concern: _Tree) -> None:
    colour = _COLOURS[concern["health"]]
    subject = f"{concern['kind']} {concern['name']}".rstrip()
    echo(
        f" {subject}: {concern['reason']}; since {show_time(concern['since'])}",
        head=click.style(f"{concern['health'].upper():>6}", fg=colour),
    )
    if concern["remedy"]:
        echo(f"{'':>6} → {concern['remedy']}")
    for told in concern["told"]:
        echo(f"{'':>6}   told {told['to']} at {show_time(told['at'])}")


def _queue(queue: _Tree | None, disk: _Tree | None) -> Iterator[str]:
    if queue is None:
        known = disk and disk["reason"]
        yield f"not known: {known}" if known else "there is no spool yet, or it cannot be opened"
        return
    yield ", ".join(f"{n:,} {state}" for state, n in queue["states"].items() if n) or "empty"
    if queue["oldest"]:
        yield f"{queue['waiting']:,} wait, the oldest since {show_time(queue['oldest'])}"


def _disk(disk: _Tree | None) -> Iterator[str]:
    if disk is not None:
        taken = "new mail is taken" if disk["accepting"] else f"new mail is refused: {disk['reason']}"
        yield f"{disk['free'] / 2**30:,.1f} GB free; {taken}"


def _requests(use: _Tree | None) -> Iterator[str]:
    if use is not None:
        yield f"{_use(use)} this minute"


def _use(use: _Tree) -> str:
    return f"{use['used']:,} of {use['limit']:,}" if use["limit"] else f"{use['used']:,}"


def _account(account: _Tree) -> str:
    grant, hold = account["grant"], account["hold"]
    default = " (default)" if account["default"] else ""
    parts = [f"{account['name']}{default}, {account['address'] or 'not configured'}: {say_grant(grant)}"]
    if hold:
        tried = f", next try {show_time(hold['next_probe'])}" if hold["next_probe"] else ""
        word = "held" if hold["person"] else "waits"
        parts.append(f"{word} since {show_time(hold['since'])}{tried}: {hold['reason']}")
    elif account["day"]:
        parts.append(
            f"{_use(account['minute'])} mails this minute, {_use(account['day'])} recipients in 24 h"
        )
    return "; ".join(parts)


def say_grant(grant: _Tree) -> str:
    """How a grant is, in a few words."""
    if grant["health"] == "alive":
        renews = "renews itself" if grant["rotation"] else f"consent again in {grant['days_left']} days"
        return f"grant alive, {renews}"
    until = f"; mail goes until {show_time(grant['sends_until'])}" if grant["sends_until"] else ""
    return f"grant {grant['health']}: {grant['problem']}{until}"


def _node(node: _Tree) -> str:
    this = " (this one)" if node["this"] else ""
    parts = [f"{node['name']}{this}, relay {node['version']}"]
    if not node["alive"]:
        parts.append(f"silent since {show_time(node['seen'])}")
    else:
        parts.append(f"{node['sessions']:,} sessions")
        if node["accepting"] is False:
            parts.append(f"new mail is refused: {node['reason']}")
        elif node["reason"]:
            parts.append(node["reason"])
    if node["sends_since"]:
        parts.append(f"sends since {show_time(node['sends_since'])}")
    if node["differs"]:
        parts.append(f"its configuration is another one than here: {', '.join(node['different'])}")
    return "; ".join(parts)


def _listener(listener: _Tree) -> str:
    sessions = "" if listener["sessions"] is None else f", {listener['sessions']:,} sessions"
    parts = [f"{listener['address']}: tls {listener['tls']}, auth {listener['auth']}{sessions}"]
    days: int | None = listener["certificate_days"]
    if days is not None:
        parts.append("certificate expired" if days < 0 else f"certificate good for {days} days")
    return "; ".join((*parts, *listener["remarks"]))
