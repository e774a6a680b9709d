"""docs/sandbox.md says what is there: the kinds of faults, their properties, the paths, the fields."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from relay.sandbox import Sandbox
from relay.sandbox.faults import KINDS, Fault, Faults, parse_fault
from relay.sandbox.messages import FIELDS
from relay.sandbox.settings import Clock

TEXT = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text("utf-8")


def test_every_kind_of_fault_has_its_row_and_every_row_its_kind():
    table = TEXT.partition("## Faults")[2]
    assert re.findall(r"^\| `([a-z0-9-]+)` \|", table, re.MULTILINE) == list(KINDS)


def test_every_property_of_a_fault_is_named():
    for field in fields(Fault):
        assert (
            f"`{field.name}`" in TEXT or f'"{field.name}"' in TEXT or field.name in ("kind", "until", "met")
        )


def test_every_path_and_field_is_named():
    sandbox = Sandbox()
    routes = sandbox.control.routes()
    sandbox.close()
    for route in routes:
        assert f"{route.path.replace('{id:int}', '{id}')}" in TEXT, route.path
    for name in FIELDS:
        assert f"`{name}`" in TEXT, name


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("503", {"kind": "503"}),
        ("429:seconds=30", {"kind": "429", "seconds": 30}),
        ("latency:seconds=0.5,times=0", {"kind": "latency", "seconds": 0.5, "times": 0}),
        (
            "500:accepted=true,account=a@example.com",
            {"kind": "500", "accepted": True, "account": "a@example.com"},
        ),
    ],
)
def test_a_fault_on_the_command_line(text, wish):
    assert parse_fault(text) == wish
    assert Faults(Clock()).add(wish).kind == wish["kind"]


@pytest.mark.parametrize("text", ["503:times", "503:times=many", "504", ""])
def test_a_fault_on_the_command_line_that_is_none(text):
    with pytest.raises(ValueError, match=r"expected|must|wrong type"):
        Faults(Clock()).add(parse_fault(text))
