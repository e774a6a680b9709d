"""`relay learn`: get to know unknown devices, and adopt them."""

import asyncio
import sys
import time
from typing import Any

import click

from relay.cli import config_option, json_option
from relay.cli.startup import ask_service, read_config
from relay.cli.terminal import confirm, echo, print_json, show_time
from relay.config.model import Config
from relay.config.units import parse_duration

_POLL = 2.0  # seconds between two looks for new devices


@click.command()
@click.argument("network", required=False)
@click.option(
    "--for", "duration", default="15m", show_default=True, metavar="DURATION", help="How long, at most 24h."
)
@click.option("--listener", default="", metavar="ADDRESS", help="Only at this listener, such as 0.0.0.0:25.")
@click.option("--adopt", metavar="ADDRESS", help="Let this device send from now on, and its held mail go.")
@click.option("--refuse", metavar="ADDRESS", help="Throw away what is held of this device.")
@click.option("--forget", metavar="ADDRESS", help="Let this device, which was adopted, in no longer.")
@click.option("--stop", is_flag=True, help="Learn nothing any more.")
@config_option
@json_option
def command(  # noqa: PLR0913 - one for each option
    network: str | None,
    duration: str,
    listener: str,
    adopt: str | None,
    refuse: str | None,
    forget: str | None,
    config_path: str | None,
    *,
    stop: bool,
    as_json: bool,
) -> None:
    """Let unknown devices of a private NETWORK in for a while, hold their mail, and ask whom to adopt.

    Nothing of an unknown device is sent before it is adopted. On a terminal the command stays and asks
    once for each device; without one it returns at once. Without NETWORK it shows what is being learned
    and which devices wait.
    """
    config = read_config(config_path)
    if adopt or refuse:
        _decide(config, adopt, refuse, as_json=as_json)
        return
    if forget:
        answer = ask_service(config, "learn_forget", address=forget)
        if as_json:
            print_json(answer)
        else:
            echo(f"{forget} has to log in from now on; taken out of {answer['file']}")
        return
    if stop:
        _show(ask_service(config, "learn_stop"), as_json=as_json)
        return
    if not network:
        _show(ask_service(config, "learning"), as_json=as_json)
        return
    try:
        seconds = parse_duration(duration)
    except ValueError as error:
        raise click.UsageError(f"--for: {error}") from None
    answer = ask_service(config, "learn", network=network, seconds=seconds, listener=listener)
    _show(answer, as_json=as_json)
    if sys.stdin.isatty() and not as_json:
        echo("waiting for devices; Ctrl-C ends this, and the learning goes on: relay learn --stop", err=True)
        _follow(config, time.monotonic() + seconds)


def _decide(config: Config, adopt: str | None, refuse: str | None, *, as_json: bool) -> None:
    if adopt:
        answer = ask_service(config, "learn_adopt", address=adopt)
        text = f"{adopt} adopted, {_count(answer['released'])} released; written to {answer['file']}"
    else:
        answer = ask_service(config, "learn_refuse", address=refuse)
        text = f"{_count(answer['discarded'])} of {refuse} thrown away"
    if as_json:
        print_json(answer)
    else:
        echo(text)


def _count(ids: list[str]) -> str:
    return f"{len(ids)} message{'' if len(ids) == 1 else 's'}"


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    for window in answer["windows"]:
        at = f" at {window['listener']}" if window["listener"] else ""
        echo(f"learning {window['network']}{at} until {show_time(window['until'])}")
    if not answer["windows"]:
        echo("nothing is being learned")
    for device in answer["waiting"]:
        echo(_sentence(device))
        echo(f"  relay learn --adopt {device['address']}")


def _sentence(device: dict[str, Any]) -> str:
    count = device["messages"]
    return (
        f"{device['address']} ({device['helo'] or 'no name'}) sends as {device['reverse_path'] or '<>'} to "
        f"{device['forward_path']}; {count} message{'' if count == 1 else 's'} held"
    )


def _follow(config: Config, end: float) -> None:
    asked: set[str] = set()
    while time.monotonic() < end:
        for device in ask_service(config, "learning")["waiting"]:
            if device["address"] in asked:
                continue
            asked.add(device["address"])
            echo(_sentence(device))
            if confirm("Adopt it?", "it was not adopted", f"relay learn --adopt {device['address']}"):
                _decide(config, device["address"], None, as_json=False)
        asyncio.run(asyncio.sleep(_POLL))
