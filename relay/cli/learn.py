"""`relay learn`: get to know unknown devices, and adopt them."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from relay.cli import config_option, json_option
from relay.cli.startup import ask_service, read_config
from relay.cli.terminal import confirm, echo, print_answer, show_time
from relay.config.model import Config
from relay.config.units import parse_duration
from relay.host.display import count

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
    for verb, address in (("adopt", adopt), ("refuse", refuse), ("forget", forget)):
        if address:
            _decide(config, verb, address, as_json=as_json)
            return
    if stop or not network:
        answer = ask_service(config, "learn_stop" if stop else "learning")
        print_answer(answer, _show, as_json=as_json)
        return
    try:
        seconds = parse_duration(duration)
    except ValueError as error:
        raise click.UsageError(f"--for: {error}") from None
    answer = ask_service(config, "learn", network=network, seconds=seconds, listener=listener)
    print_answer(answer, _show, as_json=as_json)
    if sys.stdin.isatty() and not as_json:
        echo("waiting for devices; Ctrl-C ends this, and the learning goes on: relay learn --stop", err=True)
        _follow(config, time.monotonic() + seconds)


def _decide(config: Config, verb: str, address: str, *, as_json: bool) -> None:
    answer = ask_service(config, f"learn_{verb}", address=address)
    print_answer(answer, lambda done: echo(_SAID[verb](address, done)), as_json=as_json)


# What was done to a device, by the option that asked for it.
_SAID: Mapping[str, Callable[[str, dict[str, Any]], str]] = {
    "adopt": lambda who, done: (
        f"{who} adopted, {count(len(done['released']), 'message')} released; written to {done['file']}"
    ),
    "refuse": lambda who, done: f"{count(len(done['discarded']), 'message')} of {who} thrown away",
    "forget": lambda who, done: f"{who} has to log in from now on; taken out of {done['file']}",
}


def _show(answer: dict[str, Any]) -> None:
    for window in answer["windows"]:
        at = f" at {window['listener']}" if window["listener"] else ""
        echo(f"learning {window['network']}{at} until {show_time(window['until'])}")
    if not answer["windows"]:
        echo("nothing is being learned")
    for device in answer["waiting"]:
        echo(_sentence(device))
        echo(f"  relay learn --adopt {device['address']}")


def _sentence(device: dict[str, Any]) -> str:
    return (
        f"{device['address']} ({device['helo'] or 'no name'}) sends as {device['reverse_path'] or '<>'} to "
        f"{device['forward_path']}; {count(device['messages'], 'message')} held"
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
                _decide(config, "adopt", device["address"], as_json=False)
        asyncio.run(asyncio.sleep(_POLL))
