"""Every command that any text prints is one: at three in the morning it is typed as it is printed.

Here click takes them all, those of the documents too. Those that the relay prints are carried out by
tests/operator/test_remedies_work.py.
"""

import ast
import functools
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from relay.cli import group
from relay.cli.help import find_pages
from relay.operator.remedies import find_remedy
from relay.outcome import Cause, Trouble, TroubleKind

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "relay").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "relay.toml", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "relay").rglob("*.html"))
COMMANDS = "|".join(group.list_commands(None))
# Up to what ends a command in prose or in a program's text.
_CALL = re.compile(
    rf"(?<![\w/.-])relay ((?:{COMMANDS})\b[^\n`|;:,.()\"'<&#→…·、。]*(?:[.:]\w[^\n`|;:,.()\"'<&#]*)*)"
)
# Sentences of an earlier release, by which its rows are known.
DATA = {"relay/spool/sqlite/schema.py"}
_DOCUMENT = re.compile(r"\bREADME\b|\bdocs/\w+|[A-Z]+\.md\b")


@functools.cache
def texts(path):
    """The texts of a module that somebody may read: no docstrings; what is put in becomes a word."""
    return list(find_texts(path))


def find_texts(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (own | parts)
        ):
            yield re.sub(r"\{[a-z_.]+\}", "X", node.value)


def find_calls():
    for path in SOURCES:
        for text in texts(path):
            yield from ((path, call) for call in _CALL.findall(text))
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        # In pages a command stands between backticks or in a block; relay.toml is all comment.
        calls = _CALL.findall(text) if path.suffix != ".md" else _CALL.findall("\n".join(codes(text)))
        yield from ((path, re.sub(r"\{\{.*?\}\}", "X", call)) for call in calls)


def codes(page):
    yield from re.findall(r"^```\w*\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", page)


def resolves(words):
    """Whether click takes these words, or those of them that stand before the sentence goes on."""
    for end in range(len(words), 0, -1):
        if any(word.startswith("--") for word in words[end:]):
            return False  # an option that there is not
        if parses(words[:end]):
            return True
    return False


def parses(words):
    """Whether click takes all of these words; asks nobody, and runs nothing."""
    command, context, words = group, click.Context(group, info_name="relay"), list(words)
    try:
        while isinstance(command, click.Group) and words:
            name, command, words = command.resolve_command(context, words)
            context = click.Context(command, info_name=name, parent=context)
        named_alone = not words  # "`relay queue list` shows", "by `relay login`"
        given, left, _ = command.make_parser(context).parse_args(words)
        given = {name: value for name, value in given.items() if isinstance(value, str | list) and value}
        for param in command.params:
            if param.name in given:
                param.type_cast_value(context, given[param.name])
    except click.UsageError:
        return False
    missing = [param for param in command.params if param.required and param.name not in given]
    return not left and (named_alone or not missing)


@functools.cache
def calls():
    return sorted(
        {(path.relative_to(ROOT).as_posix(), " ".join(call.split())) for path, call in find_calls()}
    )


def test_there_are_many():
    """Nothing is proved by a search that finds nothing."""
    assert len(calls()) > 100
    assert ("relay/operator/remedies.py", "login X") in calls()


def test_every_command_that_a_text_prints_can_be_called():
    """`relay login` without its account, an option of an earlier release, a verb of another group."""
    wrong = [(path, call) for path, call in calls() if path not in DATA and not resolves(call.split())]
    assert wrong == []


def test_no_text_names_a_document_that_is_not_on_the_server():
    """ "see docs/outcomes.md" stood in what an administrator reads on a machine without the repository."""
    named = [(path.name, text) for path in SOURCES for text in texts(path) if _DOCUMENT.search(text)]
    assert [one for one in named if one[0] not in ("help.py", "shared.py")] == []


def test_every_topic_that_is_named_is_there():
    pages, known = find_pages(), set(group.list_commands(None))
    for _, call in calls():
        words = call.split()
        if words[0] == "help" and len(words) > 1 and words[1] != "TOPIC":
            assert words[1] in pages or words[1] in known, call


def test_help_shows_every_topic():
    listed = CliRunner().invoke(group, ["help"])
    for topic, page in find_pages().items():
        assert topic in listed.output
        shown = CliRunner().invoke(group, ["help", topic])
        assert shown.exit_code == 0
        assert page.read_text(encoding="utf-8").splitlines()[0] in shown.output
    assert "trace [OPTIONS]" in CliRunner().invoke(group, ["help", "trace"]).output
    wrong = CliRunner().invoke(group, ["help", "outcome"])
    assert (wrong.exit_code, "did you mean outcomes?" in wrong.stderr) == (66, True)


@pytest.mark.parametrize(("words", "meant"), [(["chekc"], "check"), (["queue", "lits"], "list")])
def test_a_command_that_is_nearly_right_is_guessed(words, meant):
    result = CliRunner().invoke(group, words)
    assert result.exit_code == 2
    assert f"did you mean {meant}?" in result.output


@pytest.mark.parametrize("kind", TroubleKind)
def test_the_remedy_of_every_trouble_is_one(kind):
    """Of every cause too, with the name of what is in trouble in its place."""
    for cause in Cause:
        trouble = Trouble(kind, "scanner", "why", 0.0, person=True, cause=cause)
        for call in _CALL.findall(find_remedy(trouble)):
            assert parses(call.split()), call
