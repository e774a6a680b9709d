"""`relay setup`: five questions, and a relay.toml that can be used."""

import grp
import json
import os
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import click

from relay.cli import EX_CANTCREAT, Failure
from relay.cli.startup import refuse_overwriting
from relay.cli.terminal import echo
from relay.config.load import ConfigError, build, find

_LOOPBACK = ["127.0.0.0/8", "::1/128"]
_SECRET = "client_secret"  # noqa: S105 - the name of a file
_GROUP = "relay"  # of the service's user


@dataclass(frozen=True, slots=True)
class _Question:
    """One of the five."""

    key: str
    text: str
    why: str
    fits: Callable[[str], dict[str, Any]]  # as a part of the configuration, by which the answer is judged
    default: str = ""
    hidden: bool = False


@click.command()
@click.option("--client-id", metavar="ID", help="The app's, from the Works Developer Console.")
@click.option(
    "--client-secret-file", metavar="FILE", help='Holds the app\'s client secret; "-": standard input.'
)
@click.option("--address", metavar="ADDRESS", help="The mailbox that sends.")
@click.option(
    "--network", metavar="NETWORK", help="Who may connect, such as 192.168.1.0/24; several with commas."
)
@click.option("--notify", metavar="ADDRESS", help='Who hears of trouble; "": nobody.')
@click.option(
    "--listen", default="0.0.0.0:25", show_default=True, metavar="ADDRESS:PORT", help="Where to take mail."
)
@click.option(
    "--hostname", default="", metavar="NAME", help="What the relay calls itself; else this machine's name."
)
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    help="What to write; else $RELAY_CONFIG, else /etc/relay/relay.toml.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def command(
    config_path: str | None,
    client_secret_file: str | None,
    listen: str,
    hostname: str,
    *,
    force: bool,
    **given: str | None,
) -> None:
    """Ask five questions, and write relay.toml and beside it the client secret.

    What an option answers is not asked; without a terminal all are needed. Every key: relay help relay.toml
    """
    path = find(config_path)
    secret_path = path.parent / _SECRET
    refuse_overwriting(path, secret_path, force=force)
    answers = {key: value for key, value in given.items() if value is not None}
    if client_secret_file is not None:
        answers[_SECRET] = _read_secret(client_secret_file)
    for question in _questions():
        answers[question.key] = _answer(question, answers.get(question.key))
    text = _render(answers, listen, hostname)
    try:
        build(tomllib.loads(text), {})
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    _write(path, text, secret_path, answers[_SECRET])
    _say_next(path, answers["address"])


def _questions() -> tuple[_Question, ...]:
    account = {"name": "scanner"}
    return (
        _Question(
            "client_id",
            "Client ID of the app",
            "The Works Developer Console shows it; how to register the app: relay help start",
            lambda value: {"works": {"client_id": value}},
        ),
        _Question(
            _SECRET,
            "Client secret of the app",
            "It goes into a file of its own, and is not shown",
            lambda value: {"works": {"client_secret": value}},
            hidden=True,
        ),
        _Question(
            "address",
            "Mailbox that sends",
            "A mailbox of its own is best, such as scanner@ at your domain; its owner consents once",
            lambda value: {"account": [account | {"address": value}]},
        ),
        _Question(
            "network",
            "Network of the devices",
            "Who is in it may send without a login; several with commas",
            lambda value: {"listener": [{"networks": value}]},
            _guess_network(),
        ),
        _Question(
            "notify",
            "Who hears of trouble",
            "An address that a person reads; empty: nobody",
            lambda value: {"delivery": {"notify": value}},
        ),
    )


def _guess_network() -> str:
    """The private network that this machine is in, as most are cut."""
    from relay.config.networks import is_private, read_address
    from relay.host.certificate import find_addresses

    for text in find_addresses():
        address = read_address(text)
        if address is not None and address.version == 4 and is_private(address):  # noqa: PLR2004 - IPv4
            return str(ip_network(f"{text}/24", strict=False))
    return "192.168.1.0/24"


