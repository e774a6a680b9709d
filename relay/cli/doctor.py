"""`relay doctor`: what is wrong with a device, and what to change."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click

from relay.cli import config_option, json_option
from relay.cli.finding import WAITING
from relay.cli.startup import ask_service, read_config
from relay.cli.terminal import echo, print_json, show_time
from relay.config.model import Config
from relay.host.display import count

_PATIENCE = 20.0  # seconds that one question of --live waits


@click.command()
@click.argument("address", required=False, default="")
@click.option("--live", is_flag=True, help="Follow sessions as they come, until Ctrl-C.")
@config_option
@json_option
def command(address: str, config_path: str | None, *, live: bool, as_json: bool) -> None:
    """Say in plain words what is wrong with a device, and what to change.

    ADDRESS is the device's IP address; without it, every client that was heard gets a line. The last
    session of each is kept in the running relay's memory, without secrets and content.
    """
    config = read_config(config_path)
    if live:
        _follow(config, address, as_json=as_json)
        return
    answer = ask_service(config, "doctor", address=address)
    if as_json:
        print_json(answer)
    elif address:
        _explain(answer, address)
    else:
        _list(answer)
    if answer.get("others") and not as_json:
        echo(f"\neach node knows only who came to it; ask the same at {', '.join(answer['others'])}")


def _list(answer: dict[str, Any]) -> None:
    if not answer["clients"]:
        echo(f"nobody has connected since {show_time(answer['since'])}; {_where(answer)}")
    for client in answer["clients"]:
        last = client["last"]
        helo = f" ({last['helo']})" if last["helo"] else ""
        echo(f"{client['client']}{helo}  {show_time(last['started'])}")
        for line in _verdict(client):
            echo(f"  {line}")


def _where(answer: dict[str, Any]) -> str:
    return f"the relay listens on {', '.join(answer['listeners'])}"


def _verdict(client: dict[str, Any]) -> Iterator[str]:
    last, before = client["last"], client["troubled"]
    for advice in last["advice"]:
        yield advice["text"]
    if not last["advice"]:
        what = f"{count(last['messages'], 'message')} taken" if last["messages"] else "no message was sent"
        yield f"nothing was wrong in the last session; {what}"
    for mail in last["mail"]:
        yield _tell_fate(mail, client["client"])
    if before and before["advice"]:
        yield f"before that, at {show_time(before['started'])}:"
        for advice in before["advice"]:
            yield f"  {advice['text']}"


def _tell_fate(mail: dict[str, Any], client: str) -> str:
    """What became of a message: a session can be all right, and its mail wait for a person."""
    taken, state = f"taken as {mail['queue_id']}", mail["state"]
    if mail["hold"] == "device":
        return f"{taken}, and held until the device is adopted: relay learn --adopt {client}"
    reason = f": {mail['reason']}" if mail["reason"] else ""
    if state is None:
        return f"{taken}; what became of it is {f'not known now{reason}' if reason else 'forgotten'}"
    if state in WAITING[:-1]:
        return f"{taken}, and waits ({state}){reason}"
    return f"{taken}, and {state}{'' if state == 'relayed' else reason}"


def _explain(answer: dict[str, Any], address: str) -> None:
    if not answer["clients"]:
        echo(
            f"nothing has come from {address} since {show_time(answer['since'])}. "
            f"{_where(answer).capitalize()}: compare the server and the port on the device's panel, and look "
            "for a firewall in between; relay doctor without an address shows who was heard."
        )
        return
    client = answer["clients"][0]
    for line in _verdict(client):
        echo(line)
    shown = [client["last"]]
    if client["troubled"] and not client["last"]["advice"]:
        shown.append(client["troubled"])
    for session in shown:
        tls = f", {session['tls']}" if session["tls"] else ""
        echo(f"\nsession {session['session']} at {session['listener']}, {show_time(session['started'])}{tls}")
        for line in session["lines"]:
            echo(_line(line))
        if session["left_out"]:
            echo(f"  ({session['left_out']} lines in the middle were not kept)")


def _line(line: dict[str, str]) -> str:
    at = datetime.fromisoformat(line["at"]).astimezone()  # the session's own line names the zone
    return f"  {at:%H:%M:%S}.{at.microsecond // 1000:03} {line['side']} {line['text']}"


def _follow(config: Config, address: str, *, as_json: bool) -> None:
    serial = ask_service(config, "doctor", address=address)["serial"]
    if not as_json:
        echo("following sessions; Ctrl-C ends this", err=True)
    while True:
        answer = ask_service(config, "doctor_live", after=serial, patience=_PATIENCE, address=address)
        serial = answer["serial"]
        for line in answer["lines"]:
            _print_live(line, answer["advice"], as_json=as_json)


def _print_live(line: dict[str, str], advice: dict[str, Any], *, as_json: bool) -> None:
    found = advice.get(line["session"], []) if line["text"] == "closed" else []
    if as_json:
        print_json({**line, "advice": found} if found else line, indent=None)
        return
    echo(f"{line['client']} {line['session']}{_line(line)}")
    for one in found:
        echo(f"{line['client']} → {one['text']}")
