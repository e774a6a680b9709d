"""docs/losses.md is the list that the code has."""

from pathlib import Path

import pytest

from relay.mail import KINDS
from tests.support.at_once import at_once

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "losses.md"


def test_the_table_is_the_list():
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    expected = [
        [
            f"`{name}`",
            kind.meaning,
            kind.status,
            str(kind.weight),
            str(kind.default),
            ", ".join(sorted(kind.policies)),
        ]
        for name, kind in KINDS.items()
    ]
    assert [row for row in rows if len(row) == len(expected[0])] == expected


@at_once
@pytest.mark.parametrize("name", KINDS)
def test_each_is_given_somewhere_and_has_a_test(name):
    """A row of the table alone is a promise that nothing keeps."""
    for folder in (ROOT / "relay", ROOT / "tests"):
        files = set(folder.rglob("*.py")) - {ROOT / "relay" / "mail.py"}
        assert any(f'"{name}"' in path.read_text(encoding="utf-8") for path in files), folder
