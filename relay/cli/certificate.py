"""`relay certificate`: a self-signed certificate for the listeners."""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relay.cli import EX_CANTCREAT, Failure, config_option, json_option
from relay.cli.startup import become_owner, refuse_overwriting
from relay.cli.terminal import echo, print_json
from relay.config.fields import split_address
from relay.config.model import Config
from relay.config.networks import read_address

if TYPE_CHECKING:
    from relay.host.certificate import Pair

_CERTIFICATE, _PRIVATE_KEY = "relay-certificate.pem", "relay-key.pem"


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to; else the state directory.",
)
@click.option("--days", type=click.IntRange(1, 7300), default=3650, show_default=True, help="Its validity.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@config_option
@json_option
def command(
    names: tuple[str, ...],
    out: Path | None,
    days: int,
    config_path: str | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Make a self-signed certificate, and say what to put into relay.toml.

    NAMES are the host names and IP addresses by which devices reach the relay; without any, the
    configuration's hostname and this machine's addresses. The files are written with mode 0600.
    """
    from relay.host import certificate

    config = _config(config_path)
    folder = out or (config.state_dir if config else Config().state_dir)
    become_owner(folder)  # the files are for whoever has the folder
    paths = folder / _CERTIFICATE, folder / _PRIVATE_KEY
    refuse_overwriting(*paths, force=force)
    chosen = names or _usual_names(config)
    try:
        pair = certificate.make(chosen, days)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificate.write(pair, *paths)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise Failure(
            f"{error.filename or folder}: cannot be written ({error.strerror}); "
            "name another folder with --out",
            EX_CANTCREAT,
        ) from None
    _report(pair, chosen, *(path.absolute() for path in paths), as_json=as_json)


def _config(path: str | None) -> Config | None:
    # A certificate is often made before relay.toml is whole; what it says is used when it can be.
    from relay.config.load import ConfigError, load

    try:
        return load(path, learned=False)
    except ConfigError:
        if path or os.environ.get("RELAY_CONFIG"):
            echo("relay: the configuration cannot be used yet; names are taken from this machine", err=True)
        return None


def _usual_names(config: Config | None) -> tuple[str, ...]:
    from relay.host.certificate import find_addresses

    hosts = [split_address(x.address)[0] for x in config.listener] if config else []
    anywhere = not hosts or any(_is_wildcard(host) for host in hosts)
    names = [config.hostname if config else socket.getfqdn(), *(h for h in hosts if not _is_wildcard(h))]
    return tuple(dict.fromkeys([*names, *(find_addresses() if anywhere else [])]))


def _is_wildcard(host: str) -> bool:
    address = read_address(host)
    return address is not None and address.is_unspecified


def _report(pair: "Pair", names: tuple[str, ...], path: Path, key: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "certificate_file": str(path),
                "private_key_file": str(key),
                "names": list(names),
                "sha256": pair.fingerprint,
                "expires": pair.expires.isoformat(),
            }
        )
        return
    echo(
        f"""\
made for {", ".join(names)}
valid until {pair.expires:%Y-%m-%d}, SHA-256 fingerprint
  {pair.fingerprint}

Put into the [[listener]] of relay.toml, beside tls = "starttls" or "implicit":

certificate_file = "{path}"
private_key_file = "{key}"

A device that checks certificates needs {path}
among those it trusts; copy that file to it, never {key.name}."""
    )
