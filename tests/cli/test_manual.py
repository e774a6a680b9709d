"""The manual and completion say what the commands do now, and go where the shells look for them."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from relay.cli import group
from relay.host import shared
from tests.support import warm
from tests.support.manual import DOCS, make_completion, make_pages

ROOT = DOCS.parent
REMEDY = "run: python -m tests.support.manual"


@pytest.mark.parametrize(("folder", "make"), [("man", make_pages), ("completion", make_completion)])
def test_what_is_there_is_current(folder, make):
    made = make()
    assert {path.name for path in (DOCS / folder).iterdir()} == made.keys(), REMEDY
    for name, text in made.items():
        assert (DOCS / folder / name).read_text(encoding="utf-8") == text, f"{name}: {REMEDY}"


def test_every_command_has_a_page_with_its_options():
    for name in group.list_commands(None):
        page = (DOCS / "man" / f"relay-{name}.1").read_text(encoding="utf-8").replace("\\-", "-")
        command = group.get_command(None, name)
        for option in (one for param in command.params for one in param.opts if one.startswith("--")):
            assert option in page, (name, option)


@pytest.mark.skipif(not shutil.which("man"), reason="Debian's package man-db is not installed")
def test_man_understands_the_pages():
    for page in (DOCS / "man").iterdir():
        words = ["man", "--warnings", "--encoding=UTF-8", "-l", str(page)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, ""), page.name
        assert "NAME" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_program_answers_each_shell(shell):
    """What the scripts ask it for at a Tab."""
    asked = {"COMP_WORDS": "relay ch", "COMP_CWORD": "ch" if shell == "fish" else "1"}
    done = subprocess.run(
        warm.relay(),
        env={**os.environ, **asked, "_RELAY_COMPLETE": f"{shell}_complete"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "check" in done.stdout, done.stderr


TAB = {
    "bash": (
        "source {script}; COMP_WORDS=(relay ch); COMP_CWORD=1; _relay_completion relay; "
        'printf "%s\\n" "${{COMPREPLY[@]}}"'
    ),
    # A Tab outside of the line editor: what it would be given is printed.
    "zsh": (
        "compdef() {{ : }}; _describe() {{ print -l -- ${{(P)3}} }}; words=(relay ch); CURRENT=2; "
        "source {script}; _relay_completion"
    ),
    "fish": "source {script}; complete -C 'relay ch'",
}
SCRIPTS = {"bash": "relay.bash", "zsh": "_relay", "fish": "relay.fish"}


@pytest.mark.parametrize("shell", TAB)
def test_a_tab_in_a_shell_completes(shell, tmp_path):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"Debian's package {shell} is not installed")
    command = tmp_path / "relay"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m relay "$@"\n')
    command.chmod(0o755)
    done = subprocess.run(
        [program, "-c", TAB[shell].format(script=DOCS / "completion" / SCRIPTS[shell])],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "check" in done.stdout, done.stderr


KEPT = (
    *(shared.MANUAL, shared.BASH, shared.ZSH, shared.FISH),
    *(shared.DOCUMENTS, shared.START, shared.REFERENCE),
)


def test_a_wheel_puts_them_where_they_are_looked_for():
    """`relay install` finds them there; the source tree has other places."""
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    table = built["targets"]["wheel"]["shared-data"]
    for kept, installed in KEPT:
        assert table.pop(kept) == installed
    folder, installed = shared.UNITS
    assert table == {
        f"{folder}/{name}": f"{installed}/{name}" for name in ("relay.service", "relay.socket", "relay.conf")
    }
    assert all(Path(ROOT, kept).exists() for kept in table)
