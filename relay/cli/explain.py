"""`relay explain`: what a message would become. Reads files of any size, block by block; no network."""

import codecs
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from relay import cli
from relay.cli.startup import load_config
from relay.cli.terminal import echo
from relay.config.load import find
from relay.config.model import Config
from relay.config.rules import choose_account, find_rules
from relay.envelope import Buffer, Envelope
from relay.host.content import ContentWriter
from relay.host.display import escape_json
from relay.mail import KINDS, Conversion, Loss, Unconvertible, Weight
from relay.message import Converted, Payload, convert, destinations, make_loss, originator_address
from relay.reply import Rejected
from relay.smtp.address import check_forward_path
from relay.smtp.data import read_lines

_MOST_LINES = 60  # of a body, shown to people; --json has all


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--from", "reverse_path", default="", metavar="ADDRESS", help="The envelope's sender.")
@click.option(
    "--rcpt",
    "forward_paths",
    multiple=True,
    metavar="ADDRESS",
    help="A recipient of the envelope; may be repeated. Without it To, Cc and Bcc are the envelope.",
)
@click.option("--user", metavar="NAME", help="Who logged in: a [[user]].")
@click.option(
    "--client", default="", metavar="ADDRESS", help="The client's IP address, such as a [[device]]'s."
)
@click.option("--listener", default="", metavar="ADDRESS:PORT", help="The [[listener]] that took it.")
@click.option("--no-data", is_flag=True, help="Size and SHA-256 of each attachment in place of its data.")
@cli.config_option
@cli.json_option
def command(  # noqa: PLR0913 - an argument for each option
    files: tuple[str, ...],
    reverse_path: str,
    forward_paths: tuple[str, ...],
    user: str | None,
    client: str,
    listener: str,
    config_path: str | None,
    *,
    no_data: bool,
    as_json: bool,
) -> None:
    """Show what a message would become: the body of the API call, and what would be lost.

    The account that would send, and the sender's name, go by --user, --client and --listener as in a session,
    without them by the message alone.

    FILE is a message as it is on disk, "-" standard input. Exits with 65 when a message is refused, with 66
    when a file cannot be read.
    """
    config = _read_config(config_path)
    envelope = Envelope(reverse_path, forward_paths, datetime.now(UTC), client, user=user, listener=listener)
    _check_origin(config, envelope)
    printer = _JsonPrinter(no_data=no_data, named=len(files) > 1) if as_json else _TextPrinter(len(files) > 1)
    highest = 0
    for name in files:
        with ExitStack() as opened:
            try:
                content = opened.enter_context(_open(name))
            except OSError as error:
                printer.refuse(name, "5.3.0", f"cannot be read: {error.strerror or error}")
                code = cli.EX_NOINPUT
            else:
                code = _explain(name, content, envelope, config, printer)
        highest = max(highest, code)
    raise click.exceptions.Exit(highest)


def _read_config(path: str | None) -> Config | None:
    """The configuration, if there is one: named, or in its usual place and readable."""
    where = find(path)
    if not path and "RELAY_CONFIG" not in os.environ and not os.access(where, os.R_OK):
        return None
    return load_config(path, None)  # nothing here depends on the state directory


@contextmanager
def _open(name: str) -> Iterator[Buffer]:
    """The message as a session would have it: large content is a map of a file."""
    with tempfile.TemporaryDirectory(prefix="relay-") as directory:
        writer = ContentWriter(Path(directory))
        with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as file:
            for block in read_lines(file):
                writer.write(block)
        content = writer.finish()
        with content.map() as mapped:
            yield mapped


def _explain(
    name: str,
    content: Buffer,
    envelope: Envelope,
    config: Config | None,
    printer: "_JsonPrinter | _TextPrinter",
) -> int:
    forward_paths = envelope.forward_paths
    losses: list[Loss] = []
    try:
        forward_paths = tuple(map(check_forward_path, forward_paths))
    except Rejected as refused:
        printer.refuse(name, refused.reply.enhanced, refused.reply.text)
        return cli.EX_DATAERR
    if not forward_paths:
        forward_paths, losses = _read_envelope(content)
    try:
        converted = _convert(config, envelope, forward_paths, content)
    except Unconvertible as refused:
        printer.refuse(name, refused.status, refused.reason)
        return cli.EX_DATAERR
    printer.show(name, content, converted, (*converted.losses, *losses))
    return 0


def _check_origin(config: Config | None, envelope: Envelope) -> None:
    """Refuse a user or listener that the configuration does not have.

    Raises:
        UsageError: there is none of that name.
    """
    users = [one.name for one in config.user] if config else []
    listeners = [one.address for one in config.listener] if config else []
    for option, name, known in (
        ("--user", envelope.user, users),
        ("--listener", envelope.listener, listeners),
    ):
        if name and name not in known:
            raise click.UsageError(f"{option} {name}: there is none in the configuration")


def _read_envelope(content: Buffer) -> tuple[tuple[str, ...], list[Loss]]:
    """The fields' addresses as an envelope, as far as a session would take them."""
    taken: list[str] = []
    losses: list[Loss] = []
    for address in destinations(content):
        try:
            taken.append(check_forward_path(address.addr_spec))
        except Rejected as refused:
            losses.append(make_loss("recipient-address", refused.reply.text))
    return tuple(taken), list(dict.fromkeys(losses))