def _answer(question: _Question, given: str | None) -> str:
    """The answer, given by an option or by a person; asked again until it can be used."""
    if given is not None:
        if problem := _judge(question, given):
            raise click.UsageError(problem)
        return given.strip()
    if not sys.stdin.isatty():
        option = f"--{question.key.replace('_', '-')}" + ("-file" if question.hidden else "")
        raise click.UsageError(f"{option} is missing, and there is no terminal to ask at")
    echo(f"\n{question.why}.")
    while True:
        try:
            default = (
                None if question.hidden or question.key in ("client_id", "address") else question.default
            )
            found: str = click.prompt(
                question.text, default=default, hide_input=question.hidden, show_default=bool(default)
            )
        except click.Abort:
            raise Failure("nothing was written", 130) from None
        problem = _judge(question, found)
        if not problem:
            return found.strip()
        echo(problem)


def _judge(question: _Question, value: str) -> str:
    """What is wrong with an answer; "": nothing."""
    value = value.strip()
    if not value and question.key != "notify":
        return f"{question.text}: is empty"
    try:
        build(question.fits(value), {})
    except ConfigError as error:
        return str(error)
    return ""


def _read_secret(name: str) -> str:
    try:
        text = sys.stdin.readline() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(
            f"--client-secret-file {name}: cannot be read ({getattr(error, 'strerror', error)})"
        ) from None
    return text.strip()


def _render(answers: dict[str, str], listen: str, hostname: str) -> str:
    networks = [*_LOOPBACK, *(one.strip() for one in answers["network"].split(",") if one.strip())]
    name = (
        "".join(c for c in answers["address"].partition("@")[0] if c.isalnum() and c.isascii()) or "mailbox"
    )
    return f"""\
# Written by `relay setup`. Every key, with its default: relay help relay.toml
{f"hostname = {_quote(hostname)}" if hostname else '#hostname = "relay.example.com"'}

[works]
client_id = {_quote(answers["client_id"])}
# The client secret is in the file client_secret beside this one.
# With user.read it can be asked whose mailbox consented.
scope = "mail user.read"

# Its owner consents once: relay login {name} --paste
[[account]]
name = {_quote(name)}
address = {_quote(answers["address"])}
default = true

[[listener]]
address = {_quote(listen)}
# Who may connect, and send without a login.
networks = {json.dumps(list(dict.fromkeys(networks)))}

[delivery]
# Who hears of failures and of trouble.
notify = {_quote(answers["notify"])}
"""


def _quote(text: str) -> str:
    # A text of JSON is one of TOML, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write(path: Path, text: str, secret_path: Path, secret: str) -> None:
    from relay.host import safeio

    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        safeio.write_file(secret_path, f"{secret}\n".encode())
        # Without secrets in it: whoever runs the service has to read it, and may be nobody's group yet.
        safeio.write_file(path, text.encode(), 0o644)
        _give_to_service(path)
    except OSError as error:
        where = error.filename or path
        raise Failure(
            f"{where}: cannot be written ({error.strerror}); be root, or name a file with --config",
            EX_CANTCREAT,
        ) from None


def _give_to_service(path: Path) -> None:
    """Close the file to others, where the service's group is there to read it."""
    if os.geteuid() != 0:
        return
    try:
        group = grp.getgrnam(_GROUP).gr_gid
    except KeyError:
        return
    os.chown(path, 0, group)
    path.chmod(0o640)


def _say_next(path: Path, address: str) -> None:
    name = tomllib.loads(path.read_text(encoding="utf-8"))["account"][0]["name"]
    echo(f"""
{path} is written. Next:
  sudo relay install
  sudo systemctl enable --now relay.socket relay.service
  sudo relay login {name} --paste       the owner of {address} agrees
  sudo relay check
  relay test ADDRESS                    one mail through everything""")
