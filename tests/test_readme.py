"""The README says what is: its commands, its configuration, its pages."""

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from relay.cli import group
from relay.config.load import build
from relay.host.units import find_streams

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TRANSLATIONS = sorted((ROOT / "docs").glob("start.*.md"))


def blocks(language, page=README):
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def test_the_configuration_can_be_used():
    (text,) = blocks("toml")
    assert build(tomllib.loads(text), environ={}).account[0].default


def test_the_steps_to_production_open_the_port_of_their_listener():
    """The service may not open port 25 itself: without relay.socket it would not start."""
    steps = "".join(blocks("sh"))
    assert "relay install" in steps
    (text,) = blocks("toml")
    config = build(tomllib.loads(text), environ={})
    assert "0.0.0.0:25" in find_streams(config)
    unit = (ROOT / "systemd/relay.service").read_text()
    for name in (*re.search(r"^Sockets=(.+)$", unit, re.MULTILINE)[1].split(), "relay.service"):
        assert re.search(rf"systemctl enable --now .*{name}", steps)


def test_the_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("line", re.findall(r"^\| `relay (.+?)` \|", README, re.MULTILINE))
def test_every_command_in_the_table_is_one(line):
    words = re.sub(r"\[.*?\]|[A-Z.]{2,}", "", line).replace("`", "").split()
    result = CliRunner().invoke(group, [words[0], "--help"])
    assert result.exit_code == 0, result.output
    for verb in re.findall(r"`(\w+)`", line):
        assert verb in result.output


def test_every_command_of_the_program_is_in_the_table():
    for name in group.list_commands(None):
        assert f"`relay {name}" in README, name


def bare(block):
    """A block without its remarks, which are translated."""
    return re.sub(r" {2,}# .*$", "", block, flags=re.MULTILINE)


@pytest.mark.parametrize("page", TRANSLATIONS, ids=lambda page: page.name)
def test_a_translation_has_the_commands_of_the_readme(page):
    """A quick start that was translated once would keep the commands of an earlier release."""
    text = page.read_text(encoding="utf-8")
    for language in ("sh", "toml"):
        assert [bare(one) for one in blocks(language, text)] == [bare(one) for one in blocks(language)]


def test_the_quick_start_is_there_in_japanese_and_korean():
    assert [page.name for page in TRANSLATIONS] == ["start.ja.md", "start.ko.md"]
    for page in TRANSLATIONS:
        assert f"](docs/{page.name})" in README