def _convert(
    config: Config | None, envelope: Envelope, forward_paths: tuple[str, ...], content: Buffer
) -> Converted:
    """What it becomes by the configuration, for the account that would send.

    Raises:
        Unconvertible: it is refused.
    """
    if config is None:
        return convert(content, forward_paths, Conversion(reverse_path=envelope.reverse_path))
    from relay.courier import address, conversion  # the spool and HTTP behind it: not without them

    rules = find_rules(config, envelope)
    account = choose_account(config, rules, lambda: originator_address(content), envelope.reverse_path)
    how = conversion(config, account, rules, replace(envelope, forward_paths=forward_paths))
    paths, how = address(config.delivery, forward_paths, how, config.delivery.always_bcc)
    return convert(content, paths, how)


def _as_json(loss: Loss) -> dict[str, str]:
    shown = {"loss": loss.loss, "detail": loss.detail, "weight": str(loss.weight)}
    return {**shown, "added": loss.added} if loss.added else shown


@dataclass(frozen=True, slots=True)
class _JsonPrinter:
    """One object for each file, one a line; bodies pass through in blocks."""

    no_data: bool
    named: bool  # several files: each object has its `file`

    def show(self, name: str, content: Buffer, converted: Converted, losses: tuple[Loss, ...]) -> None:
        out = sys.stdout.buffer
        out.write(self._begin(name) + b'"request": ')
        payloads = [request.payload for request in converted.requests]
        self._write(payloads[0], content)
        if len(payloads) > 1:
            # More recipients than one call takes: what the further calls would be.
            for number, payload in enumerate(payloads[1:]):
                out.write(b', "more_requests": [' if not number else b", ")
                self._write(payload, content)
            out.write(b"]")
        out.write(b', "losses": ' + _to_json([*map(_as_json, losses)]) + b"}\n")
        out.flush()

    def _write(self, payload: Payload, content: Buffer) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")()  # a block may end within a character
        for block in payload.describe(content) if self.no_data else payload.blocks(content):
            sys.stdout.buffer.write(escape_json(decoder.decode(bytes(block))).encode())

    def _begin(self, name: str) -> bytes:
        return b'{"file": ' + _to_json(name) + b", " if self.named else b"{"

    def refuse(self, name: str, status: str, reason: str) -> None:
        error = _to_json({"status": status, "reason": reason})
        sys.stdout.buffer.write(self._begin(name) + b'"error": ' + error + b"}\n")
        sys.stdout.buffer.flush()


def _to_json(value: object) -> bytes:
    # A file's name may hold octets that are no text.
    return escape_json(json.dumps(value, ensure_ascii=False)).encode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class _TextPrinter:
    """For people: what is sent, then what is lost."""

    named: bool

    def show(self, name: str, content: Buffer, converted: Converted, losses: tuple[Loss, ...]) -> None:
        if self.named:
            echo(name)
        if any(loss.loss == "no-recipient" for loss in losses):
            echo("This message names nobody, and would be refused: give its recipients with --rcpt")
        for request in converted.requests:
            _print_request(json.loads(b"".join(request.payload.describe(content))))
        _print_losses(losses)

    def refuse(self, name: str, status: str, reason: str) -> None:
        echo(f"relay: {name}: refused: {status} {reason}", err=True)


def _print_request(request: dict[str, Any]) -> None:
    """Every key on a line of its own; nothing is cut off, for that was perhaps what is looked for."""
    attachments = request.pop("attachments", [])
    body = request.pop("body")
    for key, value in request.items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        _print_key(key, shown)
    _print_key("body", *body.splitlines()[:_MOST_LINES])
    left = len(body.splitlines()) - _MOST_LINES
    if left > 0:
        _print_key("", f"({left:,} more lines: --json shows all)")
    for one in attachments:
        inline = f", inline as {one['cid']}" if one.get("inline") else ""
        size = f"{one['size']:,} bytes, {one['fileType']}{inline}, sha256 {one['sha256']}"
        _print_key("attachment", f"{one['filename']} ({size})")


def _print_key(key: str, *lines: str) -> None:
    for number, line in enumerate(lines or ("",)):
        head = click.style(f"{'' if number else key:>16}  ", dim=True)
        echo(line, head=head)


def _print_losses(losses: tuple[Loss, ...]) -> None:
    """The notable ones first: usual ones come with nearly every message, and are no trouble."""
    for weight, title in ((Weight.NOTABLE, "Lost"), (Weight.USUAL, "Lost with nearly every message")):
        some = [loss for loss in losses if loss.weight is weight]
        if some:
            echo(f"{title}:")
        for loss in some:
            colour = "yellow" if weight is Weight.NOTABLE else None
            meaning = KINDS[loss.loss].meaning
            detail = f" ({meaning})" if meaning.lower() not in loss.detail.lower() else ""
            echo(f": {loss.detail}{detail}", head="  " + click.style(loss.loss, fg=colour))
            if loss.added:
                echo(f"    kept in the body: {loss.added.strip()}")
    echo("What each means, and what can be chosen: relay help losses" if losses else "Lost: nothing")
