"""`relay send`: put a message into the running relay or, without one, send it at once."""

import asyncio
import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import click

from relay.cli import (
    EX_CANTCREAT,
    EX_DATAERR,
    EX_NOINPUT,
    EX_TEMPFAIL,
    Failure,
    config_option,
    json_option,
)
from relay.cli.startup import call, cannot_use_state_dir, not_listening, read_config
from relay.cli.terminal import echo, print_json
from relay.config.model import Config


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
    queued, with 65 when it was refused for good, with 66 when FILE cannot be read, with 75 when it should
    be tried again.
    """
    # Opened first: root may read what the owner of the state directory, whom it then becomes, may not.
    with _read(file) as content:
        config = read_config(config_path)
        from relay.host import logs

        logs.set_up(config.log.model_copy(update={"level": "error"}))
        _command(config, content, reverse_path, list(forward_paths), as_json=as_json)


def _command(
    config: Config, content: BinaryIO, reverse_path: str, forward_paths: list[str], *, as_json: bool
) -> None:
    paths = forward_paths or _destinations(content)
    if not paths:
        raise Failure("the message names no recipient; give one with --rcpt", EX_DATAERR)
    reverse_path, paths = check_paths(config, reverse_path, paths)
    answer = asyncio.run(send(config, content, reverse_path, paths))
    if as_json:
        print_json(answer)
    else:
        echo(f"{answer['code']} {answer['status']} {answer['text']}")
    if answer["code"] >= 400:  # noqa: PLR2004 - 4yz and 5yz, RFC 5321 §4.2.1
        raise click.exceptions.Exit(EX_DATAERR if answer["code"] >= 500 else EX_TEMPFAIL)  # noqa: PLR2004


def check_paths(config: Config, reverse_path: str, forward_paths: list[str]) -> tuple[str, list[str]]:
    """The paths as a listener would take them: the API splits at a semicolon; the whole reverse-path."""
    from relay.reply import Rejected
    from relay.smtp.address import check_forward_path, check_reverse_path

    path = reverse_path
    try:
        whole = check_reverse_path(path, config.hostname)
        checked = []
        for path in forward_paths:
            checked.append(check_forward_path(path))
    except Rejected as refused:
        raise Failure(f"{path!r}: {refused.reply}", EX_DATAERR) from None
    return whole, checked


def _read(file: Path) -> BinaryIO:
    """The message as SMTP would bring it. Never whole in memory."""
    from relay.smtp.data import read_lines

    content = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as source:
            content.writelines(read_lines(source))
    except OSError as error:
        content.close()
        raise Failure(f"{file}: cannot be read ({error.strerror})", EX_NOINPUT) from None
    content.seek(0)
    return content


def _destinations(content: BinaryIO) -> list[str]:
    from relay.message import destinations
    from relay.message.limits import FIELD_SECTION

    head = content.read(FIELD_SECTION + 1)
    content.seek(0)
    return [address.addr_spec for address in destinations(head)]


class _Blocks:
    """A file as the running relay's socket gives it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    async def readexactly(self, size: int) -> bytes:
        """The next octets."""
        return await asyncio.to_thread(self._file.read, size)


async def send(config: Config, content: BinaryIO, reverse_path: str, paths: list[str]) -> dict[str, Any]:
    """Have the running relay take a message, or do it here without one: what `Verbs.send` answers."""
    taken = await call(config, "send", content=content, reverse_path=reverse_path, forward_paths=paths)
    if taken is not None:
        return taken
    # Not before: most of the relay, which one that runs has already.
    from relay.service import Service
    from relay.spool import SpoolError, SpoolLocked

    service = Service(config, listen=False)
    try:
        await service.start()
    except SpoolLocked as error:
        raise not_listening(config, error) from None
    except SpoolError as error:
        raise cannot_use_state_dir(config, error) from None
    except OSError as error:
        raise Failure(f"state_dir {config.state_dir} cannot be used: {error}", EX_CANTCREAT) from None
    try:
        size = content.seek(0, os.SEEK_END)
        content.seek(0)
        return await service.verbs.send(_Blocks(content), size, reverse_path, paths)
    finally:
        await service.stop()
