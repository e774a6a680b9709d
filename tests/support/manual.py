"""The pages of the manual and the completion of the command, made of the commands themselves.

    .venv/bin/python -m tests.support.manual        write docs/man and docs/completion anew

tests/cli/test_manual.py holds that what is there is current.
"""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete
from click_man.core import write_man_pages

from relay import __version__
from relay.cli import _COMMANDS, group

DOCS = Path(__file__).parents[2] / "docs"
_SHELLS = {"relay.bash": BashComplete, "_relay": ZshComplete, "relay.fish": FishComplete}
_FILES = """\
.SH FILES
.TP
/etc/relay/relay.toml
The configuration; the environment variable RELAY_CONFIG or \\-\\-config names another.
.TP
/var/lib/relay
The state directory: spool, grants, control socket.
.SH EXIT STATUS
Those of sysexits.h: 0 success, 64 usage, 65 bad data, 66 no input, 69 unavailable, 70 internal error,
73 cannot create, 75 temporary failure, 77 no permission, 78 configuration.
"""


def make_pages():
    """Every page: its name and its text."""
    plain = click.Group("relay", help=group.help, params=group.params)
    for name, short in _COMMANDS.items():
        command = group.get_command(None, name)
        command.short_help = short
        plain.add_command(command, name)
        for verb in getattr(command, "commands", {}).values():
            verb.short_help = verb.help.partition("\n\n")[0].replace("\n", " ")
    plain.short_help = "SMTP-to-API relay gateway for LINE WORKS and NAVER WORKS"
    with TemporaryDirectory() as folder:
        # In place of a date, which would make each day another page.
        write_man_pages("relay", plain, version=f"relay {__version__}", date=__version__, target_dir=folder)
        pages = {path.name: path.read_text(encoding="utf-8") for path in Path(folder).iterdir()}
    pages["relay.1"] += _FILES
    return {name: _mend(text) for name, text in pages.items()}


def _mend(page):
    """What click-man does not know: names of pages with hyphens, and paragraphs that keep their lines."""
    page = re.sub(
        r'(?<=^\.TH ")[A-Z ]+|(?<=\\fB)relay \S+(?=\(1\))', lambda name: name[0].replace(" ", "-"), page
    )
    return re.sub(r"(?ms)^\x08\n(.*?)(?=^\.PP|^\.SH)", r".nf\n\1.fi\n", page)


def make_completion():
    """Every shell's script: its name and its text."""
    with patch.object(BashComplete, "_check_version"):  # it asks the bash of this machine
        return {
            name: shell(group, {}, "relay", "_RELAY_COMPLETE").source() for name, shell in _SHELLS.items()
        }


def write():
    for folder, made in (("man", make_pages()), ("completion", make_completion())):
        for path in (DOCS / folder).iterdir():
            path.unlink()
        for name, text in made.items():
            (DOCS / folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
