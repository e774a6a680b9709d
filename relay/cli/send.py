"""`relay send`: put a message into the running relay or, without one, send it at once."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from relay.cli import EX_CANTCREAT, EX_DATAERR, EX_TEMPFAIL, Failure, config_option, json_option
from relay.cli.startup import print_json, read_config
from relay.config import Config


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--from", "reverse_path", default="", metavar="ADDRESS", help="The envelope's sender.")
@click.option(
    "--rcpt", "forward_paths", multiple=True, metavar="ADDRESS", help="A recipient; may be repeated."
)
@config_option
@json_option
def command(
    file: Path,
    reverse_path: str,
    forward_paths: tuple[str, ...],
    config_path: str | None,
    *,
    as_json: bool,
) -> None:
    """Send the message in FILE ("-" is standard input).

    Without --rcpt it goes to the addresses in its To, Cc and Bcc fields. Exits with 0 when it was relayed or
    queued, with 65 when it was refused for good, with 75 when it should be tried again.
    """
    config = read_config(config_path)
    from relay import logs

    logs.set_up(config.log.model_copy(update={"level": "error"}))
    content = _read(file)
    paths = list(forward_paths) or _destinations(content)
    if not paths:
        raise Failure("the message names no recipient; give one with --rcpt", EX_DATAERR)
    answer = asyncio.run(_send(config, content, reverse_path, paths))
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{answer['code']} {answer['status']} {answer['text']}")
    if answer["code"] >= 400:  # noqa: PLR2004 - 4yz and 5yz, RFC 5321 §4.2.1
        raise click.exceptions.Exit(EX_DATAERR if answer["code"] >= 500 else EX_TEMPFAIL)  # noqa: PLR2004


def _read(file: Path) -> bytes:
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}", EX_DATAERR) from None
    # As SMTP would bring it: lines end with CRLF (RFC 5321 §2.3.8).
    return content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _destinations(content: bytes) -> list[str]:
    from relay.message import destinations

    return [address.addr_spec for address in destinations(content)]


async def _send(config: Config, content: bytes, reverse_path: str, paths: list[str]) -> dict[str, Any]:
    from relay import control
    from relay.service import Service
    from relay.spool import SpoolError

    arguments: dict[str, Any] = {"reverse_path": reverse_path, "forward_paths": paths}
    try:
        return await control.call(config.state_dir / "control.sock", "send", content, **arguments)
    except control.NotRunning:
        pass
    except control.Refused as error:
        raise Failure(str(error), EX_DATAERR) from None
    service = Service(config, listen=False)
    try:
        await service.start()
    except (SpoolError, OSError) as error:
        raise Failure(f"state_dir {config.state_dir} cannot be used: {error}", EX_CANTCREAT) from None
    try:
        reader = asyncio.StreamReader()
        reader.feed_data(content)
        reader.feed_eof()
        return await service.verbs.send(reader, len(content), reverse_path, paths)
    finally:
        await service.stop()
