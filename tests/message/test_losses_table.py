"""docs/losses.md is the list that the code has."""

from pathlib import Path

from relay.mail import Policy, find_problems
from relay.message import KINDS

TABLE = Path(__file__).parents[2] / "docs" / "losses.md"


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


def test_problems_of_a_losses_table():
    assert find_problems({"reply_to": Policy.DROP, "date": Policy.KEEP}) == []
    (unknown,) = find_problems({"replyto": Policy.DROP})
    assert "reply_to" in unknown
    (impossible,) = find_problems({"encryption": Policy.KEEP})
    assert "attach, drop, reject" in impossible
