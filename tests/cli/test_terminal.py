"""What is printed at a terminal holds nothing that the terminal would obey, whoever wrote it."""

import ast
import base64
import io
import json
import os
import subprocess
import time
from dataclasses import asdict

import pytest

from relay.cli import terminal
from relay.grants import Grant
from relay.works.auth.files import GrantFiles
from relay.works.diagnosis import Answer, diagnose
from tests.support import ROOT, warm

OBEYED = [
    *map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F]),
    *map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]),
]
OBEYED.remove("\n")
OBEYED.remove("\t")
ALL = "".join(f"a{sign}" for sign in OBEYED)
KEPT = "件名 제목\tß é …\n→ 😀 a\u200db"


def test_a_line_is_cleaned(capsys):
    terminal.echo(ALL + KEPT, head="\x1b[31mours\x1b[0m")
    out = capsys.readouterr().out
    assert not set(out) & set(OBEYED)
    assert out.count("\ufffd") == len(OBEYED)
    assert out.endswith(KEPT + "\n")


def test_json_is_the_same_value_without_them(capsys):
    value = {"text": ALL + KEPT, ALL: [ALL]}
    for indent in (2, None):
        terminal.print_json(value, indent=indent)
        out = capsys.readouterr().out
        assert not set(out) & set(OBEYED)
        assert json.loads(out) == value


def test_a_table_is_cleaned():
    from rich.table import Table
    from rich.text import Text

    out = io.StringIO()
    console = terminal.make_console(file=out, width=4000)
    table = Table()
    table.add_column(ALL)
    table.add_row(ALL)
    table.add_row(Text(ALL, style="dim"))
    for shown in (table, ALL, Text(ALL), "件名"):
        console.print(shown)
    assert not set(out.getvalue()) & set(OBEYED)
    assert "件名" in out.getvalue()


PRINTING = {"print", "secho", "Console", "pprint", "write"}


@pytest.mark.parametrize("path", sorted((ROOT / "relay" / "cli").glob("*.py")), ids=lambda path: path.stem)
def test_nothing_prints_beside_it(path):
    """`relay accounts` printed what users/me had said as its address: a title for the window, false lines."""
    if path.stem == "terminal":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        target = node.func
        if isinstance(target, ast.Name):
            assert target.id not in PRINTING, f"{path.name}:{node.lineno}"
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            name = f"{target.value.id}.{target.attr}"
            assert name not in ("click.echo", "click.secho", "sys.stdout.write", "rich.print"), node.lineno


def test_the_words_of_works_are_cleaned():
    """Its description is shown in lists, logs and replies; U+202E turned the text round."""
    answer = json.dumps({"code": "X", "description": f"nothing{ALL} here"}).encode()
    assert not set(diagnose(Answer(400, {}, answer, whole=True)).diagnostic) & set(OBEYED)


@pytest.mark.parametrize("options", [[], ["--json"], ["--json", "--no-data"]])
def test_a_message_is_explained_without_them(tmp_path, options):
    """Whoever writes the message chooses every character of it."""
    text = f"件名{ALL}"
    message = tmp_path / "message.eml"
    message.write_bytes(
        b"To: a@example.com\nSubject: =?utf-8?b?" + base64.b64encode(text.encode()) + b"?=\n"
        b"Content-Type: text/plain; charset=utf-8\n\n" + (text + "\n").encode() * 3000
    )
    done = subprocess.run(
        [*warm.relay(), "explain", str(message), *options],
        capture_output=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert not set(done.stdout.decode()) & set(OBEYED)
    if options:
        assert "\u202e" in json.loads(done.stdout)["request"]["body"]


def test_a_mailbox_that_is_not_one(tmp_path):
    """A taken-over API or service puts what it likes into the grant's file: such is no grant."""
    state = tmp_path / "state"
    state.mkdir()
    now = time.time()
    grant = Grant("a", now + 60, "r", now, now, now, whose="\x1b]0;pwned\x07\x9b2J\u202e@example.com")
    GrantFiles(state).write("scanner", grant)
    (tmp_path / "relay.toml").write_text(
        f'state_dir = "{state}"\n[[account]]\nname = "scanner"\naddress = "scanner@example.com"\n'
    )
    for words in (["accounts"], ["accounts", "--json"]):
        done = subprocess.run(
            [*warm.relay(), *words, "--config", str(tmp_path / "relay.toml")],
            capture_output=True,
            check=True,
            timeout=60,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
        assert "not a grant" in done.stdout.decode()
        assert not set(done.stdout.decode()) & set(OBEYED)
        assert asdict(grant)["whose"] not in done.stdout.decode()
