"""The pages name what is there: files, rooms, classes, other pages."""

import re
from pathlib import Path

import pytest

from tests.test_layers import FILES, level, room

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(page):
    """The names of a page's headings, as GitHub makes them."""
    for heading in _HEADING.findall(page.read_text(encoding="utf-8")):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def table(name):
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", ARCHITECTURE, re.DOTALL)[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        other = page.parent / target if target else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_are_named_are_there(page):
    named = re.findall(
        r"`((?:relay|tests|docs|systemd)/[\w./-]*[\w/]|[A-Z]+\.md|relay\.toml)`", page.read_text("utf-8")
    )
    for name in named:
        assert "NAME" in name or (ROOT / name).exists(), name


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name}" in index, page.name


def test_the_architecture_has_every_room_in_the_order_of_the_layers():
    named = re.findall(r"`(\w+)/?`(?=[^|]*\|[^|]+\|$)", table("rooms"), re.MULTILINE)
    assert set(named) >= {room(file) for file in FILES} - {"__init__", "__main__"}
    assert [level(name) for name in named] == sorted(level(name) for name in named)
    package = (ROOT / "relay" / "__init__.py").read_text(encoding="utf-8")
    for name in named:
        assert re.search(rf"^    .*\b{name}\b", package, re.MULTILINE), (
            f"relay/__init__.py does not name {name}"
        )


def test_private_words_are_classes():
    text = "\n".join(path.read_text(encoding="utf-8") for path in FILES.values())
    for name in re.findall(r"^\| `(\w+)` \|", table("private words"), re.MULTILINE):
        assert re.search(rf"^class {name}\b", text, re.MULTILINE), f"{name} has left the code"


def test_the_tests_that_show_a_promise_are_there():
    page = (ROOT / "tests/README.md").read_text(encoding="utf-8")
    table = page[page.index("## What shows which promise") :]
    named = re.findall(r"`([a-z0-9_]+/[\w/.]+)`", table)
    assert len(named) > 10
    for name in named:
        assert (ROOT / "tests" / name).exists(), name
