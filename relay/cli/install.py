"""`relay install`: the service for systemd, the command on the PATH, the manual and completion."""

import difflib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from relay.cli import EX_CANTCREAT, EX_NOINPUT, EX_NOPERM, Failure, config_option
from relay.cli.startup import load_config
from relay.cli.terminal import echo
from relay.config.model import Config

_UNITS, _LOCAL = Path("/etc/systemd/system"), Path("/usr/local")
_CREDENTIALS = ("client_secret", "proxy")
_MODE = 0o644


@dataclass(frozen=True, slots=True)
class _File:
    """What is to be at a path: text, or a link, or nothing."""

    path: Path
    text: str = ""
    link: Path | None = None
    gone: bool = False

    def change(self) -> str:
        """What of it is not so yet, for people; "" if nothing."""
        if self.gone:
            return "  is not needed any more" if self.path.exists() else ""
        if self.link is not None:
            now = self.path.readlink() if self.path.is_symlink() else None
            return "" if now == self.link else f"  → {self.link}"
        before = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        if before == self.text and not self.path.is_symlink():
            return ""
        lines = difflib.unified_diff(before.splitlines(), self.text.splitlines(), n=0, lineterm="")
        return "\n".join(f"  {line}" for line in list(lines)[2:] if not line.startswith("@@"))

    def write(self) -> None:
        """Write it.

        Raises:
            OSError: it cannot be written.
        """
        from relay.host.safeio import write_file

        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.link is None and not self.gone:
            write_file(self.path, self.text.encode(), _MODE)
            return
        self.path.unlink(missing_ok=True)
        if self.link is not None:
            self.path.symlink_to(self.link)


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The root of another system, such as an image's; relay.toml is looked for there.",
)
@config_option
def command(config_path: str | None, root: Path | None, *, dry_run: bool) -> None:
    """Install the service: units for systemd, the command, its manual and completion.

    relay.service runs this very program with relay.toml, relay.socket opens the ports of its listeners; the
    user relay is made, the command linked to /usr/local/bin. After a change of the listeners install again:
    what is right already stays as it is. Nothing is started.
    """
    base = (root or Path("/")).resolve()
    config_file = _find_config(config_path, base)
    config = load_config(str(config_file), None)
    inside = Path("/", config_file.relative_to(base)) if config_file.is_relative_to(base) else config_file
    try:
        changed = [file for file in _plan(config, inside, base) if file.change()]
    except FileNotFoundError as error:  # of the package's own files
        raise Failure(str(error), EX_NOINPUT) from None
    for file in changed:
        echo(f"{file.path}\n{file.change()}")
    if not changed:
        echo("everything is installed already")
    elif not dry_run:
        _write(changed)
        _tell_systemd(here=root is None)
    if not dry_run:
        _say_what_is_next(config)


def _find_config(path: str | None, base: Path) -> Path:
    from relay.config.load import SYSTEM_PATH, find

    if path is None and base != Path("/"):
        return base / SYSTEM_PATH.relative_to("/")
    return find(path).resolve()


def _plan(config: Config, config_file: Path, base: Path) -> Iterator[_File]:
    """All that is to be there."""
    from relay.host import shared, units

    program = _find_program()
    beside = base / config_file.parent.relative_to("/")
    own = {"client_secret": config.works.client_secret_file, "proxy": config.works.proxy_file}
    handed_over = tuple(name for name in _CREDENTIALS if not own[name] and os.path.exists(beside / name))  # noqa: PTH110 - as root's it may be hidden
    place = units.Place(program, config_file, handed_over)
    kept = {path.name: path.read_text(encoding="utf-8") for path in shared.find_shared(shared.UNITS)}
    yield _File(_at(base, "/etc/sysusers.d/relay.conf"), kept["relay.conf"])
    socket = _at(base, _UNITS / "relay.socket")
    if units.find_streams(config):
        yield _File(socket, units.make_socket(kept["relay.socket"], config))
    else:
        yield _File(socket, gone=True)
    yield _File(_at(base, _UNITS / "relay.service"), units.make_service(kept["relay.service"], config, place))
    yield _File(_at(base, _LOCAL / "bin/relay"), link=program)
    for page in shared.find_shared(shared.MANUAL, ".1"):
        yield _File(_at(base, _LOCAL / "share/man/man1" / page.name), link=page)
    for where in (shared.BASH, shared.ZSH, shared.FISH):
        (script,) = shared.find_shared(where)
        yield _File(_at(base, _LOCAL / where[1]), link=script)


def _at(base: Path, path: str | Path) -> Path:
    return base / Path(path).relative_to("/")


def _find_program() -> Path:
    program = Path(sys.executable).parent / "relay"
    if not program.exists():
        raise Failure(f"{program}: there is no such program; install the package by pip", EX_NOINPUT)
    return program


def _write(files: list[_File]) -> None:
    for file in files:
        if file.link is not None and file.path.exists() and not file.path.is_symlink():
            raise Failure(f"{file.path}: is no link; move it away first", EX_CANTCREAT)
        try:
            file.write()
        except PermissionError:
            raise Failure(f"{file.path}: may not be written by this user; run as root", EX_NOPERM) from None
        except OSError as error:
            raise Failure(f"{file.path}: cannot be written ({error.strerror})", EX_CANTCREAT) from None


def _tell_systemd(*, here: bool) -> None:
    """Have the user made and the units read, where systemd runs this machine (sd_booted(3))."""
    if not here or not Path("/run/systemd/system").is_dir():
        return
    for words in (["systemd-sysusers", "/etc/sysusers.d/relay.conf"], ["systemctl", "daemon-reload"]):
        found = shutil.which(words[0])
        if found is None or subprocess.run([found, *words[1:]], check=False).returncode:  # noqa: S603 - ours
            echo(f"relay: do this by hand: {' '.join(words)}", err=True)


def _say_what_is_next(config: Config) -> None:
    from relay.host import units

    if units.is_hidden(_find_program()):
        echo(
            f"relay: the service cannot see {_find_program()}: install the package elsewhere, such as in "
            "/opt/relay, and say `relay install` there",
            err=True,
        )
    names = ["relay.socket"] * bool(units.find_streams(config)) + ["relay.service"]
    both = " ".join(names)
    # The ports of a socket can be changed while its service does not run.
    echo(f"then: systemctl enable {both} && systemctl stop {both} && systemctl start {both}")
