"""Every command line and every configuration in README and docs is one that works.

A fenced block says its language, and each language has its test here: commands are looked up in the program
and in the shell, configurations are loaded, Python is compiled (tests/e2e runs it). `ini` and `text` are what
the relay does not read. What stands in backticks and begins with `relay` is a command, too.
"""

import base64
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from relay.cli import group
from relay.config.load import build
from tests.support.at_once import at_once

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "tests/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
LANGUAGES = {"sh", "toml", "python", "json", "ini", "text"}
_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
_INLINE = re.compile(r"(?<!`)`((?:sudo |\./|[\w./]*/)?relay [^`\n]+)`(?!`)")
_INDENTED = re.compile(r"^ {4,}((?:sudo )?relay [a-z].*)$", re.MULTILINE)
# A whole configuration has this much; a section of one is shown alone.
_REST = {
    "works": {"client_id": "x", "client_secret": "y"},
    "account": [{"name": "scanner", "address": "scanner@example.com", "default": True}],
    "listener": [{"address": "127.0.0.1:2525"}],
}
_SECRETS = {
    "key_file": base64.b64encode(bytes(32)).decode(),
    "proxy_file": "http://proxy.example.com:8080",
}


def name(page):
    return str(page.relative_to(ROOT))


def read_blocks(*languages):
    """Each block of these languages: its page and place, and the text."""
    return [
        pytest.param(found["text"], id=f"{name(page)}-{number}")
        for page in PAGES
        for number, found in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8")))
        if found["language"] in languages
    ]


def read_lines(text):
    """The lines of a block of commands, with what goes on put together and remarks left out."""
    lines = (line.strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def find_lines(text):
    """Each line of a page that may call the relay: of blocks, indented ones, and what stands in backticks."""
    for found in _BLOCK.finditer(text):
        if found["language"] == "sh":
            yield from read_lines(found["text"])
    outside = _BLOCK.sub("", text)
    yield from _INLINE.findall(outside)
    # What stands behind two blanks is a remark.
    yield from (re.split(r"\s{2,}", line)[0] for line in _INDENTED.findall(outside))


def find_commands():
    """Each `relay …` of the pages, once for a page."""
    return [
        pytest.param(words, id=f"{name(page)}: {shlex.join(words)}")
        for page in PAGES
        for line in dict.fromkeys(find_lines(page.read_text(encoding="utf-8")))
        for words in split(line)
    ]


def split(line):
    """The calls of the relay in a line of shell, each as its words after the command's name."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    commands = [[]]
    for word in lexer:
        if set(word) <= set("();<>|&"):
            commands.append([])
        elif commands[-1] or not re.fullmatch(r"sudo|exec|\w+=.*", word):
            commands[-1].append(word)
    return [words[1:] for words in commands if words and re.fullmatch(r"(?:\S*/)?relay", words[0])]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_has_a_language(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("```") == 2 * len(_BLOCK.findall(text)), "a block is not closed"
    drawings = {"docs/architecture.md"}
    for found in _BLOCK.finditer(text):
        assert found["language"] in LANGUAGES or name(page) in drawings, found["text"]


@pytest.mark.parametrize("text", read_blocks("sh"))
def test_the_shell_understands_it(text):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("NOT TESTED: no bash here")
    done = subprocess.run([bash, "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@at_once
@pytest.mark.parametrize("text", read_blocks("sh"))
def test_the_files_of_the_project_that_it_names_are_there(text):
    for path in re.findall(r"(?<![\w./-])((?:systemd|tests|docs|relay)/[\w./-]*\w)", text):
        assert (ROOT / path).exists(), path
    for module in re.findall(r"-m (tests\.[\w.]+)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@at_once
@pytest.mark.parametrize("words", find_commands())
def test_every_command_is_one(words):
    """Its group, its name and its options; arguments stand for what the reader puts there."""
    command, rest = group, list(words)
    while isinstance(command, click.Group):
        if rest and rest[0].startswith("-"):
            assert rest[0] in ("-h", "--help", "--version"), words
            return
        if not rest or rest[0] in ("…", "COMMAND"):
            return
        found = command.get_command(None, rest[0])
        assert found is not None, f"there is no {rest[0]} in {shlex.join(words)}"
        command, rest = found, rest[1:]
    if command.context_settings.get("ignore_unknown_options"):
        return  # sendmail, whose options are another program's
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in rest:
        option = word.strip("[]").partition("=")[0]
        if option.startswith("-") and option != "-":
            assert option in {*known, "--help", "-h", "--"}, f"{shlex.join(words)}: there is no {option}"


@pytest.mark.parametrize("text", read_blocks("toml"))
def test_the_configuration_can_be_used(text, tmp_path):
    """With files of its own in the place of those that hold secrets."""
    shown = tomllib.loads(text)
    whole = {**_REST, **shown, "works": {**_REST["works"], **shown.get("works", {})}}
    for table in whole.values():
        for key in [key for key in table if key.endswith("_file")] if isinstance(table, dict) else ():
            path = tmp_path / key
            path.write_text(_SECRETS.get(key, "secret"))
            path.chmod(0o600)
            table[key] = str(path)
    build(whole, environ={})


@pytest.mark.parametrize("text", read_blocks("python"))
def test_the_program_is_one(text):
    compile(text, "docs", "exec")


def test_the_json_is_some():
    for block in read_blocks("json"):
        json.loads(*block.values)


def test_the_finding_of_commands_finds_them():
    """A pattern that finds nothing makes every test above green."""
    assert split("sudo relay queue hold --all && relay check; ls | /opt/relay/bin/relay explain -") == [
        ["queue", "hold", "--all"],
        ["check"],
        ["explain", "-"],
    ]
    assert len(list(find_commands())) > 100
    assert len(list(read_blocks("sh"))) > 10
